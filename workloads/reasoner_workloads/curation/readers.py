"""Pages read beside the event loop: one that is built to wear its reader out holds up no other row's answers, time-outs
and requests. Opened by `pod`, used by `stages`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from reasoner_workloads.curation.survey import Survey

T = TypeVar("T")

#: Pages read at a time. Much of it holds Python's lock, so more would not be faster; of fewer, bad ones hold up all.
THREADS = 4
#: Characters of the pages that wait for their reader, beyond which no others are taken from the web and the cache.
MOST_WAITING = 32 << 20
#: Characters read until the threads are replaced: libxml2 remembers each name of an element or an attribute that a
#: thread has met, for as long as the thread lives, and pages may invent theirs.
RENEWED_AFTER = 64 << 20


class Readers:
    """The threads that read a pod's pages, each page in one of them. An async context manager."""

    def __init__(self) -> None:
        self._threads = _started()
        self._taken = 0
        self._waiting = 0
        #: By page, what is laid out just now.
        self._surveys: dict[str | bytes, asyncio.Task[Survey]] = {}
        self._room = asyncio.Event()
        self._room.set()

    async def __aenter__(self) -> Readers:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def room(self) -> None:
        """Return when pages may be taken in hand."""
        await self._room.wait()

    async def survey(self, page: str | bytes, lay_out: Callable[[], Survey]) -> Survey:
        """What `lay_out` finds on a page, once for all rows that ask meanwhile. Raises as `lay_out`."""
        if (under_way := self._surveys.get(page)) is None:
            under_way = asyncio.create_task(self.read(len(page), lay_out))
            self._surveys[page] = under_way
            under_way.add_done_callback(partial(self._surveyed, page))
        return await asyncio.shield(under_way)

    def _surveyed(self, page: str | bytes, ended: asyncio.Task[Survey]) -> None:
        del self._surveys[page]
        if not ended.cancelled():
            ended.exception()  # its rows have heard of it, those that are still there

    async def read(self, size: int, work: Callable[[], T]) -> T:
        """What `work` makes of a page of so many characters. Raises as `work`."""
        self._taken += size
        if self._taken > RENEWED_AFTER:
            # What is under way is finished by the old ones.
            self._threads.shutdown(wait=False)
            self._threads, self._taken = _started(), size
        self._hold(size)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._hold(-size)

    def _hold(self, size: int) -> None:
        self._waiting += size
        if self._waiting > MOST_WAITING:
            self._room.clear()
        else:
            self._room.set()


def _started() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="reader")
