"""Base models of the Hugging Face Hub: one commit for a whole run, and a Hub that is away or says no."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from huggingface_hub import constants
from tenacity import wait_none

from reasoner_workloads.common.run import ConfigError, WorkloadError
from reasoner_workloads.common.store import open_store
from reasoner_workloads.training import hub
from reasoner_workloads.training.inputs import Fetched
from support.http_server import serving

NAME = "house/base"


class Hub:
    """One repository, as the Hub's client asks for it."""

    def __init__(self) -> None:
        self.files = {"config.json": b"{}", "model.safetensors": b"weights", "pytorch_model.bin": b"the same"}
        self.commits = 1
        self.refusals = 0
        """Requests that are still to be refused."""
        self.status = 520  # the common ones the client itself tries again, for longer than a test may take

    @property
    def commit(self) -> str:
        return f"{self.commits:040x}"

    async def resolve(self, request: web.Request) -> web.Response:
        data = self.files.get(request.match_info["path"])
        revision = request.match_info["revision"]
        if data is None or self.refusals > 0:
            return self._refuse()
        headers = {
            "X-Repo-Commit": self.commit if revision == "main" else revision,
            "ETag": f'"{hashlib.sha1(data, usedforsecurity=False).hexdigest()}"',
        }
        return web.Response(body=data, headers=headers)

    async def tree(self, _request: web.Request) -> web.Response:
        if self.refusals > 0:
            return self._refuse()
        listed = [
            {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
            for path, data in self.files.items()
        ]
        return web.json_response(listed)

    def _refuse(self) -> web.Response:
        self.refusals -= 1
        code = {404: "RepoNotFound", 403: "GatedRepo"}.get(self.status, "")
        return web.Response(status=self.status, headers={"X-Error-Code": code})


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    found = Hub()
    app = web.Application()
    app.router.add_get("/house/base/resolve/{revision}/{path:.+}", found.resolve)
    app.router.add_get("/api/models/house/base/tree/{revision}", found.tree)
    monkeypatch.setattr(hub, "PAUSES", wait_none())
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with serving(app) as url:
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
        yield found


def test_a_run_goes_on_with_the_commit_that_it_began_with(
    served: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store((tmp_path / "run").as_uri())
    first, begun = hub.pinned(Fetched(NAME, NAME), store), served.commit
    assert first.identity == f"{NAME}@{begun}"
    # Not what holds the same weights once more.
    assert {path.name for path in Path(first.path).iterdir()} == {"config.json", "model.safetensors"}
    served.commits += 1
    served.files["model.safetensors"] = b"other weights"
    # On another node, with an empty cache.
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "other"))
    assert hub.pinned(Fetched(NAME, NAME), store).identity == first.identity
    assert hub.pinned(Fetched(NAME, NAME), open_store((tmp_path / "new").as_uri())).identity != first.identity


def test_weights_of_the_old_kind_are_taken_where_there_are_no_others(served: Hub, tmp_path: Path) -> None:
    del served.files["model.safetensors"]
    found = hub.pinned(Fetched(NAME, NAME), open_store(tmp_path.as_uri()))
    assert {path.name for path in Path(found.path).iterdir()} == {"config.json", "pytorch_model.bin"}


def test_a_hub_that_is_away_for_a_while_is_waited_for(
    served: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served.refusals = 3
    found = hub.pinned(Fetched(NAME, NAME), open_store(tmp_path.as_uri()))
    assert (Path(found.path) / "model.safetensors").read_bytes() == b"weights"
    assert "the Hugging Face Hub does not answer" in capsys.readouterr().out


def test_one_that_stays_away_is_worth_another_pod(served: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "PATIENCE", 0.0)
    served.refusals = 1000
    with pytest.raises(WorkloadError, match=r"^baseModel: cannot fetch house/base from the Hugging Face Hub") as caught:
        hub.pinned(Fetched(NAME, NAME), open_store(tmp_path.as_uri()))
    assert (caught.value.reason, caught.value.exit_code) == ("InputUnavailable", 1)


@pytest.mark.parametrize(("status", "hint"), [(404, ""), (403, "HF_TOKEN"), (401, "HF_TOKEN")])
def test_a_model_that_is_not_there_or_not_for_this_run_is_the_users_fault(
    status: int, hint: str, served: Hub, tmp_path: Path
) -> None:
    served.refusals, served.status = 1000, status
    with pytest.raises(ConfigError, match=rf"^baseModel: cannot fetch house/base.*{hint}"):
        hub.pinned(Fetched(NAME, NAME), open_store(tmp_path.as_uri()))
    assert served.refusals > 990


def test_a_name_that_is_none_is_the_users_fault_and_a_folder_needs_no_hub(tmp_path: Path) -> None:
    store = open_store(tmp_path.as_uri())
    with pytest.raises(ConfigError, match=r"^baseModel: "):
        hub.pinned(Fetched("no/such/name", "no/such/name"), store)
    folder = Fetched(str(tmp_path), "sha256:0")
    assert hub.pinned(folder, store) is folder
