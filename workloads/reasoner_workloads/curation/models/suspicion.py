"""Whose fault it is that a request fails: its own, or that of a server in trouble. Used by `persistence`; pure.

Beside each of its tries that fail stand witnesses: the latest requests that the endpoint saw for the first time, since
the try before. Were the request like those, whichever of them all fail would be so by chance, and the chance that it is
among them is (failed witnesses + 1) / (witnesses + 1). The product over its tries is how improbable its failures are,
however well or ill the server was meanwhile: while all fail it stays at 1, and below IMPROBABLE the request is no such
one. (Its inverse is a martingale: of a million requests that are like others one is convicted, however often all are
tried.) Requests that are tried again are no witnesses: one that never succeeds would make the server look ill."""

from __future__ import annotations

from collections import deque

#: Witnesses of a try, at most: the latest alone tell how the server was when it failed. They are enough for a round of
#: tries (`failures.RETRIES`) beside a healthy server.
WITNESSES = 3
#: What is too improbable to be chance.
IMPROBABLE = 1e-6


class Newcomers:
    """How those requests fared that the endpoint saw for the first time."""

    def __init__(self) -> None:
        self.count = 0
        self._latest: deque[bool] = deque(maxlen=WITNESSES)

    def note(self, *, answered: bool) -> None:
        """One more."""
        self.count += 1
        self._latest.append(answered)

    def since(self, count: int) -> list[bool]:
        """Whether those were answered that came after the first `count`, of the latest few."""
        new = min(self.count - count, len(self._latest))
        return list(self._latest)[len(self._latest) - new :]


class Suspect:
    """A request that may be at fault."""

    def __init__(self, newcomers: Newcomers) -> None:
        self.rounds = 0
        """Rounds of tries that it has begun."""
        self.chance = 1.0
        """That a request like others would have failed as often."""
        self._newcomers = newcomers
        self._seen = newcomers.count
        self._is_new = True

    @property
    def lacking(self) -> int:
        """Witnesses that its present try lacks."""
        return WITNESSES - len(self._newcomers.since(self._seen))

    @property
    def is_convicted(self) -> bool:
        """Whether it is its own fault."""
        return self.chance < IMPROBABLE

    def fail(self) -> None:
        """Its present try has failed."""
        witnesses = self._newcomers.since(self._seen)
        self.chance *= (witnesses.count(False) + 1) / (len(witnesses) + 1)
        self._end_try(answered=False)

    def succeed(self) -> None:
        """Its present try was answered."""
        self._end_try(answered=True)

    def _end_try(self, *, answered: bool) -> None:
        if self._is_new:
            self._is_new = False
            self._newcomers.note(answered=answered)
        self._seen = self._newcomers.count
