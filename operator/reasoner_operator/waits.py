"""Which objects wait for which, so that the end of one wakes the others. Used by `reconcile`; pure."""

from __future__ import annotations

from collections import defaultdict

from reasoner_operator.seen import Key


class Waits:
    """A relation of two indexes; an object that waits for nothing leaves no trace in either."""

    def __init__(self) -> None:
        self._awaited: dict[Key, frozenset[Key]] = {}
        self._waiters: defaultdict[Key, set[Key]] = defaultdict(set)

    def put(self, key: Key, awaited: frozenset[Key]) -> None:
        """Have `key` wait for these, and for nothing else."""
        for other in self._awaited.pop(key, frozenset()) - awaited:
            self._waiters[other].discard(key)
            if not self._waiters[other]:
                del self._waiters[other]
        if awaited:
            self._awaited[key] = awaited
        for other in awaited:
            self._waiters[other].add(key)

    def of(self, awaited: Key) -> frozenset[Key]:
        """The objects that wait for this one."""
        return frozenset(self._waiters.get(awaited, ()))

    def __len__(self) -> int:
        """How many objects wait."""
        return len(self._awaited)
