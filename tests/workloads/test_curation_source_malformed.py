"""Sources as the web delivers them: cut off, of the wrong types, hostile."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reasoner_api.curation import Source
from reasoner_workloads.common.run import ConfigError
from reasoner_workloads.curation.records import Record, Row
from support.curation import read_source

GOOD = {"id": "good", "url": "https://example.org/good", "question": "Good?"}
GOOD_LINE = json.dumps(GOOD).encode() + b"\n"
MANY = b"".join(
    json.dumps({"url": f"https://example.org/{n}", "question": "x" * 50}).encode() + b"\n" for n in range(9999)
)


def read(path: Path, **source: Any) -> list[Row | Record]:
    return read_source(Source.model_validate({"uri": path.as_uri(), **source}))


#: A line beside a good one, and what its drop says.
LINES: dict[str, tuple[bytes, str]] = {
    "half an object": (b'{"url": "https://example.org/1"', "is not JSON: "),
    "a bare word": (b"nonsense", "is not JSON: "),
    "a list": (b'["https://example.org/1"]', "is JSON, but no object"),
    "a number": (b"7", "is JSON, but no object"),
    "nesting without end": (b'{"url":' + b"[" * 100_000, "is not JSON"),
    "a number of five thousand digits": (b'{"id": ' + b"9" * 5000 + b"}", "is not JSON that can be read"),
    "a raw NUL": (b'{"url": "https://example.org/\x00"}', "is not JSON: "),
    "an escaped NUL in the URL": (b'{"url": "https://example.org/\\u0000"}', "has no web address for a URL"),
    "half a surrogate pair in the URL": (b'{"url": "https://example.org/\\ud800"}', "has no web address for a URL"),
    "a space within the URL": (b'{"url": "https://example.org/a b"}', "has no web address for a URL"),
    "a newline within the URL": (b'{"url": "https://example.org/a\\nHost: x"}', "has no web address for a URL"),
    "a URL without a host": (b'{"url": "https:///path"}', "has no web address for a URL"),
    "a URL with a broken address": (b'{"url": "https://[::1/x"}', "has no web address for a URL"),
    "a URL with a port out of range": (b'{"url": "https://example.org:99999/"}', "has no web address for a URL"),
    "a scheme that runs code": (b'{"url": "javascript:alert(1)"}', "has no web address for a URL"),
    "a local file": (b'{"url": "file:///etc/passwd"}', "has no web address for a URL"),
    "an overlong URL": (b'{"url": "https://example.org/' + b"a" * 5000 + b'"}', "has a URL of 5020 characters"),
    "a URL that is a number": (b'{"url": 5}', "has a URL of type int"),
    "a URL that is a list": (b'{"url": ["https://example.org/1"]}', "has a URL of type list"),
    "a URL that is no UTF-8": (b'{"url": "https://example.org/caf\xe9"}', "has a URL that is no UTF-8"),
    "a URL that is null": (b'{"url": null}', "has no URL in "),
    "no columns": (b"{}", "its columns: none"),
    "half a surrogate pair for a column": (b'{"\\ud800": 1}', "its columns: �"),
    "a line of five megabytes": (b'{"question": "' + b"a" * (5 << 20) + b'"}', "is longer than 4194304 bytes"),
}


@pytest.mark.parametrize(("line", "says"), LINES.values(), ids=LINES.keys())
def test_a_malformed_line_is_a_counted_drop_and_the_next_is_read(tmp_path: Path, line: bytes, says: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(line + b"\n" + GOOD_LINE)
    drop, row = read(path)
    assert isinstance(drop, Record)
    assert drop.drop is not None
    assert (drop.id, drop.drop.stage, drop.drop.reason) == ("row-1", "source", "malformed")
    assert drop.drop.evidence.startswith("row 1 ")
    assert says in drop.drop.evidence
    assert len(drop.drop.evidence) < 1000
    assert drop.model_dump_json()
    assert row == Row("good", "https://example.org/good", "Good?")


def test_a_file_whose_name_is_no_utf8(tmp_path: Path) -> None:
    for name in (b"a\xff.jsonl", b"b\xff.jsonl"):
        (tmp_path / os.fsdecode(name)).write_bytes(b"nonsense\n" + GOOD_LINE)
    found = read_source(Source(uri=f"{tmp_path.as_uri()}/"))
    assert sorted(one.drop.evidence[:14] for one in found if isinstance(one, Record) and one.drop) == [
        "a�.jsonl row 1",
        "b�.jsonl row 1",
        "good",
    ]


def parquet(**columns: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def no_utf8(*values: bytes) -> pa.Array:
    """Text as writers that check nothing leave it."""
    return pa.array(values, pa.binary()).view(pa.string())


#: A line that is odd and sound, and its row.
ODD: dict[str, tuple[bytes, Row]] = {
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD_LINE, Row("good", "https://example.org/good", "Good?")),
    "Windows line ends": (GOOD_LINE.replace(b"\n", b"\r\n"), Row("good", "https://example.org/good", "Good?")),
    "no line end": (GOOD_LINE.strip(), Row("good", "https://example.org/good", "Good?")),
    "a question that is no UTF-8": (
        b'{"id": 1, "url": "https://example.org/1", "question": "caf\xe9"}',
        Row("1", "https://example.org/1", "caf�"),
    ),
    "a question with a NUL and half a pair": (
        b'{"id": 1, "url": "https://example.org/1", "question": "a\\u0000b\\ud800"}',
        Row("1", "https://example.org/1", "ab�"),
    ),
    "a question that is an object": (
        b'{"id": 1, "url": "https://example.org/1", "question": {"text": "?"}}',
        Row("1", "https://example.org/1", ""),
    ),
    "a byte order mark within the file": (
        b"\n\xef\xbb\xbf" + GOOD_LINE,
        Row("good", "https://example.org/good", "Good?"),
    ),
    "an overlong question": (
        b'{"id": 1, "url": "https://example.org/1", "question": "' + b"a" * 50_000 + b'"}',
        Row("1", "https://example.org/1", "a" * 20_000),
    ),
}


@pytest.mark.parametrize(("line", "row"), ODD.values(), ids=ODD.keys())
def test_an_odd_line_is_read(tmp_path: Path, line: bytes, row: Row) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(line)
    assert read(path) == [row]


def table(rows: list[list[str]]) -> bytes:
    sink = io.StringIO()
    csv.writer(sink).writerows(rows)
    return sink.getvalue().encode()


def packed_zst(data: bytes) -> bytes:
    return pa.compress(data, codec="zstd", asbytes=True)


def _damaged_page() -> bytes:
    whole = bytearray(parquet(url=[f"https://example.org/{n}/{n * 7919 % 10007}" for n in range(20_000)]))
    whole[2000:4000] = b"\xff" * 2000
    return bytes(whole)


#: A file that is wrong as a whole, its name, and the fault.
FILES: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "gzip cut off": ("rows.jsonl.gz", lambda: gzip.compress(MANY)[:-20], r"source\.uri: rows\.jsonl\.gz is cut off"),
    "gzip with a broken checksum": (
        "rows.jsonl.gz",
        lambda: gzip.compress(MANY)[:-8] + b"\0" * 8,
        r"source\.uri: rows\.jsonl\.gz is cut off or damaged: CRC",
    ),
    "gzip with damage within": (
        "rows.jsonl.gz",
        lambda: (whole := gzip.compress(MANY))[:2000] + b"\xff" * 500 + whole[2500:],
        r"source\.uri: rows\.jsonl\.gz is cut off or damaged",
    ),
    "Zstandard cut off": (
        "rows.jsonl.zst",
        lambda: packed_zst(MANY)[:-50],
        r"source\.uri: rows\.jsonl\.zst is cut off or damaged",
    ),
    "Parquet cut off": ("rows.parquet", lambda: parquet(url=["https://example.org/1"])[:-10], "is not Parquet"),
    "Parquet of no bytes": ("rows.parquet", lambda: b"", r"source\.format: rows\.parquet is not Parquet"),
    "Parquet with a damaged page": ("rows.parquet", _damaged_page, r"source\.uri: rows\.parquet is cut off or damaged"),
    "Parquet called JSONL": ("rows.jsonl", lambda: parquet(url=["https://x.org/1"]), r"source\.format: .* is Parquet"),
    "JSONL called Parquet": ("rows.parquet", lambda: MANY, r"source\.format: rows\.parquet is not Parquet"),
    "an array in place of lines": ("rows.json", lambda: json.dumps([GOOD], indent=1).encode(), "is a JSON array"),
    "UTF-16": ("rows.jsonl", lambda: GOOD_LINE.decode().encode("utf-16"), r"rows\.jsonl is UTF-16"),
    "no name and no sign of a format": ("rows", lambda: b"\x00\x01\x02", r"source\.format: cannot tell what rows is"),
    "Parquet without the column": (
        "rows.parquet",
        lambda: parquet(question=["Who?"], answer=["I"]),
        r"source\.columns\.url: no row of .* row 1 has no URL in url",
    ),
    "CSV without the column": ("rows.csv", lambda: table([["id"], ["1"]]), r"source\.columns\.url: no row of "),
    "CSV with a column twice": (
        "rows.csv",
        lambda: table([["url", "url"], ["https://example.org/1", "x"]]),
        r"source\.uri: rows\.csv has several columns called url",
    ),
    "CSV with a quote that is never closed": (
        "rows.csv",
        lambda: b'id,url\n1,https://example.org/1\n2,"https://example.org/2\n3,https://example.org/3\n',
        r"source\.uri: rows\.csv: a quote is never closed, in the row that begins with '2,\"https:.*: close it, or ",
    ),
    "CSV with a quote that is never closed, long before its end": (
        "rows.csv",
        lambda: b'id,url\n2,"' + b"a,b\n" * 1_500_000,
        r"source\.uri: rows\.csv: a quote is never closed",
    ),
    "WebInstruct-verified, which names no pages": (
        "rows.parquet",
        lambda: parquet(id=[1], question=["?"], answer=["1"], answer_type=["Integer"], category=["Physics"]),
        r"source\.columns\.url: no row of ",
    ),
}


@pytest.mark.parametrize(("name", "data", "says"), FILES.values(), ids=FILES.keys())
def test_a_broken_file_ends_the_run_and_the_fault_names_the_field(
    tmp_path: Path, name: str, data: Callable[[], bytes], says: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data())
    with pytest.raises(ConfigError, match=says):
        read(path)


#: Rows of a table beside a good one, and what their drops say.
TABLES: dict[str, tuple[str, bytes, list[str]]] = {
    "CSV with too many fields": (
        "rows.csv",
        b"url,id\nhttps://example.org/1,1,2\nhttps://example.org/good,good\n",
        ["row 1 has 3 fields for 2 columns"],
    ),
    "CSV with too few fields": ("rows.csv", b"id,url\n1\ngood,https://example.org/good\n", ["row 1 has no URL"]),
    "CSV with rows in a field that is too long": (
        "rows.csv",
        b'question,id,url\n"' + b"?,evil,https://evil.example/\n" * 200_000 + b'""",1,https://example.org/1\n'
        b"Good?,good,https://example.org/good\n",
        ["row 1 is longer than 4194304 bytes"],
    ),
    "CSV with a line of five megabytes": (
        "rows.csv",
        b"id,url,question\n1,https://example.org/1," + b'a"b,' * 1_300_000 + b"\ngood,https://example.org/good,Good?\n",
        ["row 1 is longer than 4194304 bytes"],
    ),
    "CSV with old line ends": (
        "rows.csv",
        b"id,url\n1,https://example.org/1\r2,https://example.org/2\ngood,https://example.org/good\n",
        ["row 1 is not CSV: new-line character seen in unquoted field"],
    ),
    "CSV with a NUL": ("rows.csv", b"id,url\n1,https://x.org/\0\ngood,https://example.org/good\n", ["no web address"]),
    "Parquet with nulls": (
        "rows.parquet",
        parquet(id=["1", "good"], url=[None, "https://example.org/good"]),
        ["row 1 has no URL"],
    ),
    "Parquet with lists of URLs": (
        "rows.parquet",
        parquet(id=["1"], url=[["https://example.org/1"]], link=["https://example.org/good"]),
        ["row 1 has a URL of type list"],
    ),
    "Parquet with a day beyond the calendar": (
        "rows.parquet",
        parquet(url=["https://example.org/1", "https://example.org/good"], id=pa.array([2**31 - 1, 0], pa.date32())),
        ["row 1 has a value of type date32[day] in id that cannot be read: days=2147483647"],
    ),
    "Parquet with a URL that is no UTF-8": (
        "rows.parquet",
        parquet(url=no_utf8(b"https://example.org/\xe9", b"https://example.org/good")),
        ["row 1 has a URL that is no UTF-8"],
    ),
    "Parquet with a URL that is no text": ("rows.parquet", parquet(url=[1.5]), ["row 1 has a URL of type float"]),
}


@pytest.mark.parametrize(("name", "data", "says"), TABLES.values(), ids=TABLES.keys())
def test_a_malformed_row_of_a_table_is_a_counted_drop(tmp_path: Path, name: str, data: bytes, says: list[str]) -> None:
    (tmp_path / "a.jsonl").write_bytes(GOOD_LINE)
    (tmp_path / f"b-{name}").write_bytes(data)
    source = Source(uri=f"{tmp_path.as_uri()}/")
    drops = [one.drop.evidence for one in read_source(source) if isinstance(one, Record) and one.drop]
    drops = [one for one in drops if one != "good"]
    assert len(drops) == len(says)
    for drop, words in zip(drops, says, strict=True):
        assert drop.startswith(f"b-{name} row ")
        assert words in drop


def test_a_field_of_a_table_may_be_as_long_as_a_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    long = 'He said: "no, it is not".\n' * 100_000
    path.write_bytes(table([["id", "url", "question"], ["1", "https://example.org/1", long], list(GOOD.values())]))
    rows = sorted(read(path), key=lambda row: row.id)
    assert rows == [Row("1", "https://example.org/1", long[:20_000]), Row("good", "https://example.org/good", "Good?")]


def test_a_packed_source_that_is_a_bomb_is_a_drop_and_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    with gzip.open(path, "wb", 9) as bomb:
        bomb.write(b'{"question": "')
        for _ in range(200):
            bomb.write(bytes(1 << 20))
        bomb.write(b'"}\n' + GOOD_LINE)
    tracemalloc.start()
    try:
        drop, row = read(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(drop, Record)
    assert row == Row("good", "https://example.org/good", "Good?")
    assert peak < 64 << 20


def test_binary_text_in_parquet_is_text(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(parquet(url=[b"https://example.org/1"], id=["1"]))
    assert read(tmp_path / "rows.parquet") == [Row("1", "https://example.org/1", "")]


@pytest.mark.parametrize("kind", ["string", "large_string", "string_view"])
def test_text_in_parquet_that_is_no_utf8_is_read_as_far_as_it_goes(tmp_path: Path, kind: str) -> None:
    question = no_utf8(b"caf\xe9", b"sound")
    match kind:
        case "large_string":
            question = pa.array([b"caf\xe9", b"sound"], pa.large_binary()).view(pa.large_string())
        case "string_view":
            question = pa.array([b"caf\xe9", b"sound"], pa.binary_view()).view(pa.string_view())
    urls = ["https://example.org/1", "https://example.org/2"]
    (tmp_path / "rows.parquet").write_bytes(parquet(url=urls, id=["1", "2"], question=question))
    assert read(tmp_path / "rows.parquet") == [Row("1", urls[0], "caf\ufffd"), Row("2", urls[1], "sound")]


def test_blank_lines_before_the_header_of_csv_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b"\r\n\nid,url\n\n1,https://example.org/1\n\n")
    assert read(tmp_path / "rows.csv") == [Row("1", "https://example.org/1", "")]
