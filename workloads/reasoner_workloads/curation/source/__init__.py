"""The list of crawled questions (JSONL, Parquet, CSV) or the pages themselves (WARC), from an object store, a file or
the web. `read_rows` is called by `shard`, `values` also by the decontamination."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from reasoner_api.common import Storage
from reasoner_api.curation import Source
from reasoner_workloads.common.run import ConfigError
from reasoner_workloads.curation.records import Drop, Record, Row
from reasoner_workloads.curation.source.columns import Malformed, row_of
from reasoner_workloads.curation.source.files import Place, files_of
from reasoner_workloads.curation.source.formats import rows_of

__all__ = ["read_rows", "shard_of", "values"]


def read_rows(source: Source, storage: Storage, shard: int, shards: int) -> Iterator[Row | Record]:
    """One shard's rows in the source's order, as they are read; between them, as records, those dropped here:
    `malformed` ones and those whose URL an earlier row had (`duplicate_url`). A URL always falls to the same shard.
    Memory does not grow with the source. Raises ConfigError where the source is not as the spec says."""
    sound = number = 0
    first_fault = ""
    with closing(_Seen()) as seen:
        for number, (where, found) in enumerate(values(Place.of_source(source), storage), start=1):
            if source.limit is not None and number > source.limit:
                break
            try:
                row = row_of(found, source.columns)
            except Malformed as fault:
                first_fault = first_fault or f"{where} {fault}"
                if _is_ours(f"row {number - 1}", source.sample, shard, shards):
                    yield _dropped(f"row-{number}", "", "malformed", f"{where} {fault}")
                continue
            sound += 1
            if _is_ours(row.url, source.sample, shard, shards):
                first = seen.first(row)
                yield row if first is None else _dropped(row.id, row.url, "duplicate_url", first)
    if number and not sound:
        raise ConfigError(f"source.columns.url: no row of {source.uri} names a page: {first_fault}")


def values(place: Place, storage: Storage) -> Iterator[tuple[str, dict[str, Any] | Malformed]]:
    """The rows of all files of a place, each with the words that say where it stands."""
    with files_of(place, storage) as files:
        for file in files:
            prefix = "" if file.alone else f"{file.name} "
            for number, found in enumerate(rows_of(file, place), start=1):
                yield f"{prefix}row {number}", found


def shard_of(key: str, shards: int) -> int:
    """The shard that a key belongs to."""
    return _hash(key) % shards


def _is_ours(key: str, sample: float, shard: int, shards: int) -> bool:
    # A hash of its own: the sampled rows must spread over all shards.
    return shard_of(key, shards) == shard and (sample >= 1 or _hash(f"sample {key}") < sample * 2**64)


def _hash(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")


def _dropped(name: str, url: str, reason: str, evidence: str) -> Record:
    return Record(id=name, url=url, drop=Drop(stage="source", reason=reason, evidence=evidence))


class _Seen:
    """The URLs read so far, and the ids of their rows: on disk beyond what a small cache holds."""

    def __init__(self) -> None:
        # The empty name: a private file that is gone once it is closed.
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=OFF")
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.execute("CREATE TABLE seen (url BLOB PRIMARY KEY, id TEXT) WITHOUT ROWID")
        self._db.execute("BEGIN")

    def first(self, row: Row) -> str | None:
        """The id of the earlier row with this URL; None for the first, which is remembered."""
        url = hashlib.sha256(row.url.encode()).digest()[:16]
        if self._db.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (url, row.id)).rowcount:
            return None
        found: tuple[str] = self._db.execute("SELECT id FROM seen WHERE url = ?", (url,)).fetchone()
        return found[0]

    def close(self) -> None:
        """Forget them."""
        self._db.close()
