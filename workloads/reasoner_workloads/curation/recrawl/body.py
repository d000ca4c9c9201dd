"""A response's body, decoded as it is read and never larger than allowed. Used by `client`."""

from __future__ import annotations

import zlib

#: What is asked for: of these the standard library can bound what comes out.
CODINGS = "gzip, deflate"
#: Codings on top of each other; servers use one, a bomb uses many.
MOST_CODINGS = 2


class TooLarge(Exception):
    """More bytes than allowed, at any step of the decoding."""


class Undecodable(Exception):
    """Not what its Content-Encoding says."""


class Body:
    """Bytes as they come in. Raises Undecodable where the codings are not among those asked for."""

    def __init__(self, codings: str, limit: int) -> None:
        names = [name for part in codings.lower().split(",") if (name := part.strip()) not in ("", "identity")]
        if len(names) > MOST_CODINGS or not set(names) <= {"gzip", "x-gzip", "deflate"}:
            raise Undecodable(f"Content-Encoding {codings[:100]!a}")
        # Applied in the order of the header, so undone from its end.
        self._steps = [_Inflater(limit) for _ in names]
        self._limit = limit
        self._found = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Take a piece of the transfer. Raises TooLarge and Undecodable."""
        for step in self._steps:
            chunk = step.feed(chunk)
        self._found += chunk
        if len(self._found) > self._limit:
            raise TooLarge

    def cut(self) -> bytes:
        """What has come so far, up to the limit."""
        return bytes(self._found[: self._limit])

    def whole(self) -> bytes:
        """All of it. Raises Undecodable where a coding's end is missing."""
        if self._found and not all(step.ended for step in self._steps):
            raise Undecodable("cut off")
        return bytes(self._found)


class _Inflater:
    """One gzip or deflate coding."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # Of gzip and zlib, whichever it turns out to be.
        self._stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        self._begun = False

    @property
    def ended(self) -> bool:
        return self._stream.eof

    def feed(self, chunk: bytes) -> bytes:
        if self._stream.eof or not chunk:
            return b""
        try:
            found = self._stream.decompress(chunk, self._limit + 1)
        except zlib.error as error:
            if self._begun:
                raise Undecodable(str(error)) from error
            found = self._bare(chunk)
        self._begun = True
        if self._stream.unconsumed_tail:
            raise TooLarge
        return found

    def _bare(self, chunk: bytes) -> bytes:
        """Some servers send deflate without its zlib frame, and browsers take it."""
        self._stream = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        try:
            return self._stream.decompress(chunk, self._limit + 1)
        except zlib.error as error:
            raise Undecodable(str(error)) from error
