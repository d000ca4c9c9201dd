"""The job's buckets: stretches of the sorted source, each small enough for one pod to hold what becomes of it, and the
checkpoint of the work. Planned from the parts, the same in every pod; written by `pod`, read by `publish`.

A bucket's result is an object named by its digest and a marker that names the object, written only if there is none:
of two pods at one bucket the first counts, and a row is in the result once. Results are sorted as the source is, so
those of all buckets, one after the other, are sorted as a whole: nothing is left to merge but to read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from reasoner_api.status import StageCount
from reasoner_workloads.common.store import Store
from reasoner_workloads.curation.records import Record
from reasoner_workloads.curation.stretch import Part, fetched

#: Rows of a bucket at most, but for those of one URL; and at least, where there are not even so many a shard.
MOST_ROWS, FEWEST_ROWS = 1024, 16
#: Buckets a shard that keep pods equally busy though some buckets take longer.
EACH_SHARD = 8
_LINE = 1 << 64
#: Markers read at a time.
_THREADS = 16


@dataclass(frozen=True)
class Bucket:
    """A stretch of the line of hashes."""

    number: int
    low: int
    high: int

    @property
    def name(self) -> str:
        """What claims and markers call it."""
        return f"{self.number:05d}"


class Done(BaseModel):
    """The marker of a bucket that is done."""

    file: str = ""
    """Its records."""
    pod: int
    """Who did it."""
    stages: list[StageCount]
    """What became of its rows, but for the last stage, which is the whole job's."""


def plan(parts: list[Part], shards: int) -> list[Bucket]:
    """The buckets of a source, in the order of its rows: a power of two, so that each is a cell of the kept answers
    (`models.responses`). Hashes are even, so equal stretches hold nearly equal numbers of rows."""
    rows = sum(part.rows for part in parts)
    each = min(MOST_ROWS, max(FEWEST_ROWS, rows // (shards * EACH_SHARD)))
    count = 1 << max(0, -(-rows // each) - 1).bit_length()
    cuts = [_LINE * number // count for number in range(count + 1)]
    return [Bucket(number, cuts[number], cuts[number + 1]) for number in range(count)]


def keep(store: Store, bucket: Bucket, records: Path, done: Done) -> None:
    """Keep a bucket's records, a packed file of JSON lines, with their marker; where another pod was first, its
    count."""
    with records.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    done = done.model_copy(update={"file": f"buckets/{bucket.name}-{digest[:16]}.jsonl.gz"})
    store.put(done.file, records)
    store.put_new(f"done/{bucket.name}", done.model_dump_json().encode())


def names_done(store: Store) -> set[str]:
    """The names of the buckets that are done."""
    return {key.removeprefix("done/") for key in store.list("done/")}


def markers(store: Store, names: Iterable[str]) -> list[Done]:
    """The markers of done buckets, in the order of their names."""
    with ThreadPoolExecutor(_THREADS) as threads:
        texts = threads.map(lambda name: store.get(f"done/{name}"), sorted(names))
        return [Done.model_validate_json(text) for text in texts]


def records(store: Store, done: Iterable[Done]) -> Iterator[Record]:
    """The records of done buckets, as they are read."""
    for one in done:
        with fetched(store, one.file) as lines:
            yield from map(Record.model_validate_json, lines)
