"""WARC files as a re-crawl without a web."""

from __future__ import annotations

import gzip
import json
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from aiohttp import web

from reasoner_api.common import Storage
from reasoner_api.curation import Recrawl, Source
from reasoner_workloads.common.run import ConfigError
from reasoner_workloads.common.store import open_store
from reasoner_workloads.curation.records import Dropped, Record, Row
from reasoner_workloads.curation.recrawl.fetcher import Fetcher
from reasoner_workloads.curation.source import warc
from support.curation import FILE, read_source
from support.http_server import serving
from support.object_store import object_store

PAGE = "<p>Où est-ce ?</p>"


def record(kind: str, block: bytes, url: str | None = None) -> bytes:
    """A WARC record."""
    fields = {"WARC-Type": kind, "WARC-Record-ID": f"<urn:uuid:{uuid.uuid4()}>", "WARC-Date": "2025-07-01T08:00:00Z"}
    if url is not None:
        fields["WARC-Target-URI"] = url
    fields |= {"Content-Type": f"application/http; msgtype={kind}", "Content-Length": str(len(block))}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"WARC/1.0\r\n{head}\r\n".encode() + block + b"\r\n\r\n"


def archive(*responses: tuple[str, str, dict[str, str], bytes], packed: bool = True) -> bytes:
    """A WARC file as crawlers write it: warcinfo, then a request and a response for each page, each a gzip member."""
    records = [record("warcinfo", b"software: a crawler\r\n")]
    for url, status, headers, body in responses:
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        records.append(record("request", b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", url))
        records.append(record("response", f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body, url))
    return b"".join(gzip.compress(one) if packed else one for one in records)


def page(number: int, body: bytes = PAGE.encode(), **headers: str) -> tuple[str, str, dict[str, str], bytes]:
    known = {"Content-Type": "text/html; charset=utf-8"} | {k.replace("_", "-"): v for k, v in headers.items()}
    return f"https://example.org/{number}", "200 OK", known, body


def read(uri: str, storage: Storage = FILE, **source: Any) -> list[Row | Record]:
    return read_source(Source.model_validate({"uri": uri, **source}), storage)


def captured(row: Row | Record, **settings: Any) -> str:
    assert isinstance(row, Row)
    assert row.response is not None
    return Fetcher(Recrawl(**settings), 1).captured(row.response)


def test_a_captured_page_whose_charset_no_codec_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "crawl.warc").write_bytes(
        archive(page(1, Content_Type="text/html; charset*0*=%00''x"), page(2, Content_Type="text/html; charset=\0"))
    )
    rows = read((tmp_path / "crawl.warc").as_uri())
    assert [captured(row) for row in rows] == [PAGE, PAGE]


def test_responses_with_html_are_rows_that_bring_their_page(tmp_path: Path) -> None:
    (tmp_path / "crawl.warc.gz").write_bytes(
        archive(
            page(1),
            ("https://example.org/2", "404 Not Found", {"Content-Type": "text/html"}, b"no"),
            ("https://example.org/3", "200 OK", {"Content-Type": "application/pdf"}, b"%PDF"),
            page(4, PAGE.encode("latin-1"), Content_Type="text/html; charset=iso-8859-1"),
            page(1),
        )
    )
    rows = read((tmp_path / "crawl.warc.gz").as_uri())
    assert [row.url for row in rows] == [f"https://example.org/{number}" for number in (1, 1, 4)]
    first, again, other = rows
    assert [captured(row) for row in (first, other)] == [PAGE, PAGE]
    assert first.id.startswith("urn:uuid:")
    assert isinstance(again, Record)
    assert again.drop is not None
    assert again.drop.reason == "duplicate_url"


def test_what_is_no_page_is_no_row_however_large_and_by_whatever_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warc, "LARGEST_RECORD", 500)
    dns = record("response", b"20250701080000\nexample.org. 300 IN A 192.0.2.1\n", "dns:example.org")
    dns = dns.replace(b"application/http; msgtype=response", b"text/dns")
    video = ("https://example.org/2", "200 OK", {"Content-Type": "video/mp4"}, bytes(1000))
    (tmp_path / "crawl.warc").write_bytes(dns + archive(page(1), video, page(3, b"x" * 1000), packed=False))
    row, large = read((tmp_path / "crawl.warc").as_uri())
    assert row.url == "https://example.org/1"
    assert isinstance(large, Record)
    assert large.drop is not None
    assert "is a record of more than 500 bytes" in large.drop.evidence


def chunked(body: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:5], body[5:])) + b"0\r\n\r\n"


CODINGS: dict[str, tuple[bytes, dict[str, str]]] = {
    "gzip": (gzip.compress(PAGE.encode()), {"Content_Encoding": "gzip"}),
    "deflate": (zlib.compress(PAGE.encode()), {"Content_Encoding": "deflate"}),
    "chunks": (chunked(PAGE.encode()), {"Transfer_Encoding": "chunked"}),
    "gzip in chunks": (
        chunked(gzip.compress(PAGE.encode())),
        {"Transfer_Encoding": "chunked", "Content_Encoding": "gzip"},
    ),
    "chunks taken out before": (PAGE.encode(), {"Transfer_Encoding": "chunked"}),
    "gzip taken out before": (PAGE.encode(), {"X_Crawl_Content_Encoding": "gzip"}),
}


@pytest.mark.parametrize(("body", "headers"), CODINGS.values(), ids=CODINGS.keys())
def test_a_body_in_its_codings(tmp_path: Path, body: bytes, headers: dict[str, str]) -> None:
    (tmp_path / "crawl.warc").write_bytes(archive(page(1, body, **headers), packed=False))
    (row,) = read((tmp_path / "crawl.warc").as_uri())
    assert captured(row) == PAGE


PACKED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "not packed": ("crawl.warc", bytes),
    "one gzip member for all": ("crawl.warc.gz", gzip.compress),
    "Zstandard": ("crawl.warc.zst", lambda plain: pa.Codec("zstd").compress(plain, asbytes=True)),
    "by content alone": ("crawl", bytes),
}


@pytest.mark.parametrize(("name", "pack"), PACKED.values(), ids=PACKED.keys())
def test_files_however_packed(tmp_path: Path, name: str, pack: Callable[[bytes], bytes]) -> None:
    (tmp_path / name).write_bytes(pack(archive(page(1), page(2), packed=False)))
    assert len(read((tmp_path / name).as_uri())) == 2


def test_a_bomb_in_a_record_is_a_drop(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    (tmp_path / "crawl.warc.gz").write_bytes(archive(page(1, bomb, Content_Encoding="gzip")))
    (row,) = read((tmp_path / "crawl.warc.gz").as_uri())
    with pytest.raises(Dropped) as end:
        captured(row)
    assert (end.value.reason, end.value.evidence) == ("http_error", "larger than 4194304 bytes")


RECORDS: dict[str, tuple[bytes, str]] = {
    "a response that is none": (
        archive(page(1), packed=False).replace(b"HTTP/1.1 200", b"NONE/1.1 200"),
        "row 1 holds no HTTP response",
    ),
    "a record that is cut off": (archive(page(1), packed=False)[:-20], "that should have"),
    "a page of no address": (
        archive(("", *page(1)[1:]), packed=False),
        "row 1 has no URL in url",
    ),
    "a page of a forbidden scheme": (
        archive(("file:///etc/passwd", *page(1)[1:]), packed=False),
        "has no web address for a URL: 'file:///etc/passwd'",
    ),
}


@pytest.mark.parametrize(("data", "says"), RECORDS.values(), ids=RECORDS.keys())
def test_a_malformed_record_is_a_counted_drop(tmp_path: Path, data: bytes, says: str) -> None:
    (tmp_path / "a.warc.gz").write_bytes(archive(page(9)))
    (tmp_path / "b.warc").write_bytes(data)
    rows = read(f"{tmp_path.as_uri()}/")
    (drop,) = [row.drop for row in rows if isinstance(row, Record) and row.drop]
    assert (drop.stage, drop.reason) == ("source", "malformed")
    assert says in drop.evidence


DAMAGED: dict[str, tuple[str, bytes, str]] = {
    "gzip cut off": ("crawl.warc.gz", archive(page(1), page(2))[:-30], r"source\.uri: crawl\.warc\.gz is cut off"),
    "not WARC": ("crawl.warc", json.dumps({"url": "x"}).encode(), r"source\.format: crawl\.warc is not WARC"),
    "empty": ("crawl.warc", b"", r"source\.format: crawl\.warc is not WARC"),
    "rubbish between records": (
        "crawl.warc",
        archive(page(1), packed=False) + b"rubbish\r\nmore rubbish\r\n\r\n",
        r"source\.uri: crawl\.warc is cut off or damaged",
    ),
}


@pytest.mark.parametrize(("name", "data", "says"), DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_file_ends_the_run(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigError, match=says):
        read((tmp_path / name).as_uri())


def test_columns_of_other_files_never_say_what_a_page_holds(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"url": "https://example.org/1", "response": "HTTP/1.1 200 OK"}))
    (row,) = read((tmp_path / "rows.jsonl").as_uri())
    assert isinstance(row, Row)
    assert row.response is None


@pytest.fixture
def site() -> Iterator[str]:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=archive(page(1), page(2)), content_type="application/octet-stream")

    app = web.Application()
    app.router.add_get("/crawl.warc.gz", answer)
    with serving(app) as url:
        yield url


def test_from_the_web_and_from_an_object_store(site: str) -> None:
    assert len(read(f"{site}/crawl.warc.gz")) == 2
    with object_store() as endpoint:
        open_store("s3://reasoner/crawls", endpoint=endpoint).put("2025/crawl.warc.gz", archive(page(1)))
        storage = Storage(uri="s3://reasoner/out", endpoint=endpoint)
        assert len(read("s3://reasoner/crawls/", storage, format="warc")) == 1
