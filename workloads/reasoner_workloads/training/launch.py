"""Several training processes from one pod's entry: torchrun as a child, its ranks running the same entry again.
Called by `verifier.run` and `grpo.run`; loads no torch itself."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from reasoner_api.report import RunReport
from reasoner_api.task import EXIT_PAUSED, EXIT_PEER_LOST, EXIT_TERMINATED, Topology
from reasoner_workloads.common.progress import Reporter, Word
from reasoner_workloads.common.run import EXIT_ERROR, PeerLost
from reasoner_workloads.common.store import Store
from reasoner_workloads.training import attempts, rendezvous
from reasoner_workloads.training.peers import Ending, verdict

#: Folder that a node's ranks share; set for them by `torchrun`.
WORKDIR = "REASONER_WORKDIR"
#: File in it that says which rank failed first; left by `agent`.
FIRST_FAILURE = "first-failure.json"
#: Seconds for which a node waits for the others: a lost one may have to be bought first.
JOIN_SECONDS = 3600


def is_rank() -> bool:
    """Whether this process is one of torchrun's."""
    return WORKDIR in os.environ


def needed(topology: Topology, deepspeed: Any) -> bool:
    """Whether the run takes torchrun: several processes, or DeepSpeed, which wants a launcher even for one."""
    return not is_rank() and (topology.nodes > 1 or topology.processes_per_node > 1 or deepspeed is not None)


def torchrun(module: str, argv: Sequence[str], topology: Topology, store: Store) -> int:
    """Run this node's ranks to their end and return the pod's exit code: 2 where a rank found the configuration
    bad, 3 where they paused, 4 where another node was lost, 143 for SIGTERM, 1 for all else. Leaves the report of the
    rank that knows why. `store`: the run's own, which says whether it gets anywhere."""
    word, node = Word.from_env(os.environ), rendezvous.node_rank(os.environ)
    # Until there are ranks to tell, SIGTERM ends the wait for the first pod: a container's first process is not ended
    # by signals that it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    before = attempts.noted(store)
    try:
        command = _command(topology)
    except PeerLost as error:
        print(error, file=sys.stderr)
        told = RunReport(state="Failed", reason=error.reason, message=str(error))
        # All that wait find the same; the first of them speaks for the node that is not there.
        return _leave(word, *_counted(error.exit_code, told, node == 1, (store, before)))
    with tempfile.TemporaryDirectory(prefix="reasoner-ranks-") as folder:
        shared = Path(folder)
        environment = {**os.environ, WORKDIR: folder}
        child = subprocess.Popen([*command, "-m", module, *argv], env=environment)
        asked = _forward_sigterm(child, shared)
        code = child.wait()
        reports = [RunReport.model_validate_json(path.read_bytes()) for path in sorted(shared.glob("report-*.json"))]
        left = {int(json.loads(path.read_text())) for path in shared.glob("exit-*.json")}
        first = _first_failure(shared)
    nodes = topology.nodes + topology.rollout_nodes
    ended = verdict(Ending(code, left, first["code"] if first else None, bool(asked), nodes))
    told = _telling(reports, first)
    if ended == EXIT_PAUSED and node == 0:
        attempts.paused(store)
    return _leave(word, *_counted(ended, told, node == 0, (store, before)))


def enter_rank() -> None:
    """Set this rank apart before its report is made: only the main rank is heard while it runs, and each leaves its
    last word in the shared folder, for `torchrun` to choose from. By its number on this node, which stays the same when
    the group is formed anew: what an earlier rank left must not speak for this one."""
    local = os.environ["LOCAL_RANK"]
    report = workdir() / f"report-{int(local):04d}.json"
    for left in (report, workdir() / f"exit-{local}.json"):
        left.unlink(missing_ok=True)
    (workdir() / f"rank-{local}.pid").write_text(str(os.getpid()))
    os.environ["TERMINATION_MESSAGE_PATH"] = str(report)
    if os.environ["RANK"] != "0":
        os.environ["REPORT_PORT"] = "0"


def leave_rank(code: int) -> int:
    """Note the rank's exit code, which torchrun itself does not pass on."""
    (workdir() / f"exit-{os.environ['LOCAL_RANK']}.json").write_text(json.dumps(code))
    return code


def leave_at_once(code: int, reporter: Reporter) -> NoReturn:
    """End this process as it stands, from any thread: the main one waits for what will not come, and can no longer be
    asked to. The report that it has left stays its last word."""
    with contextlib.suppress(OSError):
        reporter.close()
        if is_rank():
            leave_rank(code)
    os._exit(code)


def workdir() -> Path:
    """The folder that this node's ranks share."""
    return Path(os.environ[WORKDIR])


def _counted(code: int, told: RunReport, counts: bool, begun: tuple[Store, int | None]) -> tuple[int, RunReport]:
    """Exit code and report as they are, or a failure: what is nobody's, again and again, must be counted by somebody.
    `counts`: whether by this node; `begun`: the run's store, and how many attempts it held before this one."""
    if code != EXIT_PEER_LOST or not counts or not attempts.stuck(*begun):
        return code, told
    why = f"the process group has broken {attempts.PATIENCE} times in a row at the same step"
    return EXIT_ERROR, RunReport(state="Failed", reason="GroupBroken", message=f"{why}; the last time: {told.message}")


def _leave(word: Word, code: int, report: RunReport) -> int:
    """Leave the pod's last word, where this is a pod. The exit code once more."""
    if word.termination_log is not None:
        word.termination_log.write_text(report.termination_message(), encoding="utf-8")
    return code


def _command(topology: Topology) -> list[str]:
    # Full option names: torchrun takes abbreviations for its own even behind the module's name.
    agent = "reasoner_workloads.training.agent"
    command = [sys.executable, "-m", agent, f"--nproc-per-node={topology.processes_per_node}"]
    if topology.nodes == 1:
        return [*command, "--standalone"]
    place = rendezvous.Place.from_env(os.environ)
    address = rendezvous.master_address(place, os.environ.get("POD_IP", ""), JOIN_SECONDS)
    meeting = {"is_host": str(place.node_rank == 0).lower(), "join_timeout": JOIN_SECONDS}
    # Meets anew when a node is replaced. A rank that fails fails its pod: the Job counts, and nobody else.
    return [
        *command,
        f"--nnodes={topology.nodes}",
        "--max-restarts=0",
        "--rdzv-backend=c10d",
        f"--rdzv-id={place.host}",
        f"--rdzv-endpoint={address}:{place.port}",
        f"--rdzv-conf={','.join(f'{key}={value}' for key, value in meeting.items())}",
        f"--local-addr={os.environ.get('POD_IP') or place.host}",
    ]


def _forward_sigterm(child: subprocess.Popen[bytes], shared: Path) -> list[int]:
    """Pass SIGTERM on to the ranks themselves, which leave together once they have saved: torchrun would kill them
    after 30 seconds, whatever the pod's grace period. The list is no longer empty once it has come."""
    asked: list[int] = []

    def forward(number: int, _frame: Any) -> None:
        asked.append(number)
        ranks = [int(text) for path in shared.glob("rank-*.pid") if (text := path.read_text())]
        for pid in ranks or [child.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    signal.signal(signal.SIGTERM, forward)
    return asked


def _first_failure(shared: Path) -> dict[str, int] | None:
    """Rank, its number on this node and exit code. One that has left its code and is ended by a signal afterwards, as
    its libraries come down, has ended as it said."""
    path = shared / FIRST_FAILURE
    if not path.exists():
        return None
    first = dict(json.loads(path.read_text()))
    said = shared / f"exit-{first['local']}.json"
    return {**first, "code": int(json.loads(said.read_text()))} if said.exists() else first


def _telling(reports: Sequence[RunReport], first: dict[str, int] | None) -> RunReport:
    """The report that names the cause: ranks that ended after another's failure only say so, and one that was killed
    says nothing."""
    causes = [item for item in reports if item.state in ("Failed", "Paused")]
    causes = [item for item in causes if item.reason not in ("Terminated", "PeerLost")]
    if not causes and first is not None and first["code"] < 0:
        name = signal.Signals(-first["code"]).name
        hint = ": out of memory, perhaps" if name == "SIGKILL" else ""
        return RunReport(state="Failed", reason="Killed", message=f"rank {first['rank']} was ended by {name}{hint}")
    lost = RunReport(state="Failed", reason="PeerLost", message="the process group did not form")
    return next(iter([*causes, *reports]), lost)
