"""Keeps the cluster's own child processes running: object store, teacher, web server, operator.
Used by `cluster`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from reasoner_local.node.process import Launch, Process, StartError

log = logging.getLogger(__name__)

_MAX_DELAY = 30.0
_GRACE = 10.0
#: Ends in a row after which a child that is waited for counts as broken.
_HOPELESS = 3


class Broken(Exception):
    """A child does not come up; the message names its log."""


@dataclass(frozen=True)
class Child:
    """A process to keep running; `port` is nought where it serves nothing."""

    name: str
    argv: list[str]
    env: dict[str, str]
    folder: Path
    log: Path
    host: str = ""
    port: int = 0

    @property
    def address(self) -> str:
        """Where it serves."""
        return f"http://{self.host}:{self.port}" if self.port else ""


class Supervised:
    """One child, started again whenever it ends."""

    def __init__(self, child: Child, changed: Callable[[], None]) -> None:
        self.child = child
        self.pid = 0
        self._changed = changed
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._failures = 0

    async def start(self) -> None:
        """Begin; the first attempt to start it has been made when this returns."""
        self._task = asyncio.create_task(self._run(), name=self.child.name)
        await self._tried.wait()

    async def _run(self) -> None:
        launch = Launch(self.child.argv, self.child.env, str(self.child.folder), str(self.child.log))
        while True:
            begun = asyncio.get_running_loop().time()
            try:
                self._process = await Process.start(launch)
            except StartError as error:
                log.error("%s cannot be started: %s", self.child.name, error)
                self._tried.set()
            else:
                self.pid = self._process.pid
                self._changed()
                self._tried.set()
                code = await self._process.wait()
                log.warning("%s ended with exit code %d; its log is %s", self.child.name, code, self.child.log)
            lasted = asyncio.get_running_loop().time() - begun
            self._failures = 1 if lasted > 2 * _MAX_DELAY else self._failures + 1
            await asyncio.sleep(min(0.5 * 2.0 ** (self._failures - 1), _MAX_DELAY))

    async def ready(self, limit: float = 60.0) -> None:
        """Wait until its port answers. Raises Broken after `limit` seconds, or when it keeps ending."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + limit
        # Another process tells of itself by its port alone, so there is nothing to be woken by.
        while not await self._answers():
            if self._failures >= _HOPELESS or loop.time() > give_up:
                raise Broken(f"{self.child.name} does not come up; its log is {self.child.log}")
            await asyncio.sleep(0.05)

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(self.child.host, self.child.port)
        except OSError:
            return False
        writer.close()
        return True

    async def stop(self) -> None:
        """End the child for good."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._process is not None:
            await self._process.stop(_GRACE)
