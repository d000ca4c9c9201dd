"""The questions of the whole job, on disk: which of them are there twice, exactly or nearly, and which the test split
takes. Used by `publish`, which sees them all; memory does not grow with them."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from reasoner_workloads.curation.filters.near import near_duplicates
from reasoner_workloads.curation.records import Drop, Record
from reasoner_workloads.curation.wording import key

#: The test split is at most this part of the questions.
LARGEST_TEST = 5

_TABLES = """
    CREATE TABLE questions (place INTEGER PRIMARY KEY, kept INTEGER, hash BLOB, url TEXT, id TEXT, question TEXT);
    CREATE TABLE same (place INTEGER PRIMARY KEY, reason TEXT, first TEXT);
    CREATE TABLE by_url (position INTEGER PRIMARY KEY, place INTEGER, id TEXT);
"""
_LEFT = "FROM questions WHERE kept AND place NOT IN (SELECT place FROM same)"


@dataclass(frozen=True)
class Fate:
    """What the whole job says of a question."""

    drop: Drop | None
    """Why it is there once too often."""
    test: bool
    """Whether it is the test split's."""


class Questions:
    """Filled by `add`, closed by `settle`, then asked for each one's `fate`."""

    def __init__(self) -> None:
        # The empty name: a private file that is gone once it is closed.
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; {_TABLES} BEGIN;")
        self._last_of_test = b""

    def add(self, place: int, record: Record) -> None:
        """Take a question that was judged, kept so far or not, by its record's place."""
        digest = hashlib.sha256(key(record.question).encode()).digest()
        row = (place, record.drop is None, digest, record.url, record.id, record.question)
        self._database.execute("INSERT INTO questions VALUES (?, ?, ?, ?, ?, ?)", row)

    def settle(self, similarity: float | None, test: int) -> None:
        """Find what is there twice: of equal questions the kept one with the smallest URL stays, of near ones too. Of
        those left, the ones with the smallest hashes are the test's: the same whatever the shards and the order."""
        self._database.execute("CREATE INDEX by_hash ON questions (hash, kept DESC, url, id)")
        ordered = self._database.execute("SELECT hash, place, id FROM questions ORDER BY hash, kept DESC, url, id")
        first = (b"", 0, "")
        for row in ordered:
            if row[0] == first[0]:
                self._note([(row[1], "duplicate", first[2])])
            else:
                first = row
        if similarity is not None:
            self._settle_near(similarity)
        (left,) = self._database.execute(f"SELECT count(*) {_LEFT}").fetchone()
        if size := min(test, left // LARGEST_TEST):
            last = self._database.execute(f"SELECT hash {_LEFT} ORDER BY hash LIMIT 1 OFFSET ?", (size - 1,))
            (self._last_of_test,) = last.fetchone()

    def fate(self, place: int) -> Fate:
        """What becomes of the question of a record that was added."""
        found = self._database.execute("SELECT reason, first FROM same WHERE place = ?", (place,)).fetchone()
        if found is not None:
            return Fate(Drop(stage="deduplicate", reason=found[0], evidence=found[1]), False)
        (digest,) = self._database.execute("SELECT hash FROM questions WHERE place = ?", (place,)).fetchone()
        return Fate(None, digest <= self._last_of_test)

    def close(self) -> None:
        """Forget them."""
        self._database.close()

    def _settle_near(self, similarity: float) -> None:
        fields = "row_number() OVER (ORDER BY url, id) - 1, place, id"
        self._database.execute(f"INSERT INTO by_url SELECT {fields} {_LEFT}")
        texts = self._database.execute("SELECT question FROM by_url JOIN questions USING (place) ORDER BY position")
        asked = "SELECT late.place, 'near_duplicate', early.id FROM by_url late, by_url early"
        for pair in near_duplicates((text for (text,) in texts), similarity):
            self._note(self._database.execute(f"{asked} WHERE late.position = ? AND early.position = ?", pair))

    def _note(self, rows: Iterable[tuple[int, str, str]]) -> None:
        self._database.executemany("INSERT INTO same VALUES (?, ?, ?)", rows)
