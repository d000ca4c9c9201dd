"""Pages that were fetched before, kept in the object store: a pod that takes over asks no server twice, and a later run
asks with `If-None-Match`. Used by `fetcher`.

One object a page, `cache/pages/<2 bytes of the hash>/<hash of the URL>.gz`. Segments of many pages would save requests
(5 M pages are 5 M PUTs, about 25 US dollars on S3, against thousands for the models), but a page in an unfinished
segment is lost with its pod, and finding one needs an index that every pod loads. An object is durable at once, found
by its name whatever the shards, shared by jobs, and expired by a lifecycle rule on the prefix."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

from reasoner_workloads.common.store import Missing, Store
from reasoner_workloads.curation.recrawl.client import Answer, Room, at_once

#: What is kept of the headers.
HEADERS = ("content-type", "etag", "last-modified")
#: Answers that say something lasting of a page.
LASTING = frozenset({200, 404, 410})
#: The store's requests at a time: its client blocks.
THREADS = 16


class _Head(BaseModel):
    url: str
    at: float
    status: int
    headers: dict[str, str]


@dataclass(frozen=True)
class Kept:
    """An answer, and where and when it came from."""

    url: str
    """Where the redirects ended."""
    at: float
    """Seconds since the epoch."""
    answer: Answer

    @property
    def conditions(self) -> dict[str, str]:
        """Headers that ask for the page only if it has changed; none where the server gave no means."""
        asked = {"If-None-Match": "etag", "If-Modified-Since": "last-modified"}
        known = self.answer.headers if self.answer.status == 200 else {}
        return {name: known[source] for name, source in asked.items() if source in known}


class PageCache:
    """The pages below `cache/pages/` of a store."""

    def __init__(self, store: Store, room: Room = at_once) -> None:
        self._store = store
        self._room = room
        self._slots = asyncio.Semaphore(THREADS)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="page-cache")

    def close(self) -> None:
        """Let its threads go."""
        self._threads.shutdown(wait=False)

    async def get(self, url: str) -> Kept | None:
        """What was kept under an address; None also where that is damaged. Raises StoreError."""
        async with self._slots:
            await self._room()
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._get, _key(url))

    async def put(self, url: str, kept: Kept) -> None:
        """Keep an answer, if it is lasting. Raises StoreError."""
        if kept.answer.status in LASTING:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._put, _key(url), kept)

    def _get(self, key: str) -> Kept | None:
        try:
            head, _, body = gzip.decompress(self._store.get(key)).partition(b"\n")
            found = _Head.model_validate_json(head)
        except (Missing, gzip.BadGzipFile, EOFError, zlib.error, ValidationError):
            return None
        return Kept(found.url, found.at, Answer(found.status, found.headers, body))

    def _put(self, key: str, kept: Kept) -> None:
        headers = {name: kept.answer.headers[name] for name in HEADERS if name in kept.answer.headers}
        head = _Head(url=kept.url, at=kept.at, status=kept.answer.status, headers=headers)
        self._store.put(key, gzip.compress(head.model_dump_json().encode() + b"\n" + kept.answer.body, mtime=0))


def _key(url: str) -> str:
    name = hashlib.sha256(url.encode()).hexdigest()
    return f"cache/pages/{name[:4]}/{name}.gz"
