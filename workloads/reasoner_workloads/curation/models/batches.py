"""Requests in batches, for half the price and within a day. Used by `endpoint` in place of single requests.

Requests wait for each other for a while, then go as one batch, of which the job's store has a note (`notes`): a pod
that is killed leaves a batch that its next life, or whoever takes over its rows, waits for in its place. A batch whose
id got lost is found again at the provider by its name. Of others' batches a pod follows those that hold what it wants,
and of the answers it keeps what its rows wait for: another row, later, has the batch read once more."""

from __future__ import annotations

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Collection, Coroutine, Iterable
from contextlib import suppress
from typing import Any

from reasoner_api.curation import Batch
from reasoner_workloads.common.store import Store
from reasoner_workloads.curation.models import wire
from reasoner_workloads.curation.models.batch_api import BatchAPI, Line, fault
from reasoner_workloads.curation.models.failures import Failure, Misconfigured, Passing
from reasoner_workloads.curation.models.notes import Note, Notes
from reasoner_workloads.curation.models.segments import Completion


class Batches:
    """The batches of one endpoint, as one pod sees them."""

    def __init__(self, spec: Batch, api: BatchAPI, store: Store, role: str) -> None:
        self._spec = spec
        self._api = api
        self._notes = Notes(store, role)
        #: Requests that are in no batch yet, by key.
        self._new: dict[str, dict[str, Any]] = {}
        #: Who waits for which answer.
        self._waiting: dict[str, list[asyncio.Future[Completion]]] = defaultdict(list)
        #: By key, the batch that will bring its answer, and the one that has, until that is kept.
        self._coming: dict[str, str] = {}
        self._brought: dict[str, str] = {}
        self._arrived, self._full = asyncio.Event(), asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._collecting: asyncio.Task[None] | None = None

    async def ask(self, key: str, body: dict[str, Any]) -> Completion:
        """The answer to a request, once its batch is over. Raises Passing, Refused or Misconfigured."""
        future: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self._waiting[key].append(future)
        if key not in self._coming:
            self._new[key] = body
            self._arrived.set()
            if len(self._new) >= self._spec.max_requests:
                self._full.set()
        if self._collecting is None or self._collecting.done():
            self._collecting = self._start(self._collect(), self._new)
        return await future

    async def kept(self, key: str) -> None:
        """The answer to a request is in the store. Raises StoreError."""
        await self._notes.settle(self._brought.pop(key, ""), key)

    async def close(self) -> None:
        """Wait for nothing more; what is under way is found again."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _collect(self) -> None:
        """Form batches of what comes, for ever."""
        while True:
            await self._arrived.wait()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._full.wait(), self._spec.wait_seconds)
            self._arrived.clear()
            self._full.clear()
            await self._adopt()
            wanted = dict(self._new)
            self._new.clear()
            keys = list(wanted)
            for start in range(0, len(keys), self._spec.max_requests):
                some = {key: wanted[key] for key in keys[start : start + self._spec.max_requests]}
                self._start(self._run(some), some)

    async def _adopt(self) -> None:
        """Wait for batches that others, or this pod's earlier lives, have begun, and that hold what is wanted."""
        async for name, note in self._notes.holding(self._new, but=set(self._coming.values())):
            if not note.id and (found := await self._api.find(name)):
                note.id = found
            if note.id:
                self._expect(name, note.keys)
                self._start(self._follow(note), note.keys)

    async def _run(self, requests: dict[str, dict[str, Any]]) -> None:
        name, note = secrets.token_hex(16), Note(keys=list(requests))
        self._expect(name, note.keys)
        await self._notes.write(name, note)
        note.id = await self._api.submit(name, requests)
        await self._notes.write(name, note)
        await self._follow(note)

    def _expect(self, name: str, keys: Collection[str]) -> None:
        self._notes.expect(name, keys)
        self._coming |= dict.fromkeys(keys, name)
        for key in keys:
            self._new.pop(key, None)

    async def _follow(self, note: Note) -> None:
        """Wait for a batch's end and hand out what it brings."""
        state = await self._api.ended(note.id)
        while state is None:
            await asyncio.sleep(self._spec.poll_seconds)
            state = await self._api.ended(note.id)
        failed, missing = fault(state), set(note.keys)
        async for line in self._api.lines(state):
            missing.discard(line.key)
            await self._bring(line)
        for key in missing:
            await self._lose(key, failed or Passing(f"batch {note.id} is {state.status} without an answer to it"))

    async def _bring(self, line: Line) -> None:
        if not self._waiting.get(line.key):
            self._coming.pop(line.key, None)
            return
        try:
            completion = wire.read(line.status, {}, line.body)
        except Failure as failure:
            await self._lose(line.key, failure)
            return
        self._brought[line.key] = self._coming.pop(line.key, "")
        for future in self._waiting.pop(line.key):
            if not future.done():
                future.set_result(completion)

    async def _lose(self, key: str, failure: Exception) -> None:
        """A request that no batch will bring an answer to; asked again, it goes into another."""
        try:
            await self._notes.settle(self._coming.pop(key, ""), key)
        finally:
            # Only now, as a failure may end the pod.
            self._fail(key, failure)

    def _fail(self, key: str, failure: BaseException) -> None:
        self._new.pop(key, None)
        for future in self._waiting.pop(key, []):
            if not future.done():
                future.set_exception(failure)

    def _start(self, work: Coroutine[Any, Any, None], keys: Iterable[str]) -> asyncio.Task[None]:
        """Do it beside; what ends it, a bug included, ends the waiting for these."""

        async def watched() -> None:
            try:
                await work
            except Misconfigured as failure:
                # A batch that the provider will not have is over; any other may go on, and is found again.
                if failure.field == "batch":
                    for key in list(keys):
                        await self._lose(key, failure)
                raise

        def end(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and (failure := task.exception()):
                for key in list(keys):
                    self._coming.pop(key, None)
                    self._fail(key, failure)

        task = asyncio.create_task(watched())
        self._tasks.add(task)
        task.add_done_callback(end)
        return task
