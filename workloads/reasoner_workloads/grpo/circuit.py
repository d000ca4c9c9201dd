"""A circuit breaker: while a server answers, requests go as they come; once it does not, one at a time, further and
further apart, until it answers again or has been away for too long. Used by `verifier_client`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from reasoner_workloads.common.run import WorkloadError

T = TypeVar("T")

#: Failures in a row that open the circuit.
TOLERATED = 8
#: Failures of one attempt while others are answered, after which it is given up.
OWN = 8


class NoAnswer(Exception):
    """Raised by an attempt that brought nothing this time; another may bring something."""


class VerifierUnavailable(WorkloadError):
    """There is no verdict, and none is made up."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="VerifierUnavailable")


@dataclass(frozen=True)
class Patience:
    """How a server is waited for."""

    first: float = 0.5
    """Seconds between the first tries."""
    longest: float = 30.0
    """Seconds between later ones at most."""
    tell: Callable[[str], None] = print
    """Told once when the server is taken to be away."""
    answered: Callable[[], None] = lambda: None
    """Called at each answer."""
    stopping: Callable[[], bool] = lambda: False
    """Whether there is no more time to wait."""

    def pause(self, failures: int) -> float:
        """What is waited after so many failures in a row."""
        return min(self.first * 2.0 ** max(failures - 1, 0), self.longest)


class Circuit:
    """The state of one server, seen from one event loop."""

    def __init__(self, wait_seconds: float, patience: Patience) -> None:
        self.wait_seconds, self.patience = wait_seconds, patience
        self.answers = 0
        self._failures = 0
        self._since = time.monotonic()
        self._turn = asyncio.Lock()
        self._known: Callable[[], Awaitable[Any]] | None = None

    @property
    def open(self) -> bool:
        """Whether the server is taken to be away."""
        return self._failures >= TOLERATED

    def begin(self) -> None:
        """Something is about to be asked, after a while in which nothing was."""
        self._since = time.monotonic()

    async def ask(self, attempt: Callable[[], Awaitable[T]]) -> T | None:
        """What the attempt brings, tried again until it does. None where it has failed again and again while others
        were answered: the fault is its own. Raises VerifierUnavailable when the server stays away."""
        own, seen = 0, self.answers
        while True:
            found = await (self._in_turn(attempt) if self.open else self._try(attempt))
            if found is not None:
                self._known = attempt
                return found
            if self.answers == seen and self._known is not None and (own or self.open):
                # Nobody else may be asking: is it the server, or this request?
                await self._try(self._known)
            if self.answers > seen:
                own, seen = own + 1, self.answers
            if own >= OWN:
                return None
            if not self.open:
                # Not for long where others are answered.
                await asyncio.sleep(self.patience.pause(min(own, 3)))

    async def _in_turn(self, attempt: Callable[[], Awaitable[T]]) -> T | None:
        async with self._turn:
            if self.open:
                left = self._since + self.wait_seconds - time.monotonic()
                await asyncio.sleep(max(0.0, min(self.patience.pause(self._failures - TOLERATED + 1), left)))
                return await self._try(attempt)
        return await self._try(attempt)

    async def _try(self, attempt: Callable[[], Awaitable[T]]) -> T | None:
        try:
            found = await attempt()
        except NoAnswer as why:
            self._failed(str(why))
            return None
        self.answers += 1
        self.patience.answered()
        self._failures = 0
        self._since = time.monotonic()
        return found

    def _failed(self, why: str) -> None:
        self._failures += 1
        silent = time.monotonic() - self._since
        if silent >= self.wait_seconds or (self.open and self.patience.stopping()):
            raise VerifierUnavailable(f"{why} (no answer for {silent:.0f} s)")
        if self._failures == TOLERATED:
            self.patience.tell(f"{why}; it is asked again for {self.wait_seconds:.0f} s before the run gives up")
