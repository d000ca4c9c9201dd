"""One vLLM process of a rollout pod: started, looked after, ended. Used by `server`; an event loop's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp

from reasoner_workloads.common.run import ConfigError, WorkloadError

#: Seconds that it has to end by itself.
END_SECONDS = 20.0
#: Times in a row that a ready server may not answer before it is taken for dead, and seconds for each answer.
MISSES, ANSWER_SECONDS = 6, 10.0
#: Lines of its log, and characters of them, that go into a message.
LAST_LINES, LAST_CHARACTERS = 20, 1500


@dataclass
class Engine:
    """`vllm serve`, from its start to its end."""

    command: Sequence[str]
    env: dict[str, str]
    url: str
    startup_seconds: float
    ready: bool = False
    used: bool = False
    """Whether a trainer has sent it weights, or may have: the next one gets a fresh engine."""
    _began: float = 0.0
    _missed: int = 0
    _process: asyncio.subprocess.Process | None = None
    _reader: asyncio.Task[None] | None = None
    _last: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))

    async def start(self) -> None:
        """Start it; `look` says when it is ready."""
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self.command, env=self.env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise ConfigError("rollout.mode: this image holds no vllm; use one that does") from error
        self.ready, self.used, self._missed, self._began = False, False, 0, time.monotonic()
        self._reader = asyncio.create_task(self._pass_on(self._process))

    @property
    def age(self) -> float:
        """Seconds since its start."""
        return time.monotonic() - self._began

    @property
    def loading(self) -> str:
        """What it is doing before it is ready, in words."""
        return f"vLLM is loading the model, since {self.age:.0f} s"

    async def look(self, session: aiohttp.ClientSession) -> None:
        """See how it is.

        Raises:
            ConfigError: it refuses its arguments.
            WorkloadError: it has ended, is not ready in time, or answers no more.
        """
        assert self._process is not None
        if self._process.returncode is not None:
            raise await self._ended(self._process.returncode)
        if await self._answers(session):
            self.ready, self._missed = True, 0
        elif self.ready:
            self._missed += 1
            if self._missed >= MISSES:
                raise WorkloadError(
                    f"the vLLM server has not answered {MISSES} times in a row", reason="RolloutServerHangs"
                )
        elif self.age > self.startup_seconds:
            raise WorkloadError(
                f"the vLLM server is not ready after {self.startup_seconds:.0f} s (rollout.server.startupSeconds): "
                f"{self._tail()}",
                reason="RolloutServerNotReady",
            )

    async def end(self) -> None:
        """End it and its workers."""
        if self._process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            # Also after its own end: workers may have outlived it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), END_SECONDS)
        if self._reader is not None:
            await self._reader
        self._process, self.ready = None, False

    async def _answers(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(f"{self.url}/health") as reply:
                return reply.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _ended(self, code: int) -> WorkloadError:
        if self._reader is not None:
            await self._reader
        if code == 2:
            # argparse's word for arguments that it does not know.
            return ConfigError(f"rollout.server.args: vLLM refuses them: {self._tail()}")
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return WorkloadError(f"the vLLM server ended ({how}): {self._tail()}", reason="RolloutServerFailed")

    async def _pass_on(self, process: asyncio.subprocess.Process) -> None:
        """Its output, to this pod's log; the end of it is kept for messages."""
        assert process.stdout is not None
        while line := await process.stdout.readline():
            text = line.decode(errors="replace").rstrip()
            print(text, flush=True)
            if text:
                self._last.append(text)

    def _tail(self) -> str:
        return " | ".join(self._last)[-LAST_CHARACTERS:] or "it said nothing"
