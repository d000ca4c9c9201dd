"""Questions that are nearly the same, over the whole job: MinHash and banding (Broder 1997; Leskovec et al., Mining of
Massive Datasets, chapter 3). Called by `publish`, which sees all shards."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

from reasoner_workloads.curation.dedupe import key
from reasoner_workloads.curation.records import Drop, Record

#: Hash functions of a signature, and their seed: part of what the dataset is.
FUNCTIONS, SEED = 128, 1
#: Words of a shingle.
SHINGLE = 3
#: Kept questions of one bucket that a new one is compared with; more only where a phrase is everywhere.
LEADERS = 16
#: Rows whose signatures are in memory at a time.
_CHUNK = 65_536

_NUMBER = re.compile(r"\d+")


def drop_near(records: list[Record], similarity: float) -> list[Record]:
    """The records, in their order; of those kept, each that is so similar to an earlier kept one is dropped."""
    kept = [record for record in records if record.drop is None]
    same = near_duplicates((record.question for record in kept), similarity)
    dropped = {
        id(kept[late]): Drop(stage="deduplicate", reason="near_duplicate", evidence=kept[early].id)
        for late, early in same.items()
    }
    return [
        record.model_copy(update={"drop": dropped[id(record)]}) if id(record) in dropped else record
        for record in records
    ]


def near_duplicates(questions: Iterable[str], similarity: float) -> dict[int, int]:
    """For each question that is a near duplicate, by its position, the position of the earlier one that stays. What
    comes first stays, so the same order gives the same result. Questions with different numbers are different
    questions. Memory: 80 bytes a question, and 520 on disk while it runs."""
    with _signed(questions) as (signatures, numbers):
        buckets = _buckets(signatures, _rows_a_band(similarity))
        leaders: dict[tuple[int, int], list[int]] = {}
        same: dict[int, int] = {}
        # Most questions are alone in all of their buckets.
        for row in np.flatnonzero((buckets >= 0).any(axis=0)).tolist():
            shared = [(band, bucket) for band, bucket in enumerate(buckets[:, row].tolist()) if bucket >= 0]
            met = sorted({leader for place in shared for leader in leaders.get(place, ())})
            alike = (
                leader
                for leader in met
                if numbers[leader] == numbers[row] and np.mean(signatures[leader] == signatures[row]) >= similarity
            )
            if (leader := next(alike, None)) is not None:
                same[row] = leader
                continue
            for place in shared:
                if len(known := leaders.setdefault(place, [])) < LEADERS:
                    known.append(row)
        return same


@contextmanager
def _signed(questions: Iterable[str]) -> Iterator[tuple[NDArray[np.uint32], NDArray[np.uint64]]]:
    """The signatures, on disk, and a hash of each question's numbers."""
    numbers: list[NDArray[np.uint64]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "signatures"
        with path.open("wb") as file:
            for chunk in _chunks(questions):
                np.array([_signature(one) for one in chunk], np.uint32).tofile(file)
                numbers.append(np.array([_numbers(one) for one in chunk], np.uint64))
        if not numbers:
            yield np.empty((0, FUNCTIONS), np.uint32), np.empty(0, np.uint64)
            return
        yield np.memmap(path, np.uint32, "r").reshape(-1, FUNCTIONS), np.concatenate(numbers)


def _chunks(questions: Iterable[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    for question in questions:
        chunk.append(key(question))
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _signature(words: str) -> list[int]:
    parts = words.split()
    count = max(1, len(parts) - SHINGLE + 1)
    made = RMinHash(num_perm=FUNCTIONS, seed=SEED)
    made.update([" ".join(parts[start : start + SHINGLE]) for start in range(count)])
    return list(made.digest())


def _numbers(words: str) -> int:
    text = " ".join(sorted(_NUMBER.findall(words)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _rows_a_band(similarity: float) -> int:
    """As many as leave a pair of that similarity in one bucket at least with good odds: a band of r rows out of 128
    catches half of the pairs of similarity (r / 128) ** (1 / r)."""
    return max(rows for rows in (2, 4, 8, 16) if (rows / FUNCTIONS) ** (1 / rows) <= similarity - 0.05)


def _buckets(signatures: NDArray[np.uint32], rows: int) -> NDArray[np.int32]:
    """By band and question, the number of its bucket; -1 where it is alone in it."""
    count, bands = len(signatures), FUNCTIONS // rows
    buckets = np.full((bands, count), -1, np.int32)
    for band in range(bands):
        keys = np.zeros(count, np.uint64)
        for start in range(0, count, _CHUNK):
            part = np.asarray(signatures[start : start + _CHUNK, band * rows : (band + 1) * rows], np.uint64)
            for column in part.T:
                keys[start : start + _CHUNK] = (keys[start : start + _CHUNK] ^ column) * np.uint64(0x9E3779B97F4A7C15)
        _, bucket, sizes = np.unique(keys, return_inverse=True, return_counts=True)
        shared = sizes[bucket] > 1
        buckets[band, shared] = bucket[shared]
    return buckets
