"""`reasoner local`: up, status, env, logs, down; and what a whole cluster offers its pods."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import boto3
import pytest
import yaml
from typer.testing import CliRunner

from reasoner_local.cli import app
from reasoner_local.client import CRDS, NAMESPACES, SECRETS, SERVICES, Client
from reasoner_local.cluster import LocalCluster
from reasoner_local.network import free_port
from reasoner_local.node.process import marked
from reasoner_local.state import Locked, StateDir, default_state_dir
from reasoner_local.supervisor import Broken, Child, Supervised
from support.local import World, eventually, phase, python


class Terminal:
    """Runs commands against one state folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *words: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, [*words, "--state-dir", str(self.folder)], env={"COLUMNS": "200"})
        assert result.exit_code == code, result.output
        return result.output


@pytest.fixture
def reasoner_local(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path)
    yield terminal
    terminal("down")


def test_up_status_env_down(reasoner_local: Terminal) -> None:
    shown = reasoner_local("up", "--no-operator", "--gpus", "4", "--no-seed")
    for name in ("api-server", "object-store", "teacher", "web"):
        assert name in shown
    told = StateDir(reasoner_local.folder).read()
    assert told is not None and told.ready

    assert "ok" in reasoner_local("status")
    lines = dict(line.removeprefix("export ").split("=", 1) for line in reasoner_local("env").splitlines())
    wanted = ("KUBECONFIG", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")
    assert set(wanted) <= set(lines)
    config = yaml.safe_load(Path(lines["KUBECONFIG"]).read_text())
    assert config["current-context"] == "reasoner-local"
    assert config["clusters"][0]["cluster"]["server"] == told.url
    assert Path(lines["KUBECONFIG"]).stat().st_mode & 0o777 == 0o600

    assert "reasoner local env" in reasoner_local("up", "--no-seed"), "a second `up` finds the cluster running"
    again = StateDir(reasoner_local.folder).read()
    assert again is not None and again.pid == told.pid
    assert "object-store.log" in reasoner_local("logs")

    reasoner_local("down")
    assert marked(told.mark) == []
    assert "no cluster is running" in reasoner_local("status", code=1)
    assert "no cluster is running" in reasoner_local("env", code=1)


def test_up_after_a_crash_finds_its_port_again(reasoner_local: Terminal) -> None:
    reasoner_local("up", "--no-operator", "--no-infra")
    folder = StateDir(reasoner_local.folder)
    crashed = folder.read()
    assert crashed is not None
    os.kill(crashed.pid, signal.SIGKILL)
    # The cluster is this process's own child here, so its end can be awaited.
    os.waitpid(crashed.pid, 0)
    assert "no cluster is running" in reasoner_local("status", code=1)
    reasoner_local("up", "--no-operator", "--no-infra")
    told = folder.read()
    assert told is not None
    assert (told.url, marked(crashed.mark)) == (crashed.url, [])


def test_up_that_fails_tells_why(reasoner_local: Terminal) -> None:
    broken = reasoner_local.folder / "broken"
    broken.mkdir()
    (broken / "x.reasoner.dev.yaml").write_text("kind: Nonsense\nmetadata: {name: x}\n")
    shown = reasoner_local("up", "--no-operator", "--no-infra", "--crds", str(broken), code=1)
    assert "the cluster did not start" in shown


def test_down_where_nothing_was_started(tmp_path: Path) -> None:
    assert "no cluster was ever started" in Terminal(tmp_path)("down")


def test_default_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere")
    assert default_state_dir() == Path("/somewhere/reasoner")
    (tmp_path / ".reasoner/local").mkdir(parents=True)
    assert default_state_dir() == Path(".reasoner/local")


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[World]:
    async with LocalCluster(tmp_path) as cluster, Client.of(cluster.kubeconfig) as client:
        yield World(cluster, client)


async def test_cluster_comes_with_what_the_recipe_needs(local: World, tmp_path: Path) -> None:
    kinds, _ = await local.client.list(CRDS)
    assert {kind["spec"]["names"]["kind"] for kind in kinds} == {"CurationJob", "VerifierTraining", "GRPORun"}
    assert await local.client.get(NAMESPACES, None, "reasoner-local")
    for name in ("object-store", "teacher"):
        assert await local.client.get(SECRETS, "default", name)
    with pytest.raises(Locked):
        await LocalCluster(tmp_path).__aenter__()


async def test_pods_reach_store_teacher_and_web_by_name(local: World) -> None:
    code = """
import boto3, urllib.request
s3 = boto3.client("s3", endpoint_url="http://object-store.reasoner-local:9000", region_name="us-east-1")
s3.put_object(Bucket="reasoner", Key="a/b", Body=b"from a pod")
for name in ("web.reasoner-local", "teacher.reasoner-local.svc"):
    print(urllib.request.urlopen(f"http://{name}:8080/" + ("v1/models" if "teacher" in name else "")).status)
"""
    await local.pod("p", python(code, envFrom=[{"secretRef": {"name": "object-store"}}]))
    pod = await local.ended("p")
    assert (phase(pod), await local.log("p")) == ("Succeeded", "200\n200\n")
    found = local.cluster.environment()
    store = boto3.client(
        "s3",
        endpoint_url=found["AWS_ENDPOINT_URL"],
        region_name=found["AWS_REGION"],
        aws_access_key_id=found["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=found["AWS_SECRET_ACCESS_KEY"],
    )
    with store.get_object(Bucket="reasoner", Key="a/b")["Body"] as body:
        assert body.read() == b"from a pod"
    store.close()


async def test_server_that_dies_is_started_again(local: World) -> None:
    told = local.cluster.state.read()
    assert told is not None
    (part,) = [part for part in told.parts if part.name == "web"]
    os.kill(part.pid, signal.SIGKILL)
    service = await local.client.get(SERVICES, "reasoner-local", "web")

    url = f"http://{service['spec']['clusterIP']}:8080/"

    async def answers() -> bool:
        try:
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    await eventually(answers, 20)


async def test_part_that_keeps_ending_is_not_waited_for(tmp_path: Path) -> None:
    folder, env = tmp_path, {"PATH": os.environ["PATH"]}
    broken = Supervised(Child("broken", ["false"], env, folder, folder / "log", "127.0.0.1", free_port()), lambda: None)
    await broken.start()
    with pytest.raises(Broken, match="broken does not come up; its log is"):
        await broken.ready()
    await broken.stop()
