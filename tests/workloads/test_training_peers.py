"""Who is to blame when a process group of several nodes breaks, and that it meets anew."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from reasoner_api.report import RunReport
from reasoner_api.task import Topology
from reasoner_workloads.common.run import ConfigError, Paused, PeerLost, WorkloadError
from reasoner_workloads.common.store import FileStore, StoreError, open_store
from reasoner_workloads.grpo.circuit import VerifierUnavailable
from reasoner_workloads.grpo.rollout.policy import StalePolicy
from reasoner_workloads.training import launch
from reasoner_workloads.training.attempts import FOLDER, PATIENCE, Attempts, noted, paused, stuck
from reasoner_workloads.training.peers import Ending, blamed, verdict
from support.stand_ins import environment, until

#: sentence -> how a node's ranks ended, and its pod's exit code
ENDINGS: dict[str, tuple[Ending, int]] = {
    "all is done": (Ending(0, {0}, None, False, 4), 0),
    "a bad configuration wins": (Ending(1, {2, 4}, 4, False, 4), 2),
    "so does a pause": (Ending(1, {3}, 3, False, 4), 3),
    "the pod was told to stop": (Ending(1, {143}, 143, True, 4), 143),
    "another node was told to stop, and this one stopped with it": (Ending(1, {143}, 143, False, 4), 4),
    "another node's connection broke": (Ending(1, {4}, 4, False, 4), 4),
    "NCCL gave the process up": (Ending(1, set(), -signal.SIGABRT, False, 4), 4),
    "the group did not form": (Ending(1, set(), 4, False, 4), 4),
    "a rank failed by itself, and its neighbours lost it": (Ending(1, {1, 4}, 1, False, 4), 1),
    "a rank ran out of memory, and its neighbours lost it": (Ending(1, {4}, -signal.SIGKILL, False, 4), 1),
    "on one node there is nobody else to blame": (Ending(1, {4}, 4, False, 1), 1),
    "NCCL on one node": (Ending(1, set(), -signal.SIGABRT, False, 1), 1),
}


@pytest.mark.parametrize("sentence", ENDINGS)
def test_the_pods_exit_code(sentence: str) -> None:
    ending, expected = ENDINGS[sentence]
    assert verdict(ending) == expected


def test_a_broken_connection_is_the_peers_fault() -> None:
    lost = RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer [10.0.0.7]:38538\nCheck the logs")
    with pytest.raises(PeerLost, match=r"Connection closed by peer \[10.0.0.7\]:38538$"), blamed():
        raise lost
    with pytest.raises(RuntimeError, match="out of memory"), blamed():
        raise RuntimeError("CUDA out of memory")


#: What a node finds -> whether each of the others finds it too.
FINDINGS: dict[str, tuple[Exception, bool]] = {
    "a verifier that stays away": (VerifierUnavailable("no answer for 600 s"), True),
    "a sampler with other weights": (StalePolicy("the sampler holds the weights of step 3"), True),
    "a store that is away": (StoreError("cannot connect"), True),
    "an input that cannot be fetched": (WorkloadError("cannot connect", reason="InputUnavailable"), True),
    "a fault of its own": (WorkloadError("a disk is full"), False),
    "a bad configuration, which needs no counting": (ConfigError("dataset: no such column"), False),
    "a pause": (Paused("no answer", reason="VerifierUnavailable"), False),
}


@pytest.mark.parametrize("sentence", FINDINGS)
def test_what_all_nodes_find_is_one_failure(sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    error, shared = FINDINGS[sentence]
    for node in ("0", "3"):
        monkeypatch.setenv("GROUP_RANK", node)
        with pytest.raises(PeerLost if shared and node != "0" else type(error)), blamed():
            raise error


def test_pauses_say_nothing_of_the_group(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    for _ in range(PATIENCE):
        Attempts(store).begin(40)
        paused(store)
    for broken in range(1, PATIENCE + 1):
        assert stuck(store, noted(store)) is (broken == PATIENCE)


def test_a_run_that_gets_nowhere_is_stuck_and_one_that_moves_is_not(tmp_path: Path) -> None:
    store = open_store(tmp_path.as_uri())
    for broken in range(1, PATIENCE + 1):
        # Each second one breaks before anything is trained.
        before = noted(store)
        if broken % 2:
            Attempts(store).begin(8)
        assert stuck(store, before) is (broken == PATIENCE)
    assert [attempt.step for attempt in Attempts(store).all()] == [8] * PATIENCE
    before = noted(store)
    Attempts(store).begin(16)
    assert not stuck(store, before)


def test_a_clock_that_is_behind_counts_no_attempt_twice(tmp_path: Path) -> None:
    """The main process may be on another node than the one that counts."""
    store = open_store(tmp_path.as_uri())
    before = noted(store)
    store.put_new(f"{FOLDER}/00001.json", b'{"step": 8, "at": "1999-12-31T23:59:59.000000+00:00"}')
    assert not stuck(store, before)
    assert [attempt.step for attempt in Attempts(store).all()] == [8]


class Away(FileStore):
    """Does not answer."""

    def list(self, prefix: str = "") -> list[str]:
        raise StoreError("cannot connect")


def test_a_store_that_is_away_counts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    away, store = Away(tmp_path), open_store(tmp_path.as_uri())
    before = noted(away)
    assert not stuck(store, before)
    assert Attempts(store).all() == []
    assert not stuck(away, noted(store))
    assert capsys.readouterr().out.splitlines() == [
        "how often this run has begun is not known: cannot connect",
        "whether the run gets anywhere is not known: cannot connect",
    ]


ABORTS = "import os; from reasoner_workloads.training import launch; launch.enter_rank(); os.abort()"


def test_a_group_that_is_aborted_at_the_same_step_for_ever_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one_rank.py").write_text(ABORTS)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{':'.join(sys.path)}")
    monkeypatch.setenv("TERMINATION_MESSAGE_PATH", str(tmp_path / "word.json"))
    store = open_store((tmp_path / "run").as_uri())
    for _ in range(PATIENCE - 2):
        Attempts(store).begin(8)
    ended = [launch.torchrun("one_rank", [], Topology(rollout_nodes=1), store) for _ in range(2)]
    assert ended == [4, 1]
    word = RunReport.model_validate_json((tmp_path / "word.json").read_bytes())
    assert (word.reason, word.state) == ("GroupBroken", "Failed")
    assert "SIGABRT" in word.message


RANK = """
import os, sys, time
from pathlib import Path
import torch, torch.distributed as dist
from reasoner_api.report import RunReport
from reasoner_workloads.common.run import PeerLost
from reasoner_workloads.training import launch, peers
folder = Path(sys.argv[1])
launch.enter_rank()
code = 0
try:
    with peers.blamed():
        dist.init_process_group("gloo")
        for _ in range(10 if (folder / "again").exists() else 3000):
            dist.all_reduce(torch.ones(1))
            (folder / f"joined-{os.environ['NODE_RANK']}").write_text(str(os.getpid()))
            time.sleep(0.05)
        dist.barrier()
except PeerLost as error:
    code = error.exit_code
sys.exit(launch.leave_rank(code))
"""
NODE = """
import sys
from reasoner_api.task import Topology
from reasoner_workloads.common.store import open_store
from reasoner_workloads.training import launch
store = open_store(f"file://{sys.argv[1]}/run")
sys.exit(launch.torchrun("one_rank", sys.argv[1:], Topology(nodes=2), store))
"""


def test_when_a_node_is_lost_the_other_says_so_and_both_meet_anew(tmp_path: Path) -> None:
    (tmp_path / "one_rank.py").write_text(RANK)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])

    def node(rank: int) -> subprocess.Popen[bytes]:
        env = environment(
            PYTHONPATH=f"{tmp_path}:{':'.join(sys.path)}", NODE_RANK=str(rank), MASTER_ADDR="127.0.0.1",
            MASTER_PORT=port, TERMINATION_MESSAGE_PATH=str(tmp_path / f"word-{rank}.json"),
        )  # fmt: skip
        command = [sys.executable, "-c", NODE, str(tmp_path)]
        return subprocess.Popen(command, env=env, start_new_session=True)

    first, second = node(0), node(1)
    joined = [tmp_path / "joined-0", tmp_path / "joined-1"]
    try:
        until(lambda: all(path.exists() and path.read_text() for path in joined), 60)
        # What a lost machine leaves: nothing at all.
        second.kill()
        os.kill(int(joined[1].read_text()), signal.SIGKILL)
        assert first.wait(60) == 4
        assert RunReport.model_validate_json((tmp_path / "word-0.json").read_bytes()).reason == "PeerLost"
        (tmp_path / "again").touch()
        second.wait()
        first, second = node(0), node(1)
        assert (first.wait(60), second.wait(60)) == (0, 0)
    finally:
        for process in (first, second):
            process.kill()
            process.wait()
