"""The list of crawled questions, from everywhere it may lie."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiohttp import web

from reasoner_api.common import Storage
from reasoner_api.curation import Source
from reasoner_workloads.common.run import ConfigError, WorkloadError
from reasoner_workloads.common.store import open_store
from reasoner_workloads.curation import stretch
from reasoner_workloads.curation.records import Record, Row
from support.curation import FILE, buckets_of, read_source
from support.http_server import answering

ROWS = [
    {"id": "a", "url": "https://example.org/1", "question": "One?"},
    {"id": 7, "url": "https://example.org/2", "question": "Two?", "more": [1]},
    {"url": " https://example.org/3 "},
    {"id": "again", "url": "https://example.org/1", "question": " one"},
    {"id": "no url"},
    {"id": "ftp", "url": "ftp://example.org/4"},
]
WANTED = ["https://example.org/1", "https://example.org/2", "https://example.org/3"]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS) + "\nnot json\n[1]\n"


@pytest.fixture
def listing(tmp_path: Path) -> str:
    (tmp_path / "rows.jsonl").write_text(LINES)
    return (tmp_path / "rows.jsonl").as_uri()


def read_rows(source: Source, storage: Storage = FILE) -> tuple[list[Row], list[Record]]:
    found = read_source(source, storage)
    return [one for one in found if isinstance(one, Row)], [one for one in found if isinstance(one, Record)]


def urls(rows: list[Row]) -> list[str]:
    return [row.url for row in rows]


def test_rows_in_order_and_why_others_are_not(listing: str) -> None:
    rows, drops = read_rows(Source(uri=listing))
    assert [(row.id, row.hint) for row in rows[:2]] == [("a", "One?"), ("7", "Two?")]
    assert urls(rows) == WANTED
    assert len(rows[2].id) == 16
    assert [(drop.id, drop.drop.reason, drop.drop.evidence) for drop in drops if drop.drop] == [
        ("again", "duplicate_url", "a"),
        ("row-5", "malformed", "row 5 has no URL in url, source_url, page_url, webpage, link; its columns: id"),
        ("row-6", "malformed", "row 6 has no web address for a URL: 'ftp://example.org/4'"),
        ("row-7", "malformed", "row 7 is not JSON: Expecting value at column 1"),
        ("row-8", "malformed", "row 8 is JSON, but no object"),
    ]


def test_each_question_of_a_page_is_a_row_and_the_same_one_twice_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stretch, "MOST_BLOCKS", 3)
    asked = ["One?", "Two?", "ONE", "Three?", "two", "Four?", "three?!"]
    lines = [{"url": f"https://example.org/{n % 2}", "question": text} for text in asked for n in range(2)]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    for shards in (1, 8):
        store = open_store(f"{tmp_path.as_uri()}/{shards}")
        found = [
            one
            for bucket in buckets_of(Source(uri=(tmp_path / "rows.jsonl").as_uri()), store, shards)
            for one in bucket
        ]
        for page in ("https://example.org/0", "https://example.org/1"):
            rows = [one for one in found if isinstance(one, Row) and one.url == page]
            drops = [one.drop for one in found if isinstance(one, Record) and one.url == page and one.drop]
            assert [row.hint for row in rows] == ["One?", "Two?", "Three?"]
            assert len({row.id for row in rows}) == 3
            assert [(drop.reason, drop.evidence) for drop in drops] == [
                ("duplicate_url", rows[0].id),
                ("duplicate_url", rows[1].id),
                ("crowded_url", "more than 3 questions"),
                ("duplicate_url", rows[2].id),
            ]


def test_limit(listing: str) -> None:
    rows, drops = read_rows(Source(uri=listing, limit=4))
    assert (len(rows), len(drops)) == (3, 1)


def test_buckets_part_the_rows_and_never_a_url(tmp_path: Path) -> None:
    lines = [{"id": str(n), "url": f"https://example.org/{n % 900}"} for n in range(1000)]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    for shards in (1, 3, 8):
        parts = buckets_of(Source(uri=path.as_uri()), open_store(f"{tmp_path.as_uri()}/{shards}"), shards)
        rows = [one for part in parts for one in part if isinstance(one, Row)]
        drops = [one for part in parts for one in part if isinstance(one, Record)]
        assert sorted(row.url for row in rows) == sorted({line["url"] for line in lines})
        assert {int(row.id) for row in rows} == set(range(900))
        assert sorted(int(drop.id) for drop in drops) == list(range(900, 1000))
        assert len(parts) >= 8 * shards * 0.9
        sizes = [len(part) for part in parts]
        assert max(sizes) < 3 * sum(sizes) / len(sizes)


def test_what_is_read_is_the_same_in_any_number_of_buckets_and_files(tmp_path: Path) -> None:
    lines = [{"id": str(n), "url": f"https://example.org/{n % 70}"} if n % 9 else {} for n in range(200)]
    for number in range(100):
        part = lines[number * 2 : number * 2 + 2]
        (tmp_path / f"{number:03d}.jsonl").write_text("\n".join(json.dumps(line) for line in part))
    source = Source(uri=f"{tmp_path.as_uri()}/")
    found = [
        [one for part in buckets_of(source, open_store(f"{tmp_path.as_uri()}-{shards}"), shards) for one in part]
        for shards in (1, 3, 8)
    ]
    assert len(found[0]) == 200
    assert found[0] == found[1] == found[2]
    assert {one.id for one in found[0] if isinstance(one, Record) and not one.url} == {
        f"row-{n + 1}" for n in range(0, 200, 9)
    }


def test_columns_by_other_names(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"key": "k", "link": "https://example.org/x", "text": "What?"}))
    source = Source.model_validate({"uri": path.as_uri(), "columns": {"id": "key", "url": "link", "question": "text"}})
    assert read_rows(source)[0] == [Row("k", "https://example.org/x", "What?")]


def test_no_row_has_the_column(listing: str) -> None:
    source = Source.model_validate({"uri": listing, "columns": {"url": "link"}})
    with pytest.raises(
        ConfigError, match=r"source\.columns\.url: no row of .* has no URL in link; its columns: id, url"
    ):
        read_rows(source)


def test_parquet(tmp_path: Path) -> None:
    columns = {"id": [1, 2], "url": ["https://example.org/1", None], "question": ["One?", "Two?"], "other": [0, 0]}
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    rows, drops = read_rows(Source(uri=(tmp_path / "rows.parquet").as_uri(), format="parquet"))
    assert rows == [Row("1", "https://example.org/1", "One?")]
    assert len(drops) == 1


def test_what_is_not_parquet(listing: str) -> None:
    with pytest.raises(ConfigError, match=r"source\.format: .* is not Parquet"):
        read_rows(Source(uri=listing, format="parquet"))


def test_from_an_object_store(endpoint: str) -> None:
    storage = Storage(uri="s3://reasoner/out", endpoint=endpoint)
    open_store("s3://reasoner/in", endpoint=endpoint).put("rows.jsonl", LINES.encode())
    rows, _ = read_rows(Source(uri="s3://reasoner/in/rows.jsonl"), storage)
    assert urls(rows) == WANTED
    with pytest.raises(ConfigError, match=r"source\.uri: s3://reasoner/in/none\.jsonl does not exist"):
        read_rows(Source(uri="s3://reasoner/in/none.jsonl"), storage)
    with pytest.raises(WorkloadError, match=r"source\.uri: s3://nobody/") as failure:
        read_rows(Source(uri="s3://nobody/rows.jsonl"), storage)
    assert failure.value.reason == "SourceUnavailable"


async def _listing(request: web.Request) -> web.Response:
    match request.path:
        case "/moved":
            raise web.HTTPFound("/rows.jsonl")
        case "/rows.jsonl":
            return web.Response(text=LINES)
        case "/broken":
            raise web.HTTPBadGateway
    raise web.HTTPNotFound


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with answering(_listing) as url:
        yield url


def test_from_the_web(site: str) -> None:
    for path in ("/rows.jsonl", "/moved"):
        assert urls(read_rows(Source(uri=site + path))[0]) == WANTED


def test_a_listing_that_is_not_on_the_web(site: str) -> None:
    with pytest.raises(ConfigError, match="answers 404"):
        read_rows(Source(uri=f"{site}/none"))
    with pytest.raises(WorkloadError, match="answers 502") as failure:
        read_rows(Source(uri=f"{site}/broken"))
    assert failure.value.exit_code == 1
