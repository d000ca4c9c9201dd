"""How many requests are in flight: as many as the spec allows, fewer while the server is asked too much. Used by
`endpoint`.

Additive increase, multiplicative decrease, as in TCP: a 429, a 503 or a time-out halves the number, requests that take
more than half of their time-out lower it by a tenth (one that times out is paid for and brings nothing), and every
answer that comes well raises it a little."""

from __future__ import annotations

import asyncio
import time
from collections import deque

PRESSED, SLOW = 0.5, 0.9
#: Round trips in which the number comes back from nothing to all.
RECOVERY = 64


class Gate:
    """A semaphore whose size follows what the server can take. An async context manager."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(most)
        self.flying = 0
        self._step = max(1.0, most / RECOVERY)
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._lowered = 0.0

    async def __aenter__(self) -> None:
        if not self._waiting and self.flying < int(self.limit):
            self.flying += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # Its turn had come all the same, and goes to the next.
                self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def eased(self) -> None:
        """A request was answered in good time."""
        if self.limit < self.most:
            self.limit = min(float(self.most), self.limit + self._step / self.limit)
            self._admit()

    def lower(self, factor: float, began: float) -> None:
        """A request that began then (`time.monotonic`) met a server in trouble. Those that were in flight together say
        the same, and count once."""
        if began >= self._lowered:
            self._lowered = time.monotonic()
            self.limit = max(1.0, self.limit * factor)

    def _leave(self) -> None:
        self.flying -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self.flying < int(self.limit):
            turn = self._waiting.popleft()
            if not turn.done():
                self.flying += 1
                turn.set_result(None)
