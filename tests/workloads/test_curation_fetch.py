"""Fetching as a good guest, against a real server."""

from __future__ import annotations

import asyncio
import itertools
import resource
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from reasoner_api.curation import Recrawl
from reasoner_workloads.curation.limits import Limit
from reasoner_workloads.curation.records import Dropped
from reasoner_workloads.curation.recrawl import client, host, hosts
from reasoner_workloads.curation.recrawl.fetcher import Fetcher
from support.http_server import answering

ROBOTS = "User-agent: *\nDisallow: /closed/\n\nUser-agent: other\nDisallow: /\n"
seen: Counter[str] = Counter()
crowd: list[int] = []
"""Requests under way at the server, after each change."""


async def answer(request: web.Request) -> web.StreamResponse:
    seen[request.path] += 1
    match request.path:
        case "/robots.txt":
            return web.Response(text=ROBOTS)
        case "/moved":
            raise web.HTTPMovedPermanently("/page")
        case "/to-closed":
            raise web.HTTPFound("/closed/page")
        case "/to-mail":
            return web.Response(status=302, headers={"Location": "mailto:x@example.org"})
        case "/loop":
            raise web.HTTPFound("/loop")
        case "/gone":
            raise web.HTTPGone
        case "/flaky" if seen[request.path] < 3:
            return web.Response(status=503, headers={"Retry-After": "0"})
        case "/broken":
            raise web.HTTPInternalServerError
        case "/pdf":
            return web.Response(body=b"%PDF", content_type="application/pdf")
        case "/bomb":
            response = web.Response(text="<p>" + "x" * 100_000 + "</p>", content_type="text/html")
            response.enable_compression(web.ContentCoding.gzip)
            return response
        case "/slow":
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b"<p>and so")
            return await asyncio.get_running_loop().create_future()
        case "/crowd":
            crowd.append((crowd[-1] if crowd else 0) + 1)
            await asyncio.sleep(0.05)
            crowd.append(crowd[-1] - 1)
            return web.Response(text="<p>page</p>", content_type="text/html")
        case "/agent":
            return web.Response(text=request.headers["User-Agent"], content_type="text/html")
        case "/latin":
            return web.Response(
                body="<p>café</p>".encode("latin-1"), headers={"Content-Type": "text/html; charset=latin1"}
            )
        case _:
            return web.Response(text="<p>page</p>", content_type="text/html")


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with answering(answer) as url:
        yield url


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen.clear()
    monkeypatch.setattr(host, "FIRST_PAUSE", 0.001)


async def get(url: str, **settings: Any) -> str:
    defaults = {"requests_per_second_per_host": 1000, "timeout_seconds": 10, "allow_addresses": ["127.0.0.0/8"]}
    async with Fetcher(Recrawl(**(defaults | settings)), pods=1) as fetcher:
        return await fetcher.page(url)


DROPS: dict[str, tuple[str, dict[str, Any], tuple[str, str]]] = {
    "gone": ("/gone", {}, ("http_error", "410")),
    "broken for good": ("/broken", {}, ("http_error", "500")),
    "not a page": ("/pdf", {}, ("http_error", "not a page but application/pdf")),
    "too large once unpacked": ("/bomb", {"max_page_bytes": 50_000}, ("http_error", "larger than 50000 bytes")),
    "closed to robots": ("/closed/page", {}, ("robots", "/closed/page")),
    "a redirect to a closed page": ("/to-closed", {}, ("robots", "/closed/page")),
    "too many redirects": ("/loop", {"max_redirects": 3}, ("http_error", "more than 3 redirects")),
    "a user agent that is shut out": ("/page", {"user_agent": "other/1.0"}, ("robots", "/page")),
}


@pytest.mark.parametrize(("path", "settings", "why"), DROPS.values(), ids=DROPS.keys())
async def test_drops(site: str, path: str, settings: dict[str, Any], why: tuple[str, str]) -> None:
    with pytest.raises(Dropped) as end:
        await get(site + path, **settings)
    assert (end.value.reason, end.value.evidence) == why


async def test_a_redirect_to_no_page(site: str) -> None:
    with pytest.raises(Dropped) as end:
        await get(f"{site}/to-mail")
    assert end.value.reason == "forbidden_address"


async def test_pages(site: str) -> None:
    assert await get(f"{site}/moved") == "<p>page</p>"
    assert await get(f"{site}/latin") == "<p>café</p>"
    assert await get(f"{site}/agent", user_agent="reader/2.0") == "reader/2.0"


async def test_a_closed_page_is_not_asked_for_unless_told(site: str) -> None:
    with pytest.raises(Dropped):
        await get(f"{site}/closed/page")
    assert seen["/closed/page"] == 0
    assert await get(f"{site}/closed/page", respect_robots_txt=False) == "<p>page</p>"


async def test_what_may_pass_is_tried_again(site: str) -> None:
    assert await get(f"{site}/flaky") == "<p>page</p>"
    assert seen["/flaky"] == 3
    with pytest.raises(Dropped):
        await get(f"{site}/broken")
    assert seen["/broken"] == host.ATTEMPTS


@pytest.mark.parametrize(
    ("path", "asked"), [("/gone", 1), ("/pdf", 1), ("/bomb", 1), ("/loop", 4), ("/broken", 2 * host.ATTEMPTS)]
)
async def test_rows_of_a_page_that_will_not_be_had_ask_for_it_once(site: str, path: str, asked: int) -> None:
    settings = Recrawl(
        requests_per_second_per_host=1000, allow_addresses=["127.0.0.0/8"], max_page_bytes=50_000, max_redirects=3
    )
    async with Fetcher(settings, pods=1) as fetcher:
        ends = []
        for _ in range(2):
            with pytest.raises(Dropped) as end:
                await fetcher.page(site + path)
            ends.append((end.value.reason, end.value.evidence))
    assert ends[0] == ends[1]
    assert seen[path] == asked


@dataclass
class Weather:
    """A host that fails in turn: the statuses of its next answers, None for a connection that is closed."""

    url: str = ""
    robots: list[int | None] = field(default_factory=list)
    pages: list[int | None] = field(default_factory=list)
    retry_after: str = "0"
    rules: str = ""
    asked: list[tuple[str, float]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.path, time.monotonic()))
        turns = self.robots if request.path == "/robots.txt" else self.pages
        status = turns.pop(0) if turns else 200
        if status is None:
            assert request.transport is not None
            request.transport.abort()
        if status != 200:
            return web.Response(status=status or 500, headers={"Retry-After": self.retry_after})
        text = self.rules if request.path == "/robots.txt" else "<p>page</p>"
        return web.Response(text=text, content_type="text/html")

    def fetcher(self, **settings: Any) -> Fetcher:
        known = {"requests_per_second_per_host": 1000, "allow_addresses": ["127.0.0.0/8"], **settings}
        return Fetcher(Recrawl(**known), pods=1)


@pytest.fixture
def weather() -> Iterator[Weather]:
    found = Weather()
    with answering(found.answer) as found.url:
        yield found


async def test_robots_that_cannot_be_had_for_a_moment_close_nothing(weather: Weather) -> None:
    weather.robots = [500, None, 429, 502, 503]
    async with weather.fetcher() as fetcher:
        assert await fetcher.page(f"{weather.url}/page") == "<p>page</p>"


async def test_robots_that_cannot_be_had_are_asked_for_again_later(
    weather: Weather, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "FAULT_SECONDS", 0.1)
    weather.robots = [500] * hosts.ROBOTS_ATTEMPTS
    async with weather.fetcher() as fetcher:
        for _ in range(2):
            with pytest.raises(Dropped) as end:
                await fetcher.page(f"{weather.url}/page")
            assert (end.value.reason, end.value.evidence) == ("robots", "robots.txt: 500")
        assert len(weather.asked) == hosts.ROBOTS_ATTEMPTS
        await asyncio.sleep(0.11)
        assert await fetcher.page(f"{weather.url}/page") == "<p>page</p>"


async def test_a_page_that_is_tried_again_keeps_to_its_hosts_rate(weather: Weather) -> None:
    weather.pages = [500, 502]
    async with weather.fetcher(requests_per_second_per_host=10) as fetcher:
        await fetcher.page(f"{weather.url}/page")
    times = [at for path, at in weather.asked if path == "/page"]
    assert all(later - early > 0.09 for early, later in itertools.pairwise(times))


async def test_a_host_that_has_enough_is_left_alone_and_loses_no_page(weather: Weather) -> None:
    weather.pages = [429, 429, 200, 200, 429]
    weather.retry_after = "1"
    async with weather.fetcher(concurrency_per_host=2) as fetcher:
        pages = await asyncio.gather(*(fetcher.page(f"{weather.url}/{number}") for number in range(6)))
    assert pages == ["<p>page</p>"] * 6
    times = [at for path, at in weather.asked if path != "/robots.txt"]
    assert len(times) == 9
    # Two refused together, and one: twice the whole host waited.
    assert sum(later - early > 0.95 for early, later in itertools.pairwise(times)) == 2


async def test_a_host_that_refuses_for_too_long_is_given_up_and_not_asked(
    weather: Weather, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "PATIENCE", 1.5)
    weather.pages = [429] * 9
    weather.retry_after = "1"
    async with weather.fetcher() as fetcher:
        for _ in range(3):
            with pytest.raises(Dropped) as end:
                await fetcher.page(f"{weather.url}/page")
            assert (end.value.reason, end.value.evidence) == ("http_error", "429")
    assert [path for path, _ in weather.asked] == ["/robots.txt", "/page", "/page"]


async def test_a_page_that_several_rows_want_is_fetched_once(weather: Weather) -> None:
    async with weather.fetcher(cache_pages=False) as fetcher:
        pages = await asyncio.gather(*(fetcher.page(f"{weather.url}/page") for _ in range(5)))
        assert pages == ["<p>page</p>"] * 5
        assert [path for path, _ in weather.asked] == ["/robots.txt", "/page"]
        weather.pages = [404]
        ends = await asyncio.gather(*(fetcher.page(f"{weather.url}/page") for _ in range(2)), return_exceptions=True)
    assert [str(end) for end in ends] == ["('http_error', '404')"] * 2


async def test_a_fetcher_that_is_left_ends_what_is_under_way(site: str) -> None:
    settings = Recrawl(requests_per_second_per_host=1000, allow_addresses=["127.0.0.0/8"])
    async with Fetcher(settings, pods=1) as fetcher:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(fetcher.page(f"{site}/slow"), 0.1)
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


async def test_a_server_that_never_ends(site: str) -> None:
    with pytest.raises(Dropped) as end:
        await get(f"{site}/slow", timeout_seconds=0.2)
    assert (end.value.reason, end.value.evidence) == ("http_error", "no answer in 0.2 s")


async def test_a_server_that_is_not_there() -> None:
    with pytest.raises(Dropped) as end:
        await get("http://127.0.0.1:9/page")
    assert end.value.reason == "http_error"
    assert "ClientConnectorError" in end.value.evidence


async def test_robots_are_read_once(site: str) -> None:
    settings = Recrawl(requests_per_second_per_host=1000, allow_addresses=["127.0.0.0/8"])
    async with Fetcher(settings, pods=1) as fetcher:
        for path in ("/a", "/b", "/c"):
            await fetcher.page(site + path)
    assert seen["/robots.txt"] == 1


async def test_a_host_is_asked_for_no_more_at_a_time_than_allowed(site: str) -> None:
    settings = Recrawl(requests_per_second_per_host=1000, allow_addresses=["127.0.0.0/8"], concurrency_per_host=3)
    async with Fetcher(settings, pods=1) as fetcher:
        await asyncio.gather(*(fetcher.page(f"{site}/crowd?{number}") for number in range(12)))
    assert max(crowd) == 3


async def test_a_rate_is_kept_over_the_shards() -> None:
    limit = Limit(100, 1.0, pods=4)
    began = time.monotonic()
    for _ in range(13):
        await limit.acquire()
    # 25 a second for this shard: the burst of 2.5 is free, the rest takes its time.
    assert time.monotonic() - began >= 0.35


async def test_more_than_a_burst_is_taken_in_pieces() -> None:
    limit = Limit(6000, 60.0, pods=1)
    began = time.monotonic()
    await limit.acquire(620)
    assert 0.1 <= time.monotonic() - began < 5


async def test_hosts_with_long_rules_are_forgotten_for_others(
    weather: Weather, monkeypatch: pytest.MonkeyPatch
) -> None:
    def names(_: str, port: int, *__: object) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", names)
    monkeypatch.setattr(hosts, "MOST_RULES", 100)
    weather.rules = "# " + "x" * 60
    async with weather.fetcher() as fetcher:
        for number in (1, 1, 2, 3, 3, 1):
            assert await fetcher.page(weather.url.replace("127.0.0.1", f"{number}.example")) == "<p>page</p>"
    assert [path for path, _ in weather.asked].count("/robots.txt") == 4


async def test_connections_to_many_hosts_are_not_refused_for_want_of_files(site: str) -> None:
    """Some runtimes grant a pod 1,024 by default and more where it asks."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    try:
        assert await get(f"{site}/page") == "<p>page</p>"
        raised, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert raised == (client.MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, client.MOST_FILES))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
