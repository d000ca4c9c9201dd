"""When each line of a container's log was written: an index beside the log, kept by `reaper`, read by `logs`. The log
itself stays as the program wrote it, for people to read.

The index holds two numbers for each piece that was written, 8 bytes each, little-endian: the log's size after it, and
when, nanoseconds since 1970. What it does not know of is not shown yet."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

#: Bytes of a line that is not over which are shown all the same, as container runtimes do.
PIECE = 1 << 14
_CHUNK = 1 << 16
_ENTRY = 16


def index_of(log: Path) -> Path:
    """The index beside a log."""
    return log.with_suffix(".times")


@dataclass(frozen=True)
class Line:
    """A line of a log, or a piece of a long one."""

    text: bytes
    at: int
    """When it was written, nanoseconds since 1970."""
    begins: bool
    """Whether it is a line's beginning."""

    def stamped(self) -> bytes:
        """With its time before it, as the kubelet writes it."""
        if not self.begins:
            return self.text
        seconds, rest = divmod(self.at, 1_000_000_000)
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z ".encode() + self.text


class IndexedLog:
    """One container's log, read from its beginning or its last lines on, further each time."""

    def __init__(self, file: Path) -> None:
        self._log, self._index = file.open("rb"), index_of(file)
        self._sizes, self._times = array("Q"), array("Q")
        self._position, self._begins = 0, True

    def close(self) -> None:
        """Close the file."""
        self._log.close()

    def skip_to_last(self, lines: int, over: bool) -> None:
        """Go to where the last lines begin."""
        start, tail = self._refresh(), b""
        while start > 0 and tail.count(b"\n") <= lines:
            step = min(_CHUNK, start)
            start -= step
            self._log.seek(start)
            tail = self._log.read(step) + tail
        known = _split(_showable(tail, over))
        self._position = start + sum(map(len, known[:-lines] if lines else known))

    def lines(self, over: bool) -> Iterator[list[Line]]:
        """What has not been read yet, many lines at a time. `over`: whether the program has ended, so that a last line
        without an end is one."""
        end = self._refresh()
        while data := self._next(end, over):
            yield [self._line(text) for text in _split(data)]

    def _next(self, end: int, over: bool) -> bytes:
        self._log.seek(self._position)
        data = self._log.read(min(end - self._position, _CHUNK))
        return _showable(data, over and self._position + len(data) == end)

    def _line(self, text: bytes) -> Line:
        # A line is written when its end is; a long one when so much of it is that it is shown.
        seen = self._position + min(len(text), PIECE)
        found = Line(text, self._times[bisect_left(self._sizes, seen)], self._begins)
        self._position += len(text)
        self._begins = text.endswith(b"\n")
        return found

    def _refresh(self) -> int:
        """Read what has come to the index; how much of the log it knows of."""
        if self._index.is_file():
            with self._index.open("rb") as file:
                file.seek(len(self._sizes) * _ENTRY)
                new = file.read()
            numbers = array("Q", new[: len(new) - len(new) % _ENTRY])
            if sys.byteorder == "big":
                numbers.byteswap()
            self._sizes.extend(numbers[::2])
            self._times.extend(numbers[1::2])
        return self._sizes[-1] if self._sizes else 0


def _showable(data: bytes, over: bool) -> bytes:
    """The data but for the beginning of a line that is not over."""
    rest = len(data) - data.rfind(b"\n") - 1
    return data if over else data[: len(data) - rest % PIECE]


def _split(data: bytes) -> list[bytes]:
    """Lines with their ends. Not by `splitlines`, which takes the carriage returns of progress bars for ends."""
    lines = [line + b"\n" for line in data.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]
