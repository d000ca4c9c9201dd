"""One program under its reaper. Used by `container`, by probes and by `supervisor`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from reasoner_local.node import reaper

#: Environment variable that marks every process of a cluster, with the cluster's id.
MARK = "REASONER_LOCAL_CLUSTER"
#: The same for all that one program has started.
RUN = "REASONER_LOCAL_RUN"


@dataclass(frozen=True)
class Launch:
    """What to run."""

    argv: list[str]
    env: dict[str, str]
    cwd: str
    log: str
    #: File that it sees as /etc/hosts, and its host name; the machine's own where it is empty.
    hosts: str = ""
    hostname: str = ""
    #: File beside the log that says when what was written; none where it is empty.
    times: str = ""


class StartError(Exception):
    """The program could not be run at all."""


class Process:
    """A running program; made by `start`."""

    def __init__(self, keeper: asyncio.subprocess.Process, pid: int, run: str) -> None:
        self.pid = pid
        self._run = run
        self._keeper = keeper
        self._end = asyncio.ensure_future(self._await_end())

    @classmethod
    async def start(cls, launch: Launch) -> Process:
        """Start a program; raises StartError where it cannot be run."""
        run = uuid.uuid4().hex
        launch = replace(launch, env={**launch.env, RUN: run})
        keeper = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", reaper.__file__),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={"PATH": launch.env.get("PATH", os.defpath), MARK: launch.env.get(MARK, "")},
            start_new_session=True,
        )
        if keeper.stdin is None or keeper.stdout is None:
            raise RuntimeError("the reaper was started without its pipes")
        keeper.stdin.write(json.dumps(asdict(launch)).encode() + b"\n")
        try:
            answer = json.loads(await keeper.stdout.readline() or b'{"error": "the reaper was killed"}')
        except asyncio.CancelledError:
            # The reaper takes this for its parent's end, and what it may have started with it.
            keeper.stdin.close()
            await keeper.wait()
            raise
        if "error" in answer:
            await keeper.wait()
            raise StartError(_explain(launch.argv[0], answer))
        return cls(keeper, answer["pid"], run)

    async def _await_end(self) -> int:
        if self._keeper.stdout is None:
            raise RuntimeError("the reaper was started without its pipes")
        line = await self._keeper.stdout.readline()
        await self._keeper.wait()
        if line:
            return int(json.loads(line)["exit"])
        # A reaper that was killed took the program with it (its parent-death signal), but told nobody, and what the
        # program had started is now the system's.
        while kill_marked(self._run, RUN):  # noqa: ASYNC110 - only the process table tells
            await asyncio.sleep(0.005)
        return 128 + signal.SIGKILL

    async def wait(self) -> int:
        """The exit code, once the program and all that it started have ended."""
        return await asyncio.shield(self._end)

    def terminate(self) -> None:
        """Ask the program to end (SIGTERM)."""
        self._order(b"TERM\n")

    def kill(self) -> None:
        """End the program and all that it started (SIGKILL)."""
        self._order(b"KILL\n")

    def _order(self, order: bytes) -> None:
        if self._keeper.stdin is not None and not self._end.done():
            self._keeper.stdin.write(order)

    async def stop(self, grace: float) -> int:
        """SIGTERM, after `grace` seconds SIGKILL; the exit code."""
        self.terminate()
        try:
            # Not wait_for: that of Python 3.11 swallows a cancellation that comes together with the end.
            async with asyncio.timeout(grace):
                return await self.wait()
        except TimeoutError:
            self.kill()
            return await self.wait()


async def can_set_apart(folder: Path, base_env: dict[str, str]) -> bool:
    """Whether this machine lets programs have an /etc/hosts of their own: containers and some distributions do not
    permit the namespaces that it takes."""
    hosts = folder / "hosts.probe"
    hosts.touch()
    try:
        process = await Process.start(Launch(["true"], base_env, "/", os.devnull, str(hosts), "probe"))
    except StartError:
        return False
    finally:
        hosts.unlink()
    return await process.wait() == 0


def _explain(program: str, answer: dict[str, str | int]) -> str:
    if answer.get("errno") == 2 and "/" not in program:
        why = f'exec: "{program}": executable file not found in $PATH'
    else:
        why = f'exec: "{program}": {str(answer["error"]).lower()}'
    return f"failed to create containerd task: failed to create shim task: unable to start container process: {why}"


def marked(mark: str, name: str = MARK) -> list[int]:
    """Processes of the cluster (or run) with that id, other than this one and those that have ended."""
    wanted = f"{name}={mark}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            # Gone meanwhile, or another user's.
            continue
    return found


def kill_marked(mark: str, name: str = MARK) -> list[int]:
    """Kill what is left of a cluster (or run); returns whom."""
    found = marked(mark, name)
    for pid in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return found
