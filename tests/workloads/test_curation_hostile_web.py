"""A hostile web: addresses that must not be reached, proved by a listener, and servers that never play by the rules.
Each case is a drop with its reason, or a page; none is a crash."""

from __future__ import annotations

import asyncio
import gzip
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pytest

from reasoner_api.curation import Recrawl
from reasoner_workloads.common.run import ConfigError
from reasoner_workloads.common.store import open_store
from reasoner_workloads.curation.records import Dropped, Funnel, Row
from reasoner_workloads.curation.recrawl import client, host
from reasoner_workloads.curation.recrawl.fetcher import Fetcher
from reasoner_workloads.curation.recrawl.guard import Forbidden, Guard, Resolver
from reasoner_workloads.curation.recrawl.host import ATTEMPTS
from reasoner_workloads.curation.stages import Crew, curate
from support.hostile import Listener, RawServer, Wire, endless, raw_server, response, wire

#: The address that stands for the public web here; the rest of loopback stays forbidden.
PUBLIC = "127.0.0.2"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(host, "PATIENCE", 0.01)


@pytest.fixture
def site() -> Iterator[RawServer]:
    with raw_server(PUBLIC) as found:
        yield found


async def get(url: str, **settings: Any) -> str:
    known = {"requests_per_second_per_host": 1000, "timeout_seconds": 10, "allow_addresses": [f"{PUBLIC}/32"]}
    async with Fetcher(Recrawl(**(known | settings)), 1) as fetcher:
        return await fetcher.page(url)


async def dropped(url: str, **settings: Any) -> Dropped:
    with pytest.raises(Dropped) as end:
        await get(url, **settings)
    return end.value


ADDRESSES = {
    "this network": "0.0.0.0",
    "this network's host": "0.1.2.3",
    "loopback": "127.0.0.1",
    "far loopback": "127.255.255.254",
    "private 10": "10.0.0.1",
    "private 172": "172.16.0.1",
    "private 192": "192.168.1.1",
    "carrier-grade NAT": "100.64.0.1",
    "Alibaba's metadata": "100.100.100.200",
    "link-local": "169.254.1.1",
    "metadata": "169.254.169.254",
    "ECS task metadata": "169.254.170.2",
    "Azure's host": "168.63.129.16",
    "Oracle's metadata": "192.0.0.192",
    "documentation": "203.0.113.7",
    "benchmarks": "198.18.0.1",
    "6to4 relays": "192.88.99.1",
    "multicast": "224.0.0.251",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "IPv6 unspecified": "::",
    "IPv6 loopback": "::1",
    "IPv6 link-local": "fe80::1",
    "IPv6 link-local with its zone": "fe80::1%lo",
    "IPv6 unique local": "fc00::1",
    "AWS metadata over IPv6": "fd00:ec2::254",
    "IPv6 site-local": "fec0::1",
    "IPv6 multicast": "ff02::1",
    "IPv6 discard": "100::1",
    "IPv6 documentation": "2001:db8::1",
    "new IPv6 documentation": "3fff::1",
    "Teredo": "2001::1",
    "IPv4-mapped loopback": "::ffff:127.0.0.1",
    "IPv4-mapped metadata": "::ffff:a9fe:a9fe",
    "IPv4-compatible loopback": "::7f00:1",
    "IPv4-translated loopback": "::ffff:0:7f00:1",
    "6to4 of a private address": "2002:0a00:0001::1",
    "NAT64 of loopback": "64:ff9b::7f00:1",
    "NAT64 of metadata": "64:ff9b::169.254.169.254",
    "local NAT64": "64:ff9b:1::1",
}


@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES.keys())
def test_an_address_that_is_not_public_is_forbidden(address: str) -> None:
    with pytest.raises(Forbidden, match="is not public"):
        Guard(Recrawl()).check(address, 443)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.215.14", "2606:4700::1111", "64:ff9b::808:808"])
def test_a_public_address_is_reached_on_web_ports_alone(address: str) -> None:
    guard = Guard(Recrawl())
    for port in (80, 443, 8080, 8443):
        guard.check(address, port)
    for port in (22, 25, 2375, 6379, 10250):
        with pytest.raises(Forbidden, match=f"port {port}"):
            guard.check(address, port)


def test_what_the_spec_allows_and_denies() -> None:
    guard = Guard(Recrawl(allow_addresses=["10.1.0.0/16"], deny_addresses=["8.8.0.0/16", "10.1.2.0/24"]))
    guard.check("10.1.0.1", 9999)
    guard.check("::ffff:10.1.0.1", 80)
    for address in ("8.8.8.8", "10.1.2.3", "10.2.0.1", "::ffff:8.8.8.8"):
        with pytest.raises(Forbidden):
            guard.check(address, 80)
    for address in ("8.8.8.8", "64:ff9b::808:808", "64:ff9b::a01:203"):
        with pytest.raises(Forbidden, match="is denied"):
            guard.check(address, 443)
    guard.check("64:ff9b::a01:1", 9999)
    with pytest.raises(Forbidden, match="is denied"):
        Guard(Recrawl(deny_addresses=["64:ff9b::/96"])).check("64:ff9b::808:808", 443)
    with pytest.raises(ConfigError, match=r"recrawl\.allowAddresses: .*10\.0\.0\.0/99"):
        Guard(Recrawl(allow_addresses=["10.0.0.0/99"]))


HOSTS = {
    "dotted": "127.0.0.1",
    "another of loopback": "127.9.9.9",
    "a name": "localhost",
    "a name in capitals": "LocalHost",
    "a name with its dot": "localhost.",
    "short": "127.1",
    "decimal": "2130706433",
    "octal": "0177.0.0.1",
    "octal in one": "017700000001",
    "hexadecimal": "0x7f.0.0.1",
    "hexadecimal in one": "0x7f000001",
    "mixed": "0x7f.1",
    "all addresses": "0.0.0.0",
    "zero": "0",
    "full-width digits": "１２７.０.０.１",
    "circled digits": "①②⑦.⓪.⓪.①",
    "ideographic full stops": "127。0。0。1",
    "percent signs": "%31%32%37.0.0.1",
    "IPv6": "[::1]",
    "IPv6 for all addresses": "[::]",
    "IPv6 in full": "[0:0:0:0:0:0:0:1]",
    "IPv4 in IPv6": "[::ffff:127.0.0.1]",
    "IPv4 in IPv6 as hexadecimal": "[::ffff:7f00:1]",
    "behind a user": "example.org@127.0.0.1",
    "behind a user and a password": "example.org:80@127.0.0.1",
}


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS.keys())
async def test_no_spelling_of_an_address_inside_is_connected_to(inside: Listener, host: str) -> None:
    url = f"http://{host}:{inside.port}/"
    end = await dropped(url, allow_ports=[inside.port], respect_robots_txt=False)
    # Some spellings are refused as no URL, or do not resolve everywhere, before their address is looked at.
    assert end.reason in ("forbidden_address", "http_error")
    if host in ("127.0.0.1", "localhost", "LocalHost", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "0x7f.1"):
        assert end.reason == "forbidden_address"


async def test_robots_are_not_asked_for_inside_either(inside: Listener) -> None:
    end = await dropped(f"http://127.0.0.1:{inside.port}/", allow_ports=[inside.port])
    assert end.reason == "forbidden_address"


async def test_the_environments_proxies_are_not_used(
    inside: Listener, site: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{inside.port}")
    site.answers["/page"] = response()
    assert await get(f"{site.url}/page") == "<p>page</p>"


LOCATIONS = {
    "an address inside": "http://127.0.0.1:{port}/",
    "a name inside": "http://localhost:{port}/",
    "an address without a scheme": "//127.0.0.1:{port}/",
    "a number": "http://2130706433:{port}/",
    "IPv4 in IPv6": "http://[::ffff:127.0.0.1]:{port}/",
    "TLS": "https://127.0.0.1:{port}/",
    "backslashes": "http:\\\\127.0.0.1:{port}\\",
    "metadata": "http://169.254.169.254/latest/meta-data/",
    "a file": "file:///etc/passwd",
    "gopher": "gopher://127.0.0.1:{port}/_INFO",
    "FTP": "ftp://127.0.0.1:{port}/",
    "data": "data:text/html,<p>page</p>",
    "a script": "javascript:alert(1)",
    "no host": "http:///etc/passwd",
    "a port out of range": "http://example.org:99999/",
    "a broken bracket": "http://[::1/",
    "raw bytes": "http://\xff\xfe/",
}


@pytest.mark.parametrize("location", LOCATIONS.values(), ids=LOCATIONS.keys())
@pytest.mark.parametrize("of", ["page", "robots.txt"])
async def test_no_redirect_leads_inside(inside: Listener, site: RawServer, location: str, of: str) -> None:
    moved = response(b"", "302 Found", Location=location.format(port=inside.port))
    site.answers = {"/page": response()} | {f"/{of}": moved}
    if of == "robots.txt" and location in (LOCATIONS["backslashes"], LOCATIONS["no host"]):
        # A path on the same server, where no rules are found.
        assert await get(f"{site.url}/page", allow_ports=[inside.port]) == "<p>page</p>"
        return
    end = await dropped(f"{site.url}/page", allow_ports=[inside.port])
    assert end.reason in ("forbidden_address", "http_error")


@pytest.mark.parametrize("status", ["301 Moved", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_no_redirect_of_another_kind_does(inside: Listener, site: RawServer, status: str) -> None:
    site.answers["/page"] = response(b"", status, Location=f"http://127.0.0.1:{inside.port}/")
    assert (await dropped(f"{site.url}/page")).reason == "forbidden_address"


async def test_a_page_is_not_refreshed_and_nothing_in_it_is_loaded(inside: Listener, site: RawServer) -> None:
    at = f"http://127.0.0.1:{inside.port}/"
    body = f'<meta http-equiv="refresh" content="0;url={at}"><iframe src="{at}"></iframe><img src="{at}">'.encode()
    site.answers["/page"] = response(body, Refresh=f"0;url={at}", Link=f"<{at}>; rel=preload")
    assert "refresh" in await get(f"{site.url}/page", allow_ports=[inside.port])


class Names:
    """A name server in a stranger's hands: each look-up gets the next of its answers."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self, host: str, port: int, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        found = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]


async def test_a_name_that_changes_its_address_between_two_look_ups(
    inside: Listener, site: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names([PUBLIC], ["127.0.0.1"])
    monkeypatch.setattr(socket, "getaddrinfo", names)
    monkeypatch.setattr(client, "DNS_SECONDS", 0)
    port = site.url.rpartition(":")[2]
    site.answers["/page"] = response(b"", "302 Found", Location=f"http://rebind.example:{inside.port}/")
    url = f"http://rebind.example:{port}/page"
    end = await dropped(url, allow_ports=[inside.port], respect_robots_txt=False)
    assert (end.reason, end.evidence) == ("forbidden_address", "rebind.example: 127.0.0.1 is not public")
    assert (names.asked, site.asked) == (2, ["/page"])


async def test_what_was_checked_is_what_is_connected_to(
    inside: Listener, site: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One look-up for a connection: a second one would lead inside.
    names = Names([PUBLIC], ["127.0.0.1"])
    monkeypatch.setattr(socket, "getaddrinfo", names)
    site.answers["/page"] = response()
    url = f"http://rebind.example:{site.url.rpartition(':')[2]}/page"
    assert await get(url, respect_robots_txt=False) == "<p>page</p>"
    assert names.asked == 1


async def test_a_name_of_which_one_address_is_inside(
    inside: Listener, site: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Names([PUBLIC, "127.0.0.1"]))
    end = await dropped(f"http://both.example:{inside.port}/page", allow_ports=[inside.port])
    assert end.reason == "forbidden_address"


async def test_hosts_allowed_and_denied_also_after_redirects(site: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Names([PUBLIC]))
    port = site.url.rpartition(":")[2]
    site.answers["/page"] = response()
    site.answers["/away"] = response(b"", "302 Found", Location=f"http://evil.example:{port}/page")
    lists = {"allow_hosts": ["good.example", "evil.example"], "deny_hosts": ["evil.example", "Bad.Good.Example"]}
    for name in ("good.example", "www.good.example", "GOOD.example."):
        assert await get(f"http://{name}:{port}/page", **lists) == "<p>page</p>"
    for name, path in {
        "notgood.example": "page",
        "evil.example": "page",
        "x.bad.good.example": "page",
        "good.example": "away",
    }.items():
        assert (await dropped(f"http://{name}:{port}/{path}", **lists)).reason == "forbidden_address"


async def test_names_that_are_dead_hold_up_no_other_work(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def dead(*_: object) -> list[tuple[Any, ...]]:
        over.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", dead)
    resolver = Resolver(Guard(Recrawl()))
    asked = [asyncio.create_task(resolver.resolve(f"{number}.example")) for number in range(64)]
    try:
        await asyncio.wait_for(asyncio.to_thread(int), 10)
        assert not any(task.done() for task in asked)
    finally:
        over.set()
    assert {type(end) for end in await asyncio.gather(*asked, return_exceptions=True)} == {socket.gaierror}
    await resolver.close()


@pytest.mark.parametrize(("code", "tries"), [(socket.EAI_NONAME, 1), (socket.EAI_AGAIN, 2 * ATTEMPTS)])
async def test_a_name_that_is_not_there_is_asked_for_once(
    monkeypatch: pytest.MonkeyPatch, code: int, tries: int
) -> None:
    asked: list[object] = []

    def unknown(name: object, *_: object) -> list[tuple[Any, ...]]:
        asked.append(name)
        raise socket.gaierror(code, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setattr(host, "FIRST_PAUSE", 0.001)
    async with Fetcher(Recrawl(respect_robots_txt=False), 1) as fetcher:
        for _ in range(2):
            with pytest.raises(Dropped) as end:
                await fetcher.page("http://gone.example/page")
            assert end.value.reason == "http_error"
            assert "gone.example" in end.value.evidence
    assert len(asked) == tries


def bomb(wbits: int = zlib.MAX_WBITS | 16, times: int = 1) -> bytes:
    data = bytes(30_000_000)
    for _ in range(times):
        packer = zlib.compressobj(9, wbits=wbits)
        data = packer.compress(data) + packer.flush()
    return data


def drip() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"
    while True:
        time.sleep(0.02)
        yield b"x"


HTML = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
PACKED = gzip.compress(b"<p>page</p>" * 100)
#: What a server writes, and how the page is dropped.
SERVERS: dict[str, tuple[Wire, str]] = {
    "a gzip bomb": (response(bomb(), Content_Encoding="gzip"), "larger than"),
    "a deflate bomb": (response(bomb(zlib.MAX_WBITS), Content_Encoding="deflate"), "larger than"),
    "a bare deflate bomb": (response(bomb(-zlib.MAX_WBITS), Content_Encoding="deflate"), "larger than"),
    "a bomb in a bomb": (response(bomb(times=2), Content_Encoding="gzip, gzip"), "larger than"),
    "a Brotli bomb, which was not asked for": (
        response(pa.compress(bytes(30_000_000), "brotli", asbytes=True), Content_Encoding="br"),
        "Content-Encoding 'br'",
    ),
    "a Zstandard bomb, which was not asked for": (
        response(pa.compress(bytes(30_000_000), "zstd", asbytes=True), Content_Encoding="zstd"),
        "Content-Encoding 'zstd'",
    ),
    "codings without end": (response(PACKED, Content_Encoding=", ".join(["gzip"] * 50)), "Content-Encoding"),
    "a coding that was not asked for": (response(b"x", Content_Encoding="br"), "Content-Encoding 'br'"),
    "a coding that does not exist": (response(b"x", Content_Encoding="x-\xe9"), "Content-Encoding"),
    "gzip that is none": (response(b"<p>page</p>", Content_Encoding="gzip"), "Undecodable"),
    "gzip cut off": (response(PACKED[:-12], Content_Encoding="gzip"), "cut off"),
    "an endless body": (endless(HTML + b"\r\n", b"x" * 65536), "larger than"),
    "an endless body in chunks": (
        endless(HTML + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"),
        "larger than",
    ),
    "a body that says it is endless": (wire(HTML + b"Content-Length: 999999999999\r\n\r\nx"), ""),
    "a body that drips": (drip, "no answer in 0.3 s"),
    "a chunk of no size": (wire(HTML + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nx"), ""),
    "a chunk of a negative size": (wire(HTML + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n"), ""),
    "a negative length": (wire(HTML + b"Content-Length: -1\r\n\r\nx"), ""),
    "two lengths": (wire(HTML + b"Content-Length: 1\r\nContent-Length: 9\r\n\r\nxxxxxxxxx"), ""),
    "less than it says": (wire(HTML + b"Content-Length: 100\r\nConnection: close\r\n\r\nx"), ""),
    "endless headers": (endless(HTML, b"A: b\r\n"), ""),
    "a header without end": (endless(HTML + b"A: ", b"b" * 65536), ""),
    "a status line without end": (endless(b"HTTP/1.1 200 ", b"b" * 65536), ""),
    "early hints without end": (endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"), ""),
    "nothing": (wire(), ""),
    "noise": (wire(bytes(range(256)) * 64), ""),
    "another protocol": (wire(b"SSH-2.0-OpenSSH_9.9\r\n"), ""),
    "a status of no number": (wire(b"HTTP/1.1 abc OK\r\n\r\n"), ""),
    "a status of 999": (response(status="999 No"), "999"),
    "not modified, which was not asked": (wire(b"HTTP/1.1 304 Not Modified\r\n\r\n"), "304"),
    "a redirect to itself": (response(b"", "302 Found", Location="/page"), "more than 5 redirects"),
    "a redirect to nowhere": (response(b"", "302 Found", Location=""), "302"),
    "a redirect longer than a URL": (response(b"", "302 Found", Location="/" + "a" * 7000), "404"),
    "a media type of noise": (response(Content_Type=";;;\xe9=\x01".replace("\x01", "")), "not a page"),
    "a pause until the year 99999": (
        response(b"", "503 Busy", Retry_After="Mon, 01 Jan 99999 00:00:00 GMT"),
        "503",
    ),
    "a media type of half a surrogate pair": (response(Content_Type="text/\xff"), "not a page but text/�"),
    "an executable": (response(b"\x7fELF", Content_Type="application/octet-stream"), "not a page but application"),
}


#: Servers that only the time limit ends.
SLOW = ("a body that drips", "early hints without end")


@pytest.mark.parametrize("name", SERVERS)
async def test_a_server_that_does_not_play_by_the_rules_is_a_drop(site: RawServer, name: str) -> None:
    site.answers["/page"], why = SERVERS[name]
    end = await dropped(f"{site.url}/page", timeout_seconds=0.3 if name in SLOW else 10, max_page_bytes=200_000)
    assert end.reason == "http_error"
    assert why in end.evidence


#: Bytes and charset, and what stands in the text.
ENCODINGS: dict[str, tuple[bytes, str, str]] = {
    "UTF-8 that is none": (b"<p>caf\xe9 page</p>", "utf-8", "page"),
    "no charset of the web": (b"<p>+ADw-b+AD4- page</p>", "utf-7", "+ADw-b"),
    "escapes as a charset": (rb"<p>\x3cb\x3e \q page</p>", "unicode_escape", r"\x3cb"),
    "punycode as a charset": (b"<p>page</p>" + b"a" * 100_000 + b"-" + b"z" * 100_000, "punycode", "page"),
    "a codec of bytes": (b"<p>page</p>", "zip", "page"),
    "a codec that is undefined": (b"<p>page</p>", "undefined", "page"),
    "a charset of noise": (b"<p>page</p>", "\xe9\xff", "page"),
    "a charset with an escaped NUL": (b"<p>page</p>", "utf-8; charset*=utf-8''%00", "page"),
    "a charset of mail with a NUL": (b"<p>page</p>", "utf-8; charset*0*=%00''x", "page"),
    "a charset of mail in parts without end": (b"<p>page</p>", f"utf-8; charset*{'9' * 4400}=x", "page"),
    "a charset with a path": (b"<p>page</p>", "../../etc/passwd", "page"),
    "a charset without end": (b"<p>page</p>", "x" * 4000, "page"),
    "a lying charset": ("<p>é page</p>".encode(), "utf-16", ""),
    "half a UTF-16": ("<p>page</p>".encode("utf-16") + b"\xd8", "utf-8", "page"),
    "a lone surrogate": (b"<p>\xed\xa0\x80 page</p>", "utf-8", "page"),
    "NULs": (b"<p>pa\0ge</p>\0\0 page", "utf-8", "page"),
    "nothing but noise": (bytes(range(256)) * 40, "", ""),
    "an empty page": (b"", "utf-8", ""),
}


@pytest.mark.parametrize(("body", "charset", "says"), ENCODINGS.values(), ids=ENCODINGS.keys())
async def test_a_broken_encoding_is_text_all_the_same(site: RawServer, body: bytes, charset: str, says: str) -> None:
    site.answers["/page"] = response(body, Content_Type=f"text/html; charset={charset}")
    assert says in await get(f"{site.url}/page")


#: Headers that are kept with a page.
KEPT = {
    "an ETag of half a surrogate pair": {"ETag": '"\xff"'},
    "an ETag on two lines": {"ETag": '"a\r\n b"'},
    "a date of half a surrogate pair": {"Last_Modified": "\xe9"},
    "a charset of half a surrogate pair": {"Content_Type": "text/html; charset=\xff"},
}


@pytest.mark.parametrize("headers", KEPT.values(), ids=KEPT.keys())
async def test_a_header_that_no_file_takes_is_kept_and_sent_back(
    site: RawServer, tmp_path: Path, headers: dict[str, str]
) -> None:
    site.answers["/page"] = response(**headers)
    settings = Recrawl(allow_addresses=[f"{PUBLIC}/32"], requests_per_second_per_host=1000, max_age_seconds=0)
    for _ in range(2):
        async with Fetcher(settings, 1, open_store(tmp_path.as_uri())) as fetcher:
            assert await fetcher.page(f"{site.url}/page") == "<p>page</p>"
    assert site.asked.count("/page") == 2


CLOSED = b"User-agent: *\nDisallow: /page\n"
#: robots.txt as it is served, and how the page ends: None where it is fetched.
ROBOTS: dict[str, tuple[Wire, str | None]] = {
    "a web page": (response(b"<!DOCTYPE html><html><body>Disallow: /page</body></html>"), None),
    "empty": (response(b""), None),
    "gone": (response(b"", "410 Gone"), None),
    "not to be had without a password": (response(b"", "401 Unauthorized"), None),
    "a server's failure": (response(b"", "500 Oops"), "robots"),
    "a server that is busy": (response(b"", "429 Slow down", Retry_After="0"), "robots"),
    "rules behind a byte order mark": (response(b"\xef\xbb\xbf" + CLOSED), "robots"),
    "rules with old line ends": (response(CLOSED.replace(b"\n", b"\r")), "robots"),
    "rules among noise": (response(b"\xff\xfe\0\n" + CLOSED), "robots"),
    "rules at the start of much": (response(CLOSED + b"# x\n" * 500_000), "robots"),
    "rules without end": (endless(HTML + b"\r\n" + CLOSED, b"Disallow: /x\n" * 1000), "robots"),
    "a rule without end": (endless(HTML + b"\r\n" + CLOSED + b"Disallow: /", b"x" * 65536), "robots"),
    "a bomb": (response(bomb(), Content_Encoding="gzip"), None),
    "stars to get lost in": (response(b"User-agent: *\nDisallow: /" + b"*a" * 5000 + b"*b\n"), None),
    "a delay of a year": (response(b"User-agent: *\nCrawl-delay: 31536000\n"), "robots"),
    "a delay of no number": (response(b"User-agent: *\nCrawl-delay: nan\nCrawl-delay: -1\nCrawl-delay: 1e999\n"), None),
    "a redirect to itself": (response(b"", "302 Found", Location="/robots.txt"), None),
    "a connection that is closed": (wire(), "http_error"),
    "silence": (drip, "http_error"),
}


@pytest.mark.parametrize(("says", "reason"), ROBOTS.values(), ids=ROBOTS.keys())
async def test_robots_however_they_are_served(site: RawServer, says: Wire, reason: str | None) -> None:
    site.answers = {"/page": response(), "/robots.txt": says}
    timeout = 0.3 if says is drip else 10
    if reason is None:
        assert await get(f"{site.url}/page", timeout_seconds=timeout) == "<p>page</p>"
    else:
        assert (await dropped(f"{site.url}/page", timeout_seconds=timeout)).reason == reason
        assert "/page" not in site.asked


async def test_what_is_refused_is_counted_in_the_funnel_with_its_reason(inside: Listener, site: RawServer) -> None:
    site.answers["/away"] = response(b"", "302 Found", Location=f"http://localhost:{inside.port}/")
    rows = [f"http://169.254.169.254/{n}" for n in range(3)] + [f"{site.url}/away", f"{site.url}/none"]
    funnel = Funnel()
    settings = Recrawl(allow_addresses=[f"{PUBLIC}/32"], requests_per_second_per_host=1000, timeout_seconds=5)
    async with Fetcher(settings, 1) as fetcher:
        # Nothing after the fetch is reached.
        crew = cast("Crew", SimpleNamespace(fetcher=fetcher, funnel=funnel))
        records = [await curate(Row(id=url, url=url, hint=""), crew) for url in rows]
    assert [record.drop and record.drop.reason for record in records] == ["forbidden_address"] * 4 + ["http_error"]
    (_, recrawl) = funnel.counts()
    assert (recrawl.rows_in, recrawl.rows_out) == (5, 0)
    assert recrawl.dropped == {"forbidden_address": 4, "http_error": 1}
