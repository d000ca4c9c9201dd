"""Pages over HTTP as a good guest, and as one who is not led astray: manners in `hosts`, what may be reached in
`guard`, limits in `client`. Called by `stages`."""

from __future__ import annotations

import email.message
from contextlib import AsyncExitStack
from types import TracebackType

from reasoner_api.curation import Recrawl
from reasoner_workloads.curation.charset import decode
from reasoner_workloads.curation.records import Dropped
from reasoner_workloads.curation.recrawl.client import Answer, Client
from reasoner_workloads.curation.recrawl.guard import Guard
from reasoner_workloads.curation.recrawl.hosts import Hosts

PAGES = ("text/html", "application/xhtml+xml", "text/plain")


class Fetcher:
    """Fetches pages for one shard of `shards`. An async context manager."""

    def __init__(self, settings: Recrawl, shards: int) -> None:
        self._settings = settings
        self._guard = Guard(settings)
        self._client = Client(settings, self._guard)
        self._hosts = Hosts(settings, shards, self._client, self._guard)
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Fetcher:
        await self._open.enter_async_context(self._client)
        self._open.callback(self._hosts.close)
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self._open.aclose()

    async def page(self, url: str) -> str:
        """The page's HTML, redirects followed. Raises Dropped with `forbidden_address`, `robots` or `http_error`."""
        return text_of(await self._walk(url))

    async def _walk(self, text: str) -> Answer:
        """The answer at the end of the redirects, each held to the same rules."""
        url = self._guard.url(text)
        for _ in range(self._settings.max_redirects + 1):
            async with self._hosts.turn(url):
                answer = await self._client.read(url)
            if answer.follow is None:
                return answer
            url = self._guard.url(answer.follow, url)
        raise Dropped("http_error", f"more than {self._settings.max_redirects} redirects")


def text_of(answer: Answer) -> str:
    """An answer's page as text. Raises Dropped with `http_error` where it is none."""
    if answer.status != 200:
        raise Dropped("http_error", str(answer.status))
    declared = answer.headers.get("content-type", "text/html")
    kind = declared.partition(";")[0].strip().lower()
    if kind not in PAGES:
        raise Dropped("http_error", f"not a page but {kind[:100]}")
    return decode(answer.body, _charset(declared))


def _charset(content_type: str) -> str | None:
    """The charset parameter of a Content-Type."""
    message = email.message.Message()
    message["content-type"] = content_type
    return message.get_content_charset()
