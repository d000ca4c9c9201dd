"""Answers as objects of a store: JSON lines, Zstandard. And those that were read, by request, in a file on the pod's
disk. Used by `responses`."""

from __future__ import annotations

import json
import sqlite3
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from pydantic_core import to_json

_LEVEL = 3


class Completion(NamedTuple):
    """What a model answered."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish: str = "stop"
    """Why it ends: `stop`, `length` (maxTokens), `content_filter`."""


def line(key: str, completion: Completion) -> bytes:
    """An answer as a line."""
    return to_json({"key": key, **completion._asdict()}) + b"\n"


def pack(lines: Iterable[bytes]) -> bytes:
    """Lines as an object."""
    packed: bytes = pa.Codec("zstd", compression_level=_LEVEL).compress(b"".join(lines), asbytes=True)
    return packed


def unpack(packed: bytes) -> Iterator[tuple[str, bytes]]:
    """Keys and lines. Raises OSError or ValueError where the object is damaged."""
    with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
        for one in stream.read().splitlines(keepends=True):
            yield json.loads(one)["key"], one


class Known:
    """Answers by request. In SQLite, as a cell may hold those of many more rows than the job at hand has; nothing in it
    needs to outlive the pod."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="answers-")
        path = Path(self._folder.name) / "answers.sqlite"
        # The connection serialises the statements of the threads that use it, not their transactions.
        self._adding = threading.Lock()
        self._rows = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for setting in ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE"):
            self._rows.execute(f"PRAGMA {setting}")
        self._rows.execute("CREATE TABLE answer (key TEXT PRIMARY KEY, line BLOB, own INTEGER) WITHOUT ROWID")

    def get(self, key: str) -> Completion | None:
        """The answer to a request, if it is known."""
        found = self._rows.execute("SELECT line FROM answer WHERE key = ?", (key,)).fetchone()
        if found is None:
            return None
        fields = json.loads(found[0])
        return Completion(**{name: fields[name] for name in Completion._fields})

    def add(self, lines: Iterable[tuple[str, bytes]], *, own: bool) -> None:
        """Take answers in: `own` are those of the cell itself, others lie in cells around and below it."""
        with self._adding:
            self._rows.execute("BEGIN")
            self._rows.executemany("INSERT OR REPLACE INTO answer VALUES (?, ?, ?)", ((*one, own) for one in lines))
            self._rows.execute("COMMIT")

    def own(self) -> list[bytes]:
        """The cell's own answers, sorted: the same answers are the same bytes."""
        return [row[0] for row in self._rows.execute("SELECT line FROM answer WHERE own ORDER BY key")]

    def close(self) -> None:
        """Take the file away."""
        self._rows.close()
        self._folder.cleanup()
