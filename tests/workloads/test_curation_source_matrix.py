"""Every format from every place, with columns mapped by the spec, a limit and a sample."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiohttp import web
from tenacity import wait_none

from reasoner_api.common import Storage
from reasoner_api.curation import Source
from reasoner_local.tls import certificate
from reasoner_workloads.common.run import WorkloadError
from reasoner_workloads.common.store import open_store
from reasoner_workloads.curation.records import Row
from reasoner_workloads.curation.source import listing, read_rows
from reasoner_workloads.curation.source import web as download
from support.http_server import serving
from support.object_store import object_store

ROWS = [{"key": f"k{n}", "page": f"https://example.org/{n}", "words": f"Ünïque {n}?"} for n in range(40)]
COLUMNS = {"id": "key", "url": "page", "question": "words"}
HOPED = [Row(row["key"], row["page"], row["words"]) for row in ROWS]


def jsonl() -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)


def table() -> bytes:
    sink = io.StringIO()
    writer = csv.DictWriter(sink, ROWS[0])
    writer.writeheader()
    writer.writerows(ROWS)
    return sink.getvalue().encode()


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), sink, row_group_size=7)
    return sink.getvalue()


def warc() -> bytes:
    return b"".join(gzip.compress(_record(row)) for row in ROWS)


def _record(row: dict[str, str]) -> bytes:
    block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>page</p>"
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:{row['key']}>\r\nWARC-Target-URI: {row['page']}\r\n"
    )
    return f"{head}Content-Length: {len(block)}\r\n\r\n".encode() + block + b"\r\n\r\n"


def zst(plain: bytes) -> bytes:
    packed: bytes = pa.compress(plain, codec="zstd", asbytes=True)
    return packed


FORMATS: dict[str, Callable[[], bytes]] = {
    "rows.parquet": parquet,
    "rows.jsonl": jsonl,
    "rows.jsonl.gz": lambda: gzip.compress(jsonl()),
    "rows.jsonl.zst": lambda: zst(jsonl()),
    "rows.csv": table,
    "rows.csv.gz": lambda: gzip.compress(table()),
    "rows.warc": lambda: gzip.decompress(warc()),
    "rows.warc.gz": warc,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("rows")
    for name, data in FORMATS.items():
        (path / name).write_bytes(data())
    return path.as_uri()


@pytest.fixture(scope="module")
def bucket() -> Iterator[tuple[str, Storage]]:
    with object_store() as endpoint:
        store = open_store("s3://reasoner/rows", endpoint=endpoint)
        for name, data in FORMATS.items():
            store.put(name, data())
        yield "s3://reasoner/rows", Storage(uri="s3://reasoner/out", endpoint=endpoint)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A server that speaks TLS, and the authority that signed for it."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=FORMATS[request.match_info["name"]](), content_type="application/octet-stream")

    app = web.Application()
    app.router.add_get("/{name}", answer)
    signed = certificate("127.0.0.1")
    authority = tmp_path_factory.mktemp("tls") / "authority.pem"
    authority.write_text(signed.authority)
    with serving(app, tls=signed.context) as url:
        yield url, authority


@pytest.fixture(params=["file", "s3", "https"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Storage]:
    if request.param == "s3":
        found: tuple[str, Storage] = request.getfixturevalue("bucket")
        return found
    if request.param == "https":
        url, authority = request.getfixturevalue("site")
        # As a user's `compute.env` names an authority of their own.
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        return url, Storage(uri="file:///nowhere")
    return request.getfixturevalue("folder"), Storage(uri="file:///nowhere")


def read(uri: str, storage: Storage, **source: Any) -> list[Row]:
    columns = {} if ".warc" in uri else COLUMNS
    asked = Source.model_validate({"uri": uri, "columns": columns, **source})
    rows = [item.row for item in read_rows(asked, storage, listing(asked, storage))]
    assert None not in rows
    return [row for row in rows if row is not None]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_from_every_place(place: tuple[str, Storage], name: str) -> None:
    uri, storage = place
    rows = read(f"{uri}/{name}", storage)
    if ".warc" in name:
        assert [row.url for row in rows] == [row.url for row in HOPED]
        assert all(row.response and row.response.endswith(b"<p>page</p>") for row in rows)
    else:
        assert rows == HOPED
    assert [row.url for row in read(f"{uri}/{name}", storage, limit=9)] == [row.url for row in HOPED[:9]]
    some = read(f"{uri}/{name}", storage, sample=0.5)
    assert [row.url for row in some] == [row.url for row in read(f"{uri}/rows.jsonl", storage, sample=0.5)]
    assert 5 < len(some) < 35


def test_a_server_that_nobody_vouches_for_is_not_read(site: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download._Download.run.retry, "wait", wait_none())  # type: ignore[attr-defined]
    with pytest.raises(WorkloadError, match=r"source\.uri: .*certificate verify failed"):
        read(f"{site[0]}/rows.jsonl", Storage(uri="file:///nowhere"))
