"""Questions that are nearly the same, over the whole job: MinHash and banding (Broder 1997; Leskovec et al., Mining of
Massive Datasets, chapter 3), on disk. Called by `dedupe`."""

from __future__ import annotations

import hashlib
import re
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

from reasoner_workloads.curation.wording import key

#: Hash functions of a signature, and their seed: part of what the dataset is.
FUNCTIONS, SEED = 128, 1
#: Words of a shingle.
SHINGLE = 3
#: Kept questions of one bucket that a new one is compared with; more only where a phrase is everywhere.
LEADERS = 16
#: Rows whose signatures, and entries of bands that are in memory at a time.
CHUNK, ENTRIES = 8192, 1 << 18

_NUMBER = re.compile(r"\d+")
_SIGNED = np.dtype([("numbers", "<u8"), ("signature", "<u4", FUNCTIONS)])
_ENTRY = np.dtype([("key", "<u8"), ("row", "<u4")])


def near_duplicates(questions: Iterable[str], similarity: float) -> Iterator[tuple[int, int]]:
    """Each question that is a near duplicate, by its position, with the position of the earlier one that stays. What
    comes first stays, so the same order gives the same result. Questions with different numbers are different
    questions. Memory is bounded; on disk a question takes 520 bytes, and 12 in each band."""
    with tempfile.TemporaryDirectory() as name, closing(sqlite3.connect("")) as database:
        signed = _Signed(Path(name) / "signed", questions)
        database.execute("CREATE TABLE shared (row INTEGER, place INTEGER)")
        for places in _meetings(signed, _rows_a_band(similarity), Path(name)):
            database.executemany("INSERT INTO shared VALUES (?, ?)", places)
        database.execute("CREATE INDEX by_row ON shared (row, place)")
        database.execute("CREATE TABLE leaders (place INTEGER, row INTEGER, PRIMARY KEY (place, row)) WITHOUT ROWID")
        # Most questions are alone in all of their buckets.
        for (row,) in database.execute("SELECT DISTINCT row FROM shared ORDER BY row"):
            alike = (leader for leader in _met(database, row) if signed.alike(row, leader, similarity))
            if (leader := next(alike, None)) is not None:
                yield row, leader
            else:
                _lead(database, row)


class _Signed:
    """The questions' signatures, each with a hash of the question's numbers, in a file."""

    def __init__(self, path: Path, questions: Iterable[str]) -> None:
        self._path = path
        self.count = 0
        with path.open("wb") as file:
            for words in map(key, questions):
                file.write(np.array([(_numbers(words), _signature(words))], _SIGNED).tobytes())
                self.count += 1

    def read(self, start: int, count: int) -> NDArray[np.void]:
        """Some of them."""
        return np.fromfile(self._path, _SIGNED, count, offset=start * _SIGNED.itemsize)

    def alike(self, row: int, other: int, similarity: float) -> bool:
        """Whether two questions are nearly the same."""
        (one,), (two,) = self.read(row, 1), self.read(other, 1)
        same = np.mean(one["signature"] == two["signature"])
        return bool(one["numbers"] == two["numbers"] and same >= similarity)


def _met(database: sqlite3.Connection, row: int) -> list[int]:
    """The kept questions that a row shares a bucket with, the earliest first."""
    asked = "SELECT DISTINCT leaders.row FROM shared JOIN leaders USING (place) WHERE shared.row = ? ORDER BY 1"
    return [leader for (leader,) in database.execute(asked, (row,))]


def _lead(database: sqlite3.Connection, row: int) -> None:
    """Let later rows be compared with this one, in each of its buckets that has not enough to compare with."""
    database.execute(
        "INSERT INTO leaders SELECT place, row FROM shared WHERE row = ?"
        " AND (SELECT count(*) FROM leaders WHERE leaders.place = shared.place) < ?",
        (row, LEADERS),
    )


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


def _meetings(signed: _Signed, rows: int, folder: Path) -> Iterator[list[tuple[int, int]]]:
    """The rows that are not alone in a bucket, each with that bucket's place among all: a band at a time, and of it a
    part of the keys at a time, so large that it can be sorted in memory."""
    parts = -(-signed.count // ENTRIES)
    place = 0
    for band in range(FUNCTIONS // rows):
        _write_band(signed, slice(band * rows, (band + 1) * rows), [folder / f"{part}" for part in range(parts)])
        for part in range(parts):
            entries = np.fromfile(folder / f"{part}", _ENTRY)
            _, bucket, sizes = np.unique(entries["key"], return_inverse=True, return_counts=True)
            met = np.flatnonzero(sizes[bucket] > 1)
            yield list(zip(entries["row"][met].tolist(), (place + bucket[met]).tolist(), strict=True))
            place += len(sizes)


def _write_band(signed: _Signed, band: slice, paths: list[Path]) -> None:
    """Each row's key in one band, to the file that its first bits choose."""
    with ExitStack() as opened:
        files = [opened.enter_context(path.open("wb")) for path in paths]
        for start in range(0, signed.count, CHUNK):
            part = signed.read(start, CHUNK)["signature"][:, band].astype(np.uint64)
            found = np.zeros(len(part), _ENTRY)
            for column in part.T:
                found["key"] = (found["key"] ^ column) * np.uint64(0x9E3779B97F4A7C15)
            found["row"] = np.arange(start, start + len(part), dtype=np.uint32)
            chosen = (found["key"] >> np.uint64(32)) * np.uint64(len(paths)) >> np.uint64(32)
            for number, file in enumerate(files):
                file.write(found[chosen == number].tobytes())
