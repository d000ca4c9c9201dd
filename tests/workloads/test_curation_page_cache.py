"""Pages kept in the store: what is asked of a server again, and what is not."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from reasoner_api.curation import Recrawl
from reasoner_workloads.common.store import Store, open_store
from reasoner_workloads.curation.records import Dropped
from reasoner_workloads.curation.recrawl.fetcher import Fetcher
from support.http_server import answering
from support.object_store import object_store


@dataclass
class Site:
    """A server that remembers what it was asked."""

    url: str = ""
    text: str = "<p>first</p>"
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Paths, and the condition that they were asked for with."""

    async def answer(self, request: web.Request) -> web.Response:
        if request.path == "/robots.txt":
            raise web.HTTPNotFound
        condition = request.headers.get("If-None-Match", "") or request.headers.get("If-Modified-Since", "")
        self.asked.append((request.path, condition))
        etag = f'"{len(self.text)}"'
        date = "Tue, 01 Jul 2025 08:00:00 GMT"
        match request.path:
            case "/moved":
                raise web.HTTPFound("/page")
            case "/gone":
                raise web.HTTPGone
            case "/forbidden":
                raise web.HTTPForbidden
            case "/dated" if condition == date:
                return web.Response(status=304)
            case "/dated":
                return web.Response(text=self.text, content_type="text/html", headers={"Last-Modified": date})
            case "/bare":
                return web.Response(text=self.text, content_type="text/html")
            case _ if condition == etag:
                return web.Response(status=304)
        return web.Response(text=self.text, content_type="text/html", headers={"ETag": etag})


@pytest.fixture
def site() -> Iterator[Site]:
    found = Site()
    with answering(found.answer) as found.url:
        yield found


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path.as_uri())


async def get(store: Store, url: str, **settings: Any) -> str:
    known = {"requests_per_second_per_host": 1000, "allow_addresses": ["127.0.0.0/8"], **settings}
    async with Fetcher(Recrawl(**known), 1, store) as fetcher:
        return await fetcher.page(url)


async def test_a_young_page_is_not_asked_for_again_by_another_pod(site: Site, store: Store) -> None:
    for _ in range(3):
        assert await get(store, f"{site.url}/page") == "<p>first</p>"
    assert site.asked == [("/page", "")]


async def test_addresses_within_a_page_are_one_page(site: Site, store: Store) -> None:
    for fragment in ("", "#answer-1", "#answer-2"):
        assert await get(store, f"{site.url}/page{fragment}") == "<p>first</p>"
    assert site.asked == [("/page", "")]


async def test_an_old_page_is_asked_for_by_its_etag_and_replaced_when_it_changed(site: Site, store: Store) -> None:
    for _ in range(2):
        assert await get(store, f"{site.url}/page", max_age_seconds=0) == "<p>first</p>"
    site.text = "<p>second, changed</p>"
    assert await get(store, f"{site.url}/page", max_age_seconds=0) == "<p>second, changed</p>"
    assert site.asked == [("/page", ""), ("/page", '"12"'), ("/page", '"12"')]


async def test_without_an_etag_the_date_is_the_condition_and_without_both_there_is_none(
    site: Site, store: Store
) -> None:
    for _ in range(2):
        assert await get(store, f"{site.url}/dated", max_age_seconds=0) == "<p>first</p>"
        assert await get(store, f"{site.url}/bare", max_age_seconds=0) == "<p>first</p>"
    assert [condition for _, condition in site.asked] == ["", "", "Tue, 01 Jul 2025 08:00:00 GMT", ""]


async def test_the_condition_goes_to_where_the_redirects_ended(site: Site, store: Store) -> None:
    for _ in range(2):
        assert await get(store, f"{site.url}/moved", max_age_seconds=0) == "<p>first</p>"
    assert site.asked == [("/moved", ""), ("/page", ""), ("/moved", ""), ("/page", '"12"')]


async def test_a_page_that_is_gone_is_remembered_and_a_refusal_is_not(site: Site, store: Store) -> None:
    for path in ("/gone", "/forbidden") * 2:
        with pytest.raises(Dropped):
            await get(store, site.url + path)
    assert [path for path, _ in site.asked] == ["/gone", "/forbidden", "/forbidden"]


async def test_a_host_that_was_denied_since_gives_no_page_from_the_cache(site: Site, store: Store) -> None:
    await get(store, f"{site.url}/page")
    with pytest.raises(Dropped) as end:
        await get(store, f"{site.url}/page", deny_hosts=["127.0.0.1"])
    assert end.value.reason == "forbidden_address"


async def test_a_damaged_page_is_fetched_again(site: Site, store: Store) -> None:
    await get(store, f"{site.url}/page")
    (key,) = store.list("cache/pages/")
    whole = store.get(key)
    for damaged in (b"", whole[:-9], b"no gzip", gzip.compress(b"{}\n<p>bad</p>")):
        store.put(key, damaged)
        assert await get(store, f"{site.url}/page") == "<p>first</p>"
    assert len(site.asked) == 5


async def test_nothing_is_kept_unless_wanted(site: Site, store: Store) -> None:
    await get(store, f"{site.url}/page", cache_pages=False)
    assert store.list() == []


async def test_in_an_object_store(site: Site) -> None:
    with object_store() as endpoint:
        bucket = open_store("s3://reasoner/team", endpoint=endpoint)
        for _ in range(2):
            assert await get(bucket, f"{site.url}/page") == "<p>first</p>"
        (key,) = bucket.list("cache/pages/")
    assert key.endswith(".gz")
    assert site.asked == [("/page", "")]


async def test_while_there_is_no_room_for_pages_none_is_taken_from_web_or_store(site: Site, store: Store) -> None:
    room, asked = asyncio.Event(), asyncio.Event()

    async def wait_for_room() -> None:
        asked.set()
        await room.wait()

    settings = Recrawl(requests_per_second_per_host=1000, allow_addresses=["127.0.0.0/8"])
    for cached in (None, store):
        room.clear()
        asked.clear()
        site.asked.clear()
        async with Fetcher(settings, 1, cached, wait_for_room) as fetcher:
            getting = asyncio.create_task(fetcher.page(f"{site.url}/page"))
            await asked.wait()
            assert site.asked == []
            room.set()
            assert await getting == "<p>first</p>"
        assert site.asked == [("/page", "")]
