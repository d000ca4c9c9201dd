"""A job's budget, shared by its pods in slices: each spends what it has taken, and no slice is taken twice. Used by
`purse`.

A slice is an object that is written only where there is none, so of two pods that want the same one has it. What a pod
has taken stays its own through all its lives; what it has not used of its last slice is all that a budget that is spent
may hold back. A raised budget has more slices of the same size."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from reasoner_workloads.common.store import Store

ROOT = "budget/"
#: Slices of a budget: at least, at most, and for each shard, which holds back a fiftieth of its part at most.
FEWEST, MOST, EACH_SHARD = 200, 10_000, 50
_THREADS = 16


@dataclass
class Fund:
    """One limit of the budget, as one pod draws on it. Its methods wait for the store and raise StoreError."""

    store: Store
    name: str
    """What it is in the spec: `maxCostUSD`."""
    cap: float
    shards: int
    pod: int
    granted: float = 0.0
    """What this pod may spend in all its lives."""
    _size: float = field(default=0.0, init=False)

    def open(self) -> None:
        """Find what this pod has taken in earlier lives."""
        count = min(MOST, max(FEWEST, EACH_SHARD * self.shards))
        self.store.put_new(f"{ROOT}{self.name}/size", repr(self.cap / count).encode())
        self._size = float(self.store.get(f"{ROOT}{self.name}/size"))
        with ThreadPoolExecutor(_THREADS) as threads:
            owners = threads.map(lambda key: int(self.store.get(key)), self.store.list(f"{ROOT}{self.name}/slices/"))
            self.granted = self._size * sum(owner == self.pod for owner in owners)

    def take(self, amount: float) -> bool:
        """Take as many slices as `amount` needs, or as there are. Whether there was any."""
        taken = False
        while amount > 0 and (free := self._free()):
            # Pods that ask at once seldom ask for the same.
            for number in random.sample(free, min(len(free), -int(-amount // self._size))):
                if self.store.put_new(f"{ROOT}{self.name}/slices/{number:06d}", str(self.pod).encode()):
                    self.granted += self._size
                    amount -= self._size
                    taken = True
        return taken

    def _free(self) -> list[int]:
        """The slices that nobody has."""
        if not self._size:
            return []
        gone = {int(key.rpartition("/")[2]) for key in self.store.list(f"{ROOT}{self.name}/slices/")}
        return [number for number in range(int(self.cap / self._size + 1e-6)) if number not in gone]
