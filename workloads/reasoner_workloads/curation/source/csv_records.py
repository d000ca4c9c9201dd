"""A CSV file to its records, of bounded size. Called by `formats`.

Where a record ends is found before `csv` reads its fields: after an error in the midst of quoted text its reader would
take what follows for rows."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator

from reasoner_workloads.curation.source.columns import Malformed

#: Whole fields, each with the comma behind it; a quoted one whose end is not there.
_FIELDS = re.compile(rb'(?:"(?:[^"]++|"")*+"[^,]*+,|[^",][^,]*+,|,)*+')
#: Bytes of a row that are shown.
_SHOWN = 60
_QUOTED = re.compile(rb'"(?:[^"]++|"")*+')


class Unclosed(ValueError):
    """A quote that the file never closes, so that all rows behind it are in the field that it opens."""

    def __init__(self, start: bytes) -> None:
        super().__init__(f"a quote is never closed, in the row that begins with {start.decode('utf-8', 'replace')!r}")


def records_of(file: io.BufferedReader, longest: int) -> Iterator[list[str] | Malformed]:
    """The fields of each record; in place of one of more than `longest` bytes, and of one that is no CSV, its fault.
    Raises Unclosed."""
    csv.field_size_limit(longest)
    for record in _records(file, longest):
        if record is None:
            yield Malformed(f"is longer than {longest} bytes")
            continue
        try:
            yield next(csv.reader([record.decode("utf-8", "replace")]), [])
        except csv.Error as error:
            yield Malformed(f"is not CSV: {error}")


def _records(file: io.BufferedReader, longest: int) -> Iterator[bytes | None]:
    parts: list[bytes] = []
    size, left, start, several = 0, b"", b"", False
    while piece := file.readline(longest):
        several = size > 0
        start = start if several else piece[:_SHOWN]
        size += len(piece)
        if size > longest:
            parts.clear()
        else:
            parts.append(piece)
        if left or b'"' in piece or not piece.endswith(b"\n"):
            left = _left(left + piece)
        if piece.endswith(b"\n") and left != b'"':
            yield b"".join(parts) if size <= longest else None
            parts.clear()
            size, left = 0, b""
    if several and left == b'"':
        raise Unclosed(start)
    if size:
        yield b"".join(parts) if size <= longest else None


def _left(text: bytes) -> bytes:
    """The shortest text that leaves a reader where this one does: at a field's start, within a plain one, within a
    quoted one, behind a quote in it."""
    found = _FIELDS.match(text)
    rest = text[found.end() :] if found else text
    quoted = _QUOTED.match(rest)
    if quoted is None:
        return b"x" if rest else b""
    return {b"": b'"', b'"': b'""'}.get(rest[quoted.end() :], b"x")
