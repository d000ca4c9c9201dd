"""Pages over HTTP as a good guest, and as one who is not led astray: manners in `hosts`, what may be reached in
`guard`, limits in `client`. Called by `stages`."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from contextlib import AsyncExitStack
from dataclasses import replace
from types import TracebackType

from reasoner_api.curation import Recrawl
from reasoner_workloads.common.store import Store
from reasoner_workloads.curation.charset import charset_of, decode
from reasoner_workloads.curation.records import Dropped
from reasoner_workloads.curation.recrawl.cache import Kept, PageCache
from reasoner_workloads.curation.recrawl.client import Answer, Client, Lasting, Room, at_once
from reasoner_workloads.curation.recrawl.guard import Guard
from reasoner_workloads.curation.recrawl.hosts import Hosts
from reasoner_workloads.curation.recrawl.message import answer_of

#: Failures remembered: rows of one URL come one after the other.
MOST_FAILED = 1024
PAGES = ("text/html", "application/xhtml+xml", "text/plain")


class Fetcher:
    """Fetches pages for one of `pods` at work, those kept in `store` only when they are old. An async context
    manager."""

    def __init__(self, settings: Recrawl, pods: int, store: Store | None = None, room: Room = at_once) -> None:
        """Pages are taken from the web and the store only while there is `room`."""
        self._settings = settings
        self._guard = Guard(settings)
        self._client = Client(settings, self._guard, room)
        self._hosts = Hosts(settings, pods, self._client, self._guard)
        self._cache = PageCache(store, room) if store is not None and settings.cache_pages else None
        self._open = AsyncExitStack()
        self._under_way: dict[str, asyncio.Task[str]] = {}
        #: By URL, why it is not to be had in this run.
        self._failed: OrderedDict[str, tuple[str, str]] = OrderedDict()

    async def __aenter__(self) -> Fetcher:
        await self._open.enter_async_context(self._client)
        self._open.callback(self._hosts.close)
        if self._cache is not None:
            self._open.callback(self._cache.close)
        self._open.push_async_callback(self._stop)
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self._open.aclose()

    async def page(self, url: str) -> str:
        """The page's HTML, redirects followed. Raises Dropped with `forbidden_address`, `robots` or `http_error`, and
        StoreError where the cache cannot be reached."""
        # Addresses within a page are the page's.
        url = url.partition("#")[0]
        if (known := self._failed.get(url)) is not None:
            raise Dropped(*known)
        # Rows of one page, each with a question of its own, come together.
        task = self._under_way.get(url)
        if task is None:
            task = self._under_way[url] = asyncio.create_task(self._page(url))
            task.add_done_callback(lambda _: self._under_way.pop(url))
        return await asyncio.shield(task)

    async def _page(self, url: str) -> str:
        try:
            return await self._text(url)
        except Lasting as failure:
            self._failed[url] = failure.reason, failure.evidence
            if len(self._failed) > MOST_FAILED:
                self._failed.popitem(last=False)
            raise

    async def _text(self, url: str) -> str:
        if self._cache is None:
            return text_of((await self._walk(url, None)).answer)
        kept = await self._cache.get(url)
        if kept is None or not self._usable(url, kept):
            kept = await self._walk(url, kept)
            await self._cache.put(url, kept)
        return text_of(kept.answer)

    async def _stop(self) -> None:
        """End what nobody waits for any more."""
        for task in self._under_way.values():
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    def captured(self, response: bytes) -> str:
        """The HTML of a page that the source brought along. Raises Dropped with `http_error`."""
        return text_of(answer_of(response, self._settings.max_page_bytes))

    def _usable(self, url: str, kept: Kept) -> bool:
        """Whether the spec's limits take a kept page as it is. Raises Dropped where they have come to forbid it."""
        for address in (url, kept.url):
            self._guard.url(address)
        young = 0 <= time.time() - kept.at < self._settings.max_age_seconds
        return young and len(kept.answer.body) <= self._settings.max_page_bytes

    async def _walk(self, text: str, kept: Kept | None) -> Kept:
        """The answer at the end of the redirects, each held to the same rules."""
        url = self._guard.url(text)
        for _ in range(self._settings.max_redirects + 1):
            known = kept if kept is not None and kept.url == str(url) else None
            answer = await self._hosts.read(url, known.conditions if known else {})
            if known and known.conditions and answer.status == 304:
                return replace(known, at=time.time())
            if answer.follow is None:
                return Kept(str(url), time.time(), answer)
            url = self._guard.url(answer.follow, url)
        raise Lasting("http_error", f"more than {self._settings.max_redirects} redirects")


def text_of(answer: Answer) -> str:
    """An answer's page as text. Raises Dropped with `http_error` where it is none."""
    if answer.status != 200:
        raise Lasting("http_error", str(answer.status))
    if (kind := kind_of(answer)) not in PAGES:
        raise Lasting("http_error", f"not a page but {kind[:100]}")
    return decode(answer.body, charset_of(answer.headers.get("content-type", "")))


def kind_of(answer: Answer) -> str:
    """The media type that an answer declares; HTML where it declares none."""
    return answer.headers.get("content-type", "text/html").partition(";")[0].strip().lower()
