"""A work queue of keys: each key is worked on by one worker at a time, repeated requests collapse, failures come
again with growing delay. Used by `main`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from reasoner_operator import metrics
from reasoner_operator.seen import Key

log = logging.getLogger(__name__)

#: Seconds before the first retry of a failed key; doubled each time, up to the last.
RETRY_FIRST = 0.5
RETRY_LAST = 60.0


class Queue:
    """Keys waiting for `work(key)`, which returns the seconds after which the key should come again, or None."""

    def __init__(self, work: Callable[[Key], Awaitable[float | None]], retriable: type[Exception]) -> None:
        self._work = work
        self._retriable = retriable
        self._ready: asyncio.Queue[Key] = asyncio.Queue()
        #: The keys that wait, and since when by the event loop's clock.
        self._queued: dict[Key, float] = {}
        self._busy: set[Key] = set()
        self._again: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}

    def add(self, key: Key) -> None:
        """Have the key worked on soon; at once again if it is being worked on now."""
        if key in self._busy:
            self._again.add(key)
        elif key not in self._queued:
            self._queued[key] = asyncio.get_running_loop().time()
            self._ready.put_nowait(key)
            metrics.queued(len(self._queued))

    def add_after(self, key: Key, seconds: float) -> None:
        """Have the key worked on later; of several times the earliest counts."""
        loop = asyncio.get_running_loop()
        when = loop.time() + seconds
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= when:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(when, self._due, key)

    def _due(self, key: Key) -> None:
        del self._timers[key]
        self.add(key)

    async def run(self, workers: int = 8) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._worker())

    async def _worker(self) -> None:
        while True:
            key = await self._ready.get()
            since = self._queued.pop(key)
            metrics.taken(len(self._queued), asyncio.get_running_loop().time() - since)
            self._busy.add(key)
            try:
                again_after = await self._attempt(key)
            finally:
                self._busy.discard(key)
            if key in self._again:
                self._again.discard(key)
                self.add(key)
            elif again_after is not None:
                self.add_after(key, again_after)

    async def _attempt(self, key: Key) -> float | None:
        try:
            with metrics.reconciliation(key.kind):
                again_after: float | None = await self._work(key)
        except self._retriable as error:
            metrics.failed(key.kind)
            delay = self._delay(key)
            log.warning("%s: %s; again in %.1f s", key, error, delay)
            return delay
        except Exception:
            # A bug. Whatever trips over it is one object of one tenant: the others' work goes on, and this one is
            # tried again, since what it tripped over may have changed.
            metrics.failed(key.kind, bug=True)
            log.exception("%s: a bug in the operator", key)
            return self._delay(key)
        metrics.passed(key.kind, again=again_after is not None)
        self._failures.pop(key, None)
        return again_after

    def _delay(self, key: Key) -> float:
        """Seconds until a key that has failed comes again."""
        failures = self._failures.get(key, 0) + 1
        self._failures[key] = failures
        return min(RETRY_FIRST * 2.0 ** min(failures - 1, 20), RETRY_LAST)
