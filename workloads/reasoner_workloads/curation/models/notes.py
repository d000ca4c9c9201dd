"""What a job's store knows of the batches that are under way. Used by `batches`.

A note says which requests a batch holds, and its id as soon as there is one; it is written before the batch is begun.
It goes when one pod has kept all answers that it waits for, or they will never come; where several have kept some each,
it stays until the job is published, and is read once by each pod that looks for batches."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator, Collection, Container

from pydantic import BaseModel

from reasoner_workloads.common.store import Missing, Store

ROOT = "batches/"


class Note(BaseModel):
    """What is noted of a batch."""

    keys: list[str]
    id: str = ""


class Notes:
    """The notes of one endpoint, as one pod reads and writes them. Its methods raise StoreError."""

    def __init__(self, store: Store, role: str) -> None:
        self._store = store
        self._folder = f"{ROOT}{role}/"
        #: By batch, whose answers are not kept yet.
        self._unkept: dict[str, set[str]] = {}
        #: By batch, hashes of its keys: what is looked for in it, again and again.
        self._hashes: dict[str, array[int]] = {}

    async def write(self, name: str, note: Note) -> None:
        """Note a batch of this pod's."""
        await asyncio.to_thread(self._store.put, self._folder + name, note.model_dump_json().encode())

    def expect(self, name: str, keys: Collection[str]) -> None:
        """The answers of a batch are waited for."""
        self._unkept.setdefault(name, set(keys))

    async def settle(self, name: str, key: str) -> None:
        """An answer is kept, or will never come: a batch of which nothing more is expected is forgotten."""
        left = self._unkept.get(name)
        if left is None:
            return
        left.discard(key)
        if not left:
            del self._unkept[name]
            await asyncio.to_thread(self._store.delete, self._folder + name)

    async def holding(self, wanted: Collection[str], but: Container[str]) -> AsyncIterator[tuple[str, Note]]:
        """The batches by name, some left out, that hold any of what is wanted. That may change meanwhile."""
        names = [key.removeprefix(self._folder) for key in await asyncio.to_thread(self._store.list, self._folder)]
        self._hashes = {name: self._hashes[name] for name in names if name in self._hashes}
        for name in names:
            if name in but or not self._may_hold(name, wanted):
                continue
            try:
                note = Note.model_validate_json(await asyncio.to_thread(self._store.get, self._folder + name))
            except Missing:  # all of it is kept meanwhile
                continue
            self._hashes[name] = array("q", map(hash, note.keys))
            if self._may_hold(name, wanted):
                yield name, note

    def _may_hold(self, name: str, wanted: Collection[str]) -> bool:
        return name not in self._hashes or not {hash(key) for key in wanted}.isdisjoint(self._hashes[name])
