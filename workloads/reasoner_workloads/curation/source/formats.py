"""A file to the values of its rows, a few at a time. Called by `source`."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
from warcio.exceptions import ArchiveLoadFailed

from reasoner_api.curation import SourceFormat
from reasoner_workloads.curation.source import parquet, warc
from reasoner_workloads.curation.source.columns import Malformed
from reasoner_workloads.curation.source.csv_records import Unclosed, records_of
from reasoner_workloads.curation.source.files import PACKED, File, Place

#: Bytes of a line, or of a record of CSV; a longer one is no question.
LONGEST_LINE = 4 << 20
#: Rows of a Parquet file in memory at a time.
BATCH = 256

_SUFFIXES: dict[str, SourceFormat] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".csv": "csv",
    ".warc": "warc",
}

Values = Iterator[dict[str, Any] | Malformed]


def rows_of(file: File, place: Place) -> Values:
    """The rows' values, by column; what is no row is Malformed in its place. Raises ConfigError where the file as a
    whole is not what it should be."""
    kind = place.format or recognise(file, place)
    try:
        if kind == "parquet":
            yield from _parquet(file, place)
        elif kind == "warc":
            with closing(_unpacked(file.path)) as archive:
                yield from _warc(archive, file, place)
        else:
            with closing(_unpacked(file.path)) as lines:
                _open_text(lines, file, place, kind)
                yield from _jsonl(lines) if kind == "jsonl" else _csv(lines, file, place)
    except (EOFError, zlib.error, gzip.BadGzipFile, pa.ArrowException, OSError) as error:
        raise place.fault(f"{file.name} is cut off or damaged: {error}") from error


def recognise(file: File, place: Place) -> SourceFormat:
    """The format by the file's name, or else by its first bytes."""
    name = file.name.lower()
    for packed in PACKED:
        name = name.removesuffix(packed)
    for suffix, kind in _SUFFIXES.items():
        if name.endswith(suffix):
            return kind
    with file.path.open("rb") as raw:
        if raw.read(4) == b"PAR1":
            return "parquet"
    try:
        with closing(_unpacked(file.path)) as lines:
            start = lines.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    except (EOFError, zlib.error, OSError) as error:
        raise place.fault(f"{file.name} is cut off or damaged: {error}") from error
    if start.startswith(b"WARC/"):
        return "warc"
    if start.startswith(b"{"):
        return "jsonl"
    if b"," in start.partition(b"\n")[0] and b"\0" not in start:
        return "csv"
    raise place.fault(f"cannot tell what {file.name} is: set jsonl, parquet, csv or warc", "format")


def _unpacked(path: Path) -> io.BufferedReader:
    with path.open("rb") as raw:
        start = raw.read(4)
    if start.startswith(b"\x1f\x8b"):
        return cast("io.BufferedReader", gzip.open(path))
    if start == b"\x28\xb5\x2f\xfd":
        return io.BufferedReader(pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"))
    return path.open("rb")


def _open_text(lines: io.BufferedReader, file: File, place: Place, kind: SourceFormat) -> None:
    """Refuse what only looks like lines of text; pass over a byte order mark."""
    start = lines.peek(64)[:64]
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise place.fault(f"{file.name} is UTF-16: UTF-8 is wanted")
    if start.startswith(b"PAR1"):
        raise place.fault(f"{file.name} is Parquet", "format")
    if kind == "jsonl" and re.match(rb"\s*\[\s*(\{|$)", start):
        raise place.fault(f"{file.name} is a JSON array: JSONL has one object a line", "format")
    if start.startswith(codecs.BOM_UTF8):
        lines.read(len(codecs.BOM_UTF8))


def _lines(file: io.BufferedReader) -> Iterator[bytes | Malformed]:
    """The lines; what follows the limit of one that is too long is passed over."""
    while line := file.readline(LONGEST_LINE):
        if len(line) < LONGEST_LINE or line.endswith(b"\n"):
            yield line
            continue
        while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
            pass
        yield Malformed(f"is longer than {LONGEST_LINE} bytes")


def _jsonl(file: io.BufferedReader) -> Values:
    for line in _lines(file):
        if isinstance(line, Malformed):
            yield line
        elif line.strip():
            yield _object(line)


def _object(line: bytes) -> dict[str, Any] | Malformed:
    try:
        # Also of files that were put together each line may begin with a byte order mark.
        value = json.loads(line.decode("utf-8-sig", "replace"))
    except json.JSONDecodeError as error:
        return Malformed(f"is not JSON: {error.msg} at column {error.colno}")
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, nesting without end
        return Malformed(f"is not JSON that can be read: {str(error)[:100]}")
    return value if isinstance(value, dict) else Malformed("is JSON, but no object")


def _csv(file: io.BufferedReader, where: File, place: Place) -> Values:
    try:
        yield from _rows(records_of(file, LONGEST_LINE), where, place)
    except Unclosed as error:
        raise place.fault(f"{where.name}: {error}: close it, or write it twice if the text is to hold it") from error


def _rows(records: Iterator[list[str] | Malformed], where: File, place: Place) -> Values:
    header = next(filter(None, records), [])
    if isinstance(header, Malformed):
        raise place.fault(f"{where.name} has no header that can be read: it {header}", "format")
    _check_names(header, where, place)
    for cells in records:
        if isinstance(cells, Malformed):
            yield cells
        elif len(cells) > len(header):
            yield Malformed(f"has {len(cells)} fields for {len(header)} columns")
        elif cells:
            yield dict(zip(header, cells, strict=False))


def _check_names(names: list[str], file: File, place: Place) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        raise place.fault(f"{file.name} has several columns called {', '.join(twice)}")


def _warc(archive: io.BufferedReader, file: File, place: Place) -> Values:
    if not archive.peek(5).startswith(b"WARC/"):
        raise place.fault(f"{file.name} is not WARC", "format")
    try:
        yield from warc.records_of(archive)
    except ArchiveLoadFailed as error:
        raise place.fault(f"{file.name} is cut off or damaged: {str(error)[:200]}") from error


def _parquet(file: File, place: Place) -> Values:
    try:
        # Pages are read as they are wanted: a row group may be larger than the memory.
        opened = pq.ParquetFile(file.path, pre_buffer=False, buffer_size=1 << 20)
    except (pa.ArrowInvalid, OSError) as error:
        raise place.fault(f"{file.name} is not Parquet: {error}", "format") from error
    with opened:
        _check_names(opened.schema_arrow.names, file, place)
        wanted = [name for name in opened.schema_arrow.names if name in place.columns]
        # Without any of the columns there still are rows to count.
        for batch in opened.iter_batches(BATCH, columns=wanted or None):
            yield from parquet.rows_of(batch)
