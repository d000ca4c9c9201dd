"""The list of crawled questions (JSONL, Parquet, CSV) or the pages themselves (WARC), from an object store, a file or
the web. `listing` and `read_rows` are called by `split`, `values` also by the decontamination."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

from reasoner_api.common import Storage
from reasoner_api.curation import Source
from reasoner_workloads.curation.records import Row
from reasoner_workloads.curation.source.columns import Malformed, row_of
from reasoner_workloads.curation.source.files import Listing, Place, files_of, listing_of
from reasoner_workloads.curation.source.formats import rows_of

__all__ = ["Item", "Listing", "listing", "place_of", "read_rows", "values"]


@dataclass(frozen=True)
class Item:
    """A row of the source, or why it is none."""

    number: int
    """Its place among the rows of the files read, from 1."""
    place: int
    """Its place on the line of all hashes, 64 bits: by its URL, so that rows of one page stand together."""
    row: Row | None
    fault: str = ""
    """What is wrong with it, for people, where there is no row."""


def listing(source: Source, storage: Storage) -> Listing:
    """The files of a source. Raises ConfigError where the source is not as the spec says."""
    return listing_of(Place.of_source(source), storage)


def read_rows(source: Source, storage: Storage, files: Listing) -> Generator[Item, None, int]:
    """The sampled rows of some of a source's files, up to its limit, in their order; returns how many were read.
    Memory does not grow with them. Raises ConfigError where a file is not as the spec says."""
    number = 0
    found = values(Place.of_source(source), storage, files)
    for number, (where, value) in enumerate(itertools.islice(found, source.limit), start=1):
        try:
            row, key, fault = (row := row_of(value, source.columns)), row.url, ""
        except Malformed as wrong:
            row, key, fault = None, where, f"{where} {wrong}"
        if _sampled(key, source.sample):
            yield Item(number, place_of(key), row, fault)
    return number


def values(
    place: Place, storage: Storage, files: Listing | None = None
) -> Iterator[tuple[str, dict[str, Any] | Malformed]]:
    """The rows of a place's files, all where none are named, each with the words that say where it stands."""
    with files_of(place, storage, files or listing_of(place, storage)) as opened:
        for file in opened:
            prefix = "" if file.alone else f"{file.name} "
            for number, found in enumerate(rows_of(file, place), start=1):
                yield f"{prefix}row {number}", found


def place_of(key: str) -> int:
    """Where a key stands on the line of all hashes, 0 to 2**64 - 1."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")


def _sampled(key: str, share: float) -> bool:
    # A hash of its own: the sampled rows must spread over the whole line.
    return share >= 1 or place_of(f"sample {key}") < share * 2**64
