"""Requests that outlive the rows that wanted them. Used by `endpoint` and `llm`.

A row may be given up while its request is under way: another row has failed, the budget is spent, the pod is told to
go. An answer on its way is paid for all the same, so it is waited for and kept; what was not sent yet is not sent."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

#: Seconds that answers on their way are waited for at the end: a pod that is told to go has two minutes.
LANDING_SECONDS = 90.0


class Flights:
    """The requests of a pod."""

    def __init__(self) -> None:
        self.landing = False
        self._all: set[asyncio.Task[Any]] = set()
        self._sent: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` brings, which goes on when the caller is cancelled."""
        task = asyncio.create_task(work)
        self._all.add(task)
        task.add_done_callback(self._end)
        return await asyncio.shield(task)

    @contextmanager
    def sent(self) -> Iterator[None]:
        """From the sending of the present task's request to its answer; once that is there, to the task's end."""
        task = asyncio.current_task()
        assert task is not None
        self._sent.add(task)
        try:
            yield
        except BaseException:
            self._sent.discard(task)
            raise

    async def land(self) -> None:
        """Wait for what was sent, give up what was not; nothing is tried again."""
        self.landing = True
        for task in self._all - self._sent:
            task.cancel()
        if self._all:
            _, late = await asyncio.wait(self._all, timeout=LANDING_SECONDS)
            for task in late:
                task.cancel()

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._all.discard(task)
        self._sent.discard(task)
