"""Where the pods of one training meet."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from reasoner_api.report import RunReport
from reasoner_api.task import Topology
from reasoner_workloads.common.run import PeerLost
from reasoner_workloads.common.store import Store, open_store
from reasoner_workloads.training import launch, rendezvous
from reasoner_workloads.training.attempts import PATIENCE
from reasoner_workloads.training.rendezvous import Place, master_address


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(("own", "address"), [("10.0.0.7", "10.0.0.7"), ("fd00::7", "[fd00::7]"), ("", "run-0.run")])
def test_the_first_pod_takes_its_own_address_and_waits_for_nobody(own: str, address: str) -> None:
    assert master_address(Place(0, "run-0.run", 29500), own, wait=0) == address


def test_the_others_wait_until_the_first_pod_accepts_connections(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rendezvous, "_PAUSE_SECONDS", 0.01)
    port = free_port()
    refused = threading.Event()
    create_connection = socket.create_connection

    def told(*given: object, **more: object) -> socket.socket:
        try:
            return create_connection(*given, **more)  # type: ignore[arg-type]
        except OSError:
            refused.set()
            raise

    monkeypatch.setattr(socket, "create_connection", told)
    with socket.socket() as server:
        server.bind(("127.0.0.1", port))

        def listen() -> None:
            refused.wait()
            server.listen()

        threading.Thread(target=listen).start()
        assert master_address(Place(1, "localhost", port), "10.0.0.8", wait=20) == "127.0.0.1"
    said = capsys.readouterr().out.splitlines()
    assert said == [
        f"waiting for the first pod, localhost:{port}, since 0 s: connection refused",
        f"the first pod answers at 127.0.0.1:{port}",
    ]


@pytest.mark.parametrize(
    ("host", "why"), [("localhost", "connection refused"), ("nowhere.invalid", "its name is not known")]
)
def test_a_first_pod_that_does_not_come_is_named_with_what_is_in_the_way(host: str, why: str) -> None:
    with pytest.raises(PeerLost, match=why) as caught:
        master_address(Place(1, host, free_port()), "", wait=0)
    assert caught.value.reason == "NoRendezvous"
    assert "NetworkPolicy" in str(caught.value)


def waited_in_vain(node: int, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, RunReport]:
    monkeypatch.setattr(launch, "JOIN_SECONDS", 0)
    for name, value in {
        "NODE_RANK": str(node), "MASTER_ADDR": "localhost", "MASTER_PORT": str(free_port()),
        "TERMINATION_MESSAGE_PATH": str(folder / "word.json"),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    code = launch.torchrun("never_run", [], Topology(nodes=3), store)
    return code, RunReport.model_validate_json((folder / "word.json").read_bytes())


def test_a_first_pod_that_stays_away_counts_once_for_the_group_and_not_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(f"{tmp_path.as_uri()}/run")
    ends = [[waited_in_vain(node, store, tmp_path, monkeypatch) for node in (1, 2)] for _ in range(PATIENCE)]
    codes = [[code for code, _ in both] for both in ends]
    assert codes == [[4, 4]] * (PATIENCE - 1) + [[1, 4]]
    words = [word for both in ends for _, word in both]
    assert {word.state for word in words} == {"Failed"}
    assert [word.reason for word in words] == ["NoRendezvous"] * (2 * PATIENCE - 2) + ["GroupBroken", "NoRendezvous"]
    assert all("did not answer within 0 s (connection refused)" in word.message for word in words)


WAITING = """
from reasoner_api.task import Topology
from reasoner_workloads.common.store import Store, open_store
from reasoner_workloads.training import launch
raise SystemExit(launch.torchrun("never_run", [], Topology(nodes=2), open_store("file:///nowhere")))
"""


def test_sigterm_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"NODE_RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": str(free_port())}.items():
        monkeypatch.setenv(name, value)
    with subprocess.Popen([sys.executable, "-c", WAITING], stdout=subprocess.PIPE, text=True) as pod:
        assert pod.stdout is not None
        assert "waiting for the first pod" in pod.stdout.readline()
        pod.terminate()
        assert pod.wait(20) == 143
