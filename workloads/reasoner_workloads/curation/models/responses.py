"""Every answer of a model, kept in the object store before anything depends on it: a pod that takes over, a later run
and an edited later stage pay for no request that was answered once. Opened by `pod`, asked by `llm`.

Answers lie in cells (`cells`). A cell is one of 2^n equal stretches of the line of rows' hashes, named by its number in
n binary digits: whatever the shards, a row's answers are in a cell whose digits its hash begins with. So a job finds
what another kept, and a pod reads no more than what the rows at hand may ask for.

`cache/responses/b<digits>/<writer>-<number>.jsonl.zst` holds what came while the segment before it was written: one
answer where they are rare, many where they are not. A pod that is killed loses what was in flight to the models and
what was in flight to the store, and no more. A cell that is done with becomes one object."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

from reasoner_workloads.common.store import Store, StoreError
from reasoner_workloads.curation.models.cells import Cell
from reasoner_workloads.curation.models.segments import Completion, line

#: Seconds from the start of one commit to that of the next at least: what comes meanwhile shares its requests, which
#: object stores charge for.
COMMIT_SECONDS = 0.2
#: The store's requests at a time: its client blocks.
THREADS = 8

_Lines = dict[Cell, list[tuple[str, bytes]]]


def digits_of(number: int, count: int) -> str:
    """The name of a cell: `number` of `count` equal stretches, a power of two."""
    if count & (count - 1) or not 0 <= number < count:
        raise ValueError(f"cell {number} of {count}")
    return f"{number:0{count.bit_length() - 1}b}" if count > 1 else ""


class _Arrival(NamedTuple):
    cell: Cell
    key: str
    line: bytes
    durable: asyncio.Future[None]


class Responses:
    """The answers in a store, as one pod reads and adds to them. An async context manager; what has arrived by its end
    is kept."""

    def __init__(self, store: Store, writer: str, before: Callable[[], None] = lambda: None) -> None:
        """`writer` is this pod's in this life and no other's; `before` is called, in a thread, before each commit.
        Raises StoreError, as `before` may."""
        self.store = store
        self._writer = writer
        self._before = before
        self._number = 0
        self._arrived: list[_Arrival] = []
        self._something = asyncio.Event()
        self._ending = asyncio.Event()
        self._bug: BaseException | None = None
        self._cells: set[Cell] = set()
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="responses")

    async def __aenter__(self) -> Responses:
        self._committing = asyncio.create_task(self._commit_all())
        self._committing.add_done_callback(self._end)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ending.set()
        self._something.set()
        try:
            # SIGTERM cancels the committing as well, which must not cost what has arrived.
            with suppress(asyncio.CancelledError):
                await self._committing
            await self._commit(*self._take_all())
        finally:
            self.threads.shutdown()
            for cell in self._cells:
                cell.drop()

    async def open(self, digits: str) -> Cell:
        """A cell, with all that is kept of it. Raises StoreError."""
        self._cells = {cell for cell in self._cells if not cell.is_dropped}
        cell = Cell(self, digits)
        self._cells.add(cell)
        await asyncio.get_running_loop().run_in_executor(self.threads, cell.read)
        return cell

    async def commit(self, cell: Cell, key: str, completion: Completion) -> None:
        """Return when an answer is durable. Raises StoreError."""
        if self._bug is not None:
            raise self._bug
        durable = asyncio.get_running_loop().create_future()
        self._arrived.append(_Arrival(cell, key, line(key, completion), durable))
        self._something.set()
        await durable

    async def _commit_all(self) -> None:
        while self._arrived or not self._ending.is_set():
            await self._something.wait()
            self._something.clear()
            began = time.monotonic()
            await self._commit(*self._take_all())
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), COMMIT_SECONDS - (time.monotonic() - began))

    def _end(self, committing: asyncio.Task[None]) -> None:
        """A bug ends the waiting of all that would else wait for ever."""
        if not committing.cancelled():
            self._bug = committing.exception()
        if self._bug is not None:
            for one in self._arrived:
                if not one.durable.done():
                    one.durable.set_exception(self._bug)

    def _take_all(self) -> tuple[list[asyncio.Future[None]], _Lines]:
        """What has arrived: who waits, and the answers by cell."""
        arrived, self._arrived = self._arrived, []
        by_cell: _Lines = defaultdict(list)
        for one in arrived:
            by_cell[one.cell].append((one.key, one.line))
        return [one.durable for one in arrived], by_cell

    async def _commit(self, waiting: list[asyncio.Future[None]], by_cell: _Lines) -> None:
        error: BaseException | None = None
        try:
            # One call, which a cancelled commit does not stop halfway.
            await asyncio.get_running_loop().run_in_executor(self.threads, self._write, by_cell)
        except StoreError as refused:
            error = refused
        except BaseException as bug:
            error = bug
            raise
        finally:
            for durable in waiting:
                if not durable.done():
                    durable.set_exception(error) if error else durable.set_result(None)

    def _write(self, by_cell: _Lines) -> None:
        if not by_cell:
            return
        self._before()
        self._number += 1
        name = f"{self._writer}-{self._number:06d}.jsonl.zst"
        for written in [self.threads.submit(cell.write, name, lines) for cell, lines in by_cell.items()]:
            written.result()
