"""A bucket that is under way: its rows as they are read, its records until it is whole. Used by `feed`."""

from __future__ import annotations

import gzip
import heapq
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from reasoner_workloads.curation.buckets import Bucket
from reasoner_workloads.curation.models.cells import Cell
from reasoner_workloads.curation.records import Funnel, Record, Row

#: Rows read at a time.
BATCH = 16
#: Characters of a line that say where it belongs.
_PLACE = 8


@dataclass
class Opened:
    """A context manager that takes its folder away."""

    bucket: Bucket
    cell: Cell
    """The answers to what its rows ask."""
    rows: Iterator[Row | Record]
    folder: Path
    """Holds the rows that were dropped as they were read, of which one URL may have millions."""
    funnel: Funnel = field(default_factory=Funnel)
    found: list[tuple[int, bytes]] = field(default_factory=list)
    given: int = 0
    """Rows in the works, those that have come back included."""
    seen: int = 0
    ended: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether all rows have been read and have come back."""
        return self.ended and self.given == len(self.found)

    def read(self) -> tuple[list[tuple[int, Row]], list[Record], bool]:
        """The next rows that want work, by their places; those that are dropped already; whether there may be more."""
        some = list(islice(self.rows, BATCH))
        numbered = list(enumerate(some, start=self.seen))
        self.seen += len(some)
        dropped = [(place, one) for place, one in numbered if isinstance(one, Record)]
        with self._dropped.open("ab") as file:
            file.writelines(b"%08x%s" % (place, _line(one)) for place, one in dropped)
        worked = [(place, one) for place, one in numbered if isinstance(one, Row)]
        return worked, [one for _, one in dropped], len(some) == BATCH

    def took(self, worked: list[tuple[int, Row]], dropped: list[Record], more: bool) -> None:
        """Note what `read` gave."""
        self.given += len(worked)
        for record in dropped:
            self.funnel.add(record)
        self.ended = not more

    def add(self, place: int, record: Record) -> None:
        """Take a row's record back."""
        self.funnel.add(record)
        self.found.append((place, _line(record)))

    def pack(self) -> Path:
        """All records in the order of their rows, as a packed file."""
        lines = (b"%08x%s" % found for found in sorted(self.found))
        path = self.folder / "records"
        with (
            path.open("wb") as file,
            gzip.GzipFile("", "wb", 6, file, 0) as packed,
            self._dropped.open("rb") as dropped,
        ):
            for line in heapq.merge(lines, dropped):
                packed.write(line[_PLACE:])
        return path

    @property
    def _dropped(self) -> Path:
        return self.folder / "dropped"

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder)


def _line(record: Record) -> bytes:
    return record.model_dump_json(exclude_defaults=True).encode() + b"\n"
