"""`reasoner local up` as a user starts it, in a terminal: whatever becomes of it, the process table is clean after."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from reasoner_local.client import PODS, Client
from reasoner_local.node.process import marked
from reasoner_local.state import ClusterState, StateDir
from support.local import eventually, phase, shell

LOCAL = (sys.executable, "-m", "reasoner_operator.cli", "local")
BARE = ("--no-operator", "--no-infra", "--no-seed")
#: What `up` starts at its fullest, beside the pods.
PARTS = {"api-server", "object-store", "operator", "teacher", "web"}


@dataclass
class Terminal:
    """A terminal in which one command runs; to the kernel it is the command's own."""

    master: int
    process: subprocess.Popen[bytes]

    def type(self, text: bytes) -> None:
        os.write(self.master, text)

    def close(self) -> None:
        """As a window is closed: the kernel sends SIGHUP to what runs in the foreground."""
        os.close(self.master)
        self.master = -1


@contextmanager
def terminal(*command: str) -> Iterator[Terminal]:
    master, slave = pty.openpty()
    process = subprocess.Popen(["setsid", "--ctty", *command], stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    made = Terminal(master, process)
    try:
        yield made
    finally:
        if made.master >= 0:
            made.close()
        if process.poll() is None:
            process.kill()
        process.wait()


def told(folder: Path) -> ClusterState | None:
    return StateDir(folder).read()


async def came_up(folder: Path) -> ClusterState:
    async def ready() -> ClusterState | None:
        found = told(folder)
        return found if found is not None and found.ready else None

    return await eventually(ready, 60)


async def run_pod(folder: Path) -> None:
    """A pod that leaves a child in a session of its own and an orphan, and does not heed signals."""
    script = "trap '' TERM HUP INT; setsid sleep 1000 & (setsid sleep 1001 &) ; while true; do sleep 0.1; done"
    async with Client.of(StateDir(folder).kubeconfig) as client:
        meta = {"name": "p", "namespace": "default"}
        await client.create(PODS, {"metadata": meta, "spec": {"containers": [shell(script)]}})

        async def running() -> bool:
            return phase(await client.get(PODS, "default", "p")) == "Running"

        await eventually(running, 20)


async def nobody_left(mark: str) -> None:
    async def none() -> bool:
        return not marked(mark)

    await eventually(none, 20)


#: sentence -> what the user does to a cluster in the foreground
ENDS: dict[str, Callable[[Terminal], None]] = {
    "Ctrl-C": lambda terminal: terminal.type(b"\x03"),
    "the terminal is closed": Terminal.close,
    "the daemon crashes": lambda terminal: terminal.process.send_signal(signal.SIGSEGV),
}


@pytest.mark.parametrize("sentence", ENDS)
async def test_a_cluster_in_the_foreground_ends_whole(sentence: str, tmp_path: Path) -> None:
    with terminal(*LOCAL, "up", "--foreground", *BARE, "--state-dir", str(tmp_path)) as shown:
        mark = (await came_up(tmp_path)).mark
        await run_pod(tmp_path)
        assert len(marked(mark)) > 3
        ENDS[sentence](shown)
        await asyncio.to_thread(shown.process.wait, 30)
        await nobody_left(mark)


async def test_a_cluster_in_the_background_outlives_its_terminal_and_ends_by_down(tmp_path: Path) -> None:
    with terminal(*LOCAL, "up", *BARE, "--state-dir", str(tmp_path)) as shown:
        assert await asyncio.to_thread(shown.process.wait, 60) == 0
        shown.close()
    state = told(tmp_path)
    assert state is not None
    await run_pod(tmp_path)
    done = await asyncio.to_thread(subprocess.run, [*LOCAL, "down", "--state-dir", str(tmp_path)], check=True)
    assert done.returncode == 0 and marked(state.mark) == []


async def test_a_start_that_is_broken_off_leaves_nothing(tmp_path: Path) -> None:
    with terminal(*LOCAL, "up", "--foreground", "--no-seed", "--state-dir", str(tmp_path)) as shown:

        async def begun() -> str:
            found = told(tmp_path)
            return found.mark if found is not None and len(marked(found.mark)) > 1 else ""

        mark = await eventually(begun, 30)
        state = told(tmp_path)
        assert state is not None and not state.ready
        shown.type(b"\x03")
        await asyncio.to_thread(shown.process.wait, 30)
        await nobody_left(mark)


async def test_all_parts_go_with_a_daemon_that_is_killed(tmp_path: Path) -> None:
    with terminal(*LOCAL, "up", "--foreground", "--no-seed", "--state-dir", str(tmp_path)) as shown:
        state = await came_up(tmp_path)
        assert {part.name for part in state.parts} == PARTS
        assert {part.pid for part in state.parts} - {shown.process.pid} <= set(marked(state.mark))
        shown.process.kill()
        await asyncio.to_thread(shown.process.wait, 30)
        await nobody_left(state.mark)
