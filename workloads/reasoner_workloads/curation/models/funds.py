"""A job's budget, shared by its pods in slices: each spends what it has taken, and nothing is taken twice. Used by
`purse`.

A slice is an object that says whose it is and how much; slices are numbered without a gap, and each is written only
where there is none. So whoever writes one has read all before it and knows what is left, whatever the budget was when
those were taken: it may be lowered, raised, or nothing at all. What a pod has taken stays its own through all its
lives; what it has not used of its last slice is all that a budget that is spent may hold back. Where the budget was
lowered below what is taken, a pod that begins gives back what it has not spent: a slice of less than nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import takewhile

from pydantic import BaseModel

from reasoner_workloads.common.store import Missing, Store

ROOT = "budget/"
#: Slices of a budget: at least, at most, and for each shard, which holds back a fiftieth of its part at most.
FEWEST, MOST, EACH_SHARD = 200, 10_000, 50
#: Share of a budget that is nothing: what rounding leaves.
_NOTHING = 1e-9
#: Slices read ahead at most, and at a time.
_AHEAD, _THREADS = 128, 16


class Slice(BaseModel):
    """A part of the budget."""

    pod: int
    amount: float


@dataclass
class Fund:
    """One limit of the budget, as one pod draws on it. Its methods wait for the store and raise StoreError."""

    store: Store
    name: str
    """What it is in the spec: `maxCostUSD`."""
    cap: float
    shards: int
    pod: int
    granted: float = field(default=0.0, init=False)
    """What this pod may spend in all its lives."""
    _taken: float = field(default=0.0, init=False)
    """What all pods have taken, in the slices that were read."""
    _read: int = field(default=0, init=False)

    def open(self, spent: float = 0.0) -> None:
        """Find what was taken so far; this pod has spent so much of its own part in earlier lives."""
        self._catch_up()
        while self._is_some(-self._left) and self._is_some(unspent := self.granted - spent):
            self._write(-min(unspent, -self._left))

    def take(self, amount: float) -> bool:
        """Take `amount`, or a whole slice where that is more, or what is left. Whether there was any."""
        before, size = self.granted, self.cap / min(MOST, max(FEWEST, EACH_SHARD * self.shards))
        while self.granted == before and self._is_some(self._left):
            self._write(min(self._left, max(amount, size)))
        return self.granted > before

    @property
    def _left(self) -> float:
        return self.cap - self._taken

    def _is_some(self, amount: float) -> bool:
        return amount > max(self.cap, self._taken) * _NOTHING

    def _write(self, amount: float) -> None:
        """Write the next slice, or read those that others have written meanwhile. One's own may be among them, where
        the store's answer got lost."""
        one = Slice(pod=self.pod, amount=amount)
        if self.store.put_new(self._key(self._read), one.model_dump_json().encode()):
            self._add(one)
        else:
            self._catch_up()

    def _catch_up(self) -> None:
        """Read the slices that are new: one, then ever more at a time until there is none."""
        count = 1
        with ThreadPoolExecutor(_THREADS) as threads:
            while True:
                found = list(threads.map(self._get, range(self._read, self._read + count)))
                for one in takewhile(bool, found):
                    assert one is not None
                    self._add(one)
                if None in found:
                    return
                count = min(2 * count, _AHEAD)

    def _add(self, one: Slice) -> None:
        self._read += 1
        self._taken += one.amount
        if one.pod == self.pod:
            self.granted += one.amount

    def _get(self, number: int) -> Slice | None:
        try:
            return Slice.model_validate_json(self.store.get(self._key(number)))
        except Missing:
            return None

    def _key(self, number: int) -> str:
        return f"{ROOT}{self.name}/{number:08d}"
