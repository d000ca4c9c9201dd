"""Stretches of the sorted source: the rows whose hashes lie between two bounds, whatever the parts that hold them.
Written by `split`, read by `buckets`."""

from __future__ import annotations

import base64
import bisect
import gzip
import heapq
import itertools
import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO

from pydantic import BaseModel

from reasoner_workloads.common.store import Missing, Store
from reasoner_workloads.curation.blocks import MOST_BLOCKS
from reasoner_workloads.curation.records import Drop, Record, Row
from reasoner_workloads.curation.wording import key

#: Characters of a line before its value: the hash and the number, both in hexadecimal, which sort as text.
HASH, KEY = 16, 28
#: Bytes of a range that are held in memory; of a longer one the rest is on disk.
IN_MEMORY = 1 << 20


class Part(BaseModel):
    """The marker of a part that is split."""

    file: str
    """Its rows, by a name that their digest gives."""
    size: int
    """Bytes of the file."""
    read: int
    """Rows that its files hold, up to the limit."""
    rows: int
    """Rows of the sample."""
    sound: int
    """Rows of the sample that name a page."""
    fault: str
    """What is wrong with the first row that names none."""
    hashes: list[str]
    """The first hash of each block."""
    offsets: list[int]
    """Where each block begins."""

    def range_of(self, low: int, high: int) -> tuple[int, int]:
        """Start and size of the bytes that hold the rows with hashes from `low` up to, not including, `high`."""
        first = max(0, bisect.bisect_left(self.hashes, f"{low:016x}") - 1)
        last = len(self.hashes) if high >= 1 << 64 else bisect.bisect_left(self.hashes, f"{high:016x}")
        bounds = [*self.offsets, self.size]
        return bounds[first], bounds[last] - bounds[first]


def finished(store: Store, number: int) -> Part | None:
    """The marker of a part, if it is split."""
    try:
        return Part.model_validate_json(store.get(marker(number)))
    except Missing:
        return None


def marker(number: int) -> str:
    """Key of a part's marker."""
    return f"parts/{number:03d}.json"


def stretch(store: Store, parts: list[Part], low: int, high: int) -> Iterator[Row | Record]:
    """The rows with hashes from `low` up to, not including, `high`, sorted by hash and then as the source has them;
    between them, as records, those dropped here: `malformed` ones, those that an earlier row with the same URL and
    question makes superfluous (`duplicate_url`), and those beyond what a page is read for (`crowded_url`)."""
    firsts = [0, *itertools.accumulate(part.read for part in parts)]
    with ExitStack() as opened:
        sources = [
            _numbered(opened.enter_context(fetched(store, part.file, *part.range_of(low, high))), first, (low, high))
            for part, first in zip(parts, firsts, strict=False)
        ]
        page, asked = "", dict[str, str]()
        for place, number, value in heapq.merge(*sources):
            if isinstance(value, str):
                yield _dropped(f"row-{number}", "", "malformed", value)
                continue
            name, url, hint, response = value
            if url != page:
                page, asked = url, {}
            question = key(hint)
            if question in asked:
                yield _dropped(name, url, "duplicate_url", asked[question])
            elif len(asked) == MOST_BLOCKS:
                yield _dropped(name, url, "crowded_url", f"more than {MOST_BLOCKS} questions")
            else:
                asked[question] = name
                yield Row(name, url, hint, base64.b85decode(response) if response else None, int(place, 16))


@contextmanager
def fetched(store: Store, key: str, start: int = 0, size: int | None = None) -> Iterator[IO[bytes]]:
    """An object's bytes, or `size` of them from `start`, unpacked as they are read: on disk where they are many."""
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as file:
        for chunk in store.stream(key, start, size):
            file.write(chunk)
        file.seek(0)
        with gzip.open(file) as lines:
            yield lines


def _numbered(lines: IO[bytes], first: int, bounds: tuple[int, int]) -> Iterator[tuple[str, int, str | list[str]]]:
    low, high = (f"{bound:017x}" for bound in bounds)
    for line in lines:
        if low <= f"0{line[:HASH].decode()}" < high:
            yield line[:HASH].decode(), first + int(line[HASH:KEY], 16), json.loads(line[KEY:])


def _dropped(name: str, url: str, reason: str, evidence: str) -> Record:
    return Record(id=name, url=url, drop=Drop(stage="source", reason=reason, evidence=evidence))
