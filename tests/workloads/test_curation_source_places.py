"""Where the list of questions lies and how it gets here: folders, packed files, downloads that go on, samples."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from aiohttp import web as server
from tenacity import wait_none

from reasoner_api.common import Storage
from reasoner_api.curation import Source
from reasoner_workloads.common.run import ConfigError
from reasoner_workloads.common.store import open_store
from reasoner_workloads.curation.source import listing, read_rows, web
from support.curation import FILE, buckets_of
from support.http_server import answering, serving
from support.object_store import object_store


def lines(*numbers: int) -> bytes:
    return b"".join(json.dumps({"url": f"https://example.org/{number}"}).encode() + b"\n" for number in numbers)


def read(uri: str, storage: Storage = FILE, **source: Any) -> list[int]:
    """The numbers of the rows."""
    asked = Source.model_validate({"uri": uri, **source})
    items = read_rows(asked, storage, listing(asked, storage))
    return [int(item.row.url.rpartition("/")[2]) for item in items if item.row]


def zst(plain: bytes) -> bytes:
    packed: bytes = pa.compress(plain, codec="zstd", asbytes=True)
    return packed


#: A folder's files, those that are no lists of questions among them.
FOLDER = {
    "b.jsonl": lines(3),
    "a/2.jsonl.gz": gzip.compress(lines(2)),
    "a/1.jsonl": lines(1),
    "c.csv": b"url\nhttps://example.org/4\n",
    "README.md": b"# Not rows",
    "_SUCCESS": b"",
    "a/.hidden.jsonl": lines(9),
}


def test_a_folders_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name, data in FOLDER.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    assert read(f"{tmp_path.as_uri()}/") == [1, 2, 3, 4]


def test_a_folder_of_an_object_store() -> None:
    with object_store() as endpoint:
        store = open_store("s3://reasoner/places", endpoint=endpoint)
        for name, data in FOLDER.items():
            store.put(name, data)
        store.put("b.jsonl-and-more/x.jsonl", lines(8))
        storage = Storage(uri="s3://reasoner/out", endpoint=endpoint)
        assert read("s3://reasoner/places/a/", storage) == [1, 2]
        assert read("s3://reasoner/places/", storage) == [1, 2, 3, 8, 4]


def test_a_folder_without_rows(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("nothing")
    with pytest.raises(ConfigError, match=r"source\.uri: .* holds no file of rows"):
        read(f"{tmp_path.as_uri()}/")


PACKED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "plain": ("rows.jsonl", bytes),
    "gzip": ("rows.jsonl.gz", gzip.compress),
    "gzip in members": ("rows.jsonl.gz", lambda plain: gzip.compress(plain[:20]) + gzip.compress(plain[20:])),
    "Zstandard": ("rows.jsonl.zst", zst),
    "gzip by content alone": ("rows.jsonl", gzip.compress),
    "Zstandard by content alone": ("rows", zst),
}


@pytest.mark.parametrize(("name", "pack"), PACKED.values(), ids=PACKED.keys())
def test_lines_however_they_are_packed(tmp_path: Path, name: str, pack: Callable[[bytes], bytes]) -> None:
    (tmp_path / name).write_bytes(pack(lines(*range(500))))
    assert read((tmp_path / name).as_uri()) == list(range(500))


def test_a_table_packed_by_zstandard(tmp_path: Path) -> None:
    (tmp_path / "rows.csv.zst").write_bytes(zst(b"id,url\n1,https://example.org/1\n"))
    assert read((tmp_path / "rows.csv.zst").as_uri()) == [1]


def test_a_sample_is_the_same_whatever_the_order_and_the_shards(tmp_path: Path) -> None:
    (tmp_path / "up.jsonl").write_bytes(lines(*range(3000)))
    (tmp_path / "down.jsonl").write_bytes(lines(*reversed(range(3000))))
    tenth = read((tmp_path / "up.jsonl").as_uri(), sample=0.1)
    assert 230 < len(tenth) < 370
    assert sorted(read((tmp_path / "down.jsonl").as_uri(), sample=0.1)) == tenth
    source = Source(uri=(tmp_path / "up.jsonl").as_uri(), sample=0.1)
    parts = buckets_of(source, open_store(f"{tmp_path.as_uri()}/store"), 4)
    assert sorted(int(row.url.rpartition("/")[2]) for part in parts for row in part) == tenth
    assert len(parts) > 16
    # A larger sample holds the smaller one.
    assert set(tenth) < set(read((tmp_path / "up.jsonl").as_uri(), sample=0.2))


@dataclass
class Broken:
    """A server that breaks off its first answers."""

    breaks: int = 1
    etag: str = '"one"'
    body: bytes = lines(*range(2000))
    url: str = ""
    asked: list[str] = field(default_factory=list)
    """The Range of each request."""

    async def answer(self, request: server.Request) -> server.StreamResponse:
        self.asked.append(request.headers.get("Range", ""))
        begin = 0
        if self.asked[-1] and request.headers.get("If-Range") == self.etag:
            begin = int(self.asked[-1].removeprefix("bytes=").rstrip("-"))
        rest = self.body[begin:]
        response = server.StreamResponse(status=206 if begin else 200, headers={"ETag": self.etag} if self.etag else {})
        response.content_length = len(rest)
        await response.prepare(request)
        if len(self.asked) <= self.breaks:
            await response.write(rest[: len(rest) // 2])
            assert request.transport is not None
            request.transport.close()
            return response
        await response.write(rest)
        return response


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[Broken]:
    monkeypatch.setattr(web._Download.run.retry, "wait", wait_none())  # type: ignore[attr-defined]
    found = Broken()
    app = server.Application()
    app.router.add_get("/rows.jsonl", found.answer)
    with serving(app) as url:
        found.url = f"{url}/rows.jsonl"
        yield found


def test_a_download_goes_on_where_it_broke_off(broken: Broken) -> None:
    broken.breaks = 2
    assert read(broken.url) == list(range(2000))
    half = len(broken.body) // 2
    assert broken.asked == ["", f"bytes={half}-", f"bytes={half + (len(broken.body) - half) // 2}-"]


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_without_a_strong_etag_it_starts_again(broken: Broken, etag: str) -> None:
    broken.etag = etag
    assert read(broken.url) == list(range(2000))
    assert broken.asked == ["", ""]


def test_a_file_that_changed_meanwhile_is_taken_whole(broken: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    first = broken.answer

    async def changing(request: server.Request) -> server.StreamResponse:
        if broken.asked:
            broken.etag, broken.body = '"two"', lines(7, 8, 9)
        return await first(request)

    app = server.Application()
    app.router.add_get("/rows.jsonl", changing)
    with serving(app) as url:
        assert read(f"{url}/rows.jsonl") == [7, 8, 9]
    assert len(broken.asked) == 2


def test_a_folder_of_the_web_is_what_its_page_links_to_below_it() -> None:
    page = """<a href="b.jsonl">b</a> <a href="a/1.jsonl?C=M">1</a> <a href="../up.jsonl">up</a> <a href="./">here</a>
        <a href="https://elsewhere.example/c.jsonl">c</a> <a href="/data/README.md">readme</a> <a href="[bad">x</a>"""
    files = {"/data/": page.encode(), "/data/b.jsonl": lines(2), "/data/a/1.jsonl": lines(1), "/up.jsonl": lines(9)}

    async def answer(request: server.Request) -> server.Response:
        return server.Response(body=files[request.path], content_type="text/html")

    with answering(answer) as url:
        assert read(f"{url}/data/") == [1, 2]
