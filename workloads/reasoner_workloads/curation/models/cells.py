"""The kept answers of a stretch of rows, as one pod reads and adds to them. Opened by `responses`, asked by `llm`.

A cell's own objects and those of the cells that it is part of are read at once; those of the cells that are part of it,
which a job of many more rows has left, only as rows come that lie in them: a small job after a large one reads what it
may use. A cell that is done with becomes one object."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Protocol
from weakref import WeakValueDictionary

from reasoner_workloads.common.store import Missing, Store
from reasoner_workloads.curation.models.segments import Completion, Known, pack, unpack

log = logging.getLogger(__name__)

ROOT = "cache/responses/b"
#: Binary digits of a row's place on the line of hashes.
_LINE = 64


class _Responses(Protocol):
    """Whose cell it is."""

    store: Store
    threads: Executor

    async def commit(self, cell: Cell, key: str, completion: Completion) -> None: ...


class Cell:
    """One cell while its rows are at hand."""

    def __init__(self, responses: _Responses, digits: str) -> None:
        self._responses = responses
        self._digits = digits
        self._known = Known()
        self._objects: set[str] = set()
        #: By the digits of a cell that is part of this one: its reading, once that has begun.
        self._below: dict[str, asyncio.Future[None] | None] = {}
        self._deepest = 0
        self._asked: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._users = 0
        self._closed = False
        self.is_dropped = False

    def at(self, place: int) -> Answers:
        """The answers to what a row asks, by its place on the line of hashes."""
        return Answers(self, place)

    async def answer(self, key: str, ask: Callable[[], Awaitable[Completion]], place: int) -> tuple[Completion, bool]:
        """As `Answers.answer`, for the row at a place."""
        lock = self._asked.setdefault(key, asyncio.Lock())
        self._users += 1
        try:
            async with lock:
                await self._reach(place)
                if (kept := self._known.get(key)) is not None:
                    return kept, True
                completion = await ask()
                await self._responses.commit(self, key, completion)
                return completion, False
        finally:
            self._users -= 1
            self._drop_unused()

    async def close(self) -> None:
        """Make one object of the cell's many. What a row that was given up has still asked is kept when it comes.
        Raises StoreError."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._responses.threads, self._join)
        finally:
            self._closed = True
            self._drop_unused()

    def drop(self) -> None:
        """Let go of what was read; nothing in the store changes."""
        if not self.is_dropped:
            self.is_dropped = True
            self._known.close()

    def _drop_unused(self) -> None:
        if self._closed and not self._users:
            self.drop()

    def read(self) -> None:
        """Read what is kept of the cell and of those that it is part of."""
        for size in range(len(self._digits) + 1):
            self._read(self._digits[:size])
        keys = self._responses.store.list(ROOT + self._digits)
        around = {key.removeprefix(ROOT).partition("/")[0] for key in keys}
        self._below = dict.fromkeys(around - {self._digits})
        self._deepest = max(map(len, around), default=0)

    async def _reach(self, place: int) -> None:
        """Read what is kept of the cells below that a place lies in."""
        line = f"{place:0{_LINE}b}"
        for size in range(len(self._digits) + 1, self._deepest + 1):
            digits = line[:size]
            if digits not in self._below:
                continue
            reading = self._below[digits]
            if reading is None:
                reading = asyncio.get_running_loop().run_in_executor(self._responses.threads, self._read, digits)
                self._below[digits] = reading
            await asyncio.shield(reading)

    def _read(self, digits: str) -> None:
        folder, read = f"{ROOT}{digits}/", set[str]()
        while keys := [key for key in self._responses.store.list(folder) if key not in read]:
            for key in keys:
                read.add(key)
                try:
                    self._take(key, self._responses.store.get(key), digits == self._digits)
                except Missing:
                    # Joined by whoever is done with that cell: the next list has what it was joined to.
                    self._objects.discard(key)

    def _take(self, key: str, packed: bytes, own: bool) -> None:
        try:
            self._known.add(list(unpack(packed)), own=own)
        except (OSError, ValueError, KeyError) as error:
            log.warning("%s is damaged (%s): what it held is asked for again", self._responses.store.at(key), error)
            return
        if own:
            self._objects.add(key)

    def write(self, name: str, lines: list[tuple[str, bytes]]) -> None:
        """Write a segment."""
        key = f"{ROOT}{self._digits}/{name}"
        self._responses.store.put(key, pack(one for _, one in lines))
        if not self.is_dropped:  # by the last who waited for it, and waits no more
            self._known.add(lines, own=True)
            self._objects.add(key)

    def _join(self) -> None:
        # Those of now: one that is written meanwhile may hold what is not in the whole.
        objects = set(self._objects)
        if len(objects) < 2:
            return
        packed = pack(self._known.own())
        whole = f"{ROOT}{self._digits}/{hashlib.sha256(packed).hexdigest()[:16]}.jsonl.zst"
        self._responses.store.put(whole, packed)
        for key in objects - {whole}:
            self._responses.store.delete(key)


class Answers:
    """The kept answers to what one row asks."""

    def __init__(self, cell: Cell, place: int) -> None:
        self._cell = cell
        self._place = place

    async def answer(self, key: str, ask: Callable[[], Awaitable[Completion]]) -> tuple[Completion, bool]:
        """The kept answer to the request of that digest, else what `ask` brings, kept; and whether it was there. Rows
        that want the same at the same time ask once. Raises StoreError, and as `ask`."""
        return await self._cell.answer(key, ask, self._place)
