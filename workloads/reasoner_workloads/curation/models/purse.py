"""What a pod may spend: no request goes out that the job's budget has no room for. Used by `llm`.

A request reserves what it is expected to cost, its prompt and the mean of what its role has been answered so far, until
the answer tells. So the budget is exceeded by no more than what the requests in flight cost beyond that, when it is
spent; and it is spent to the end, as the last of a pod's part goes to one request after the other."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from reasoner_api.curation import Budget, Price
from reasoner_workloads.common.run import ConfigError
from reasoner_workloads.common.store import Store
from reasoner_workloads.curation.ledger import Ledger, cost_of
from reasoner_workloads.curation.models.failures import Failure, Lost
from reasoner_workloads.curation.models.funds import Fund
from reasoner_workloads.curation.models.segments import Completion

COST, TOKENS = "maxCostUSD", "maxTokens"


@dataclass(frozen=True)
class Bill:
    """What a request takes."""

    role: str
    prompt_tokens: int
    """More or less."""
    price: Price
    completion_tokens: int = 0
    """What is expected while no request of the role has been answered."""


@dataclass
class _Mean:
    """Completion tokens of a role."""

    requests: int = 0
    tokens: int = 0

    @property
    def value(self) -> int:
        return self.tokens // self.requests if self.requests else 0


@dataclass
class Purse:
    """A pod's spending, against the job's funds."""

    ledger: Ledger
    store: Store
    """The job's."""
    funds: list[Fund] = field(default_factory=list)
    """One for each limit that the budget has."""

    def __post_init__(self) -> None:
        self._reserved: dict[str, float] = defaultdict(float)
        self._means: dict[str, _Mean] = defaultdict(_Mean)
        self._flying = 0
        self._settled = asyncio.Event()
        # Those who wait for room do so in their order.
        self._turn = asyncio.Lock()

    async def pay(self, bill: Bill, ask: Callable[[], Awaitable[Completion]]) -> Completion:
        """What `ask` brings, counted. Raises ConfigError (BudgetExceeded) where the budget has no room, and as
        `ask`."""
        expected = self._expect(bill)
        if self.funds:
            async with self._turn:
                await self._wait_for_room(expected)
                self._reserve(expected, 1)
        else:
            self._reserve(expected, 1)
        try:
            completion = await ask()
            self.ledger.enter(bill.role, completion, bill.price)
        finally:
            self._reserve({name: -amount for name, amount in expected.items()}, -1)
            self._settled.set()
        mean = self._means[bill.role]
        mean.requests, mean.tokens = mean.requests + 1, mean.tokens + completion.completion_tokens
        return completion

    @contextmanager
    def losses(self, bill: Bill) -> Iterator[None]:
        """Count a request that is sent in it and brings no completion, where it is paid for all the same: what its
        answer says that it has cost or, where none came, what is expected."""
        try:
            yield
        except Failure as failure:
            if paid := failure.paid or (self._expected(bill) if isinstance(failure, Lost) else None):
                self.ledger.enter(bill.role, paid, bill.price)
            raise

    def _expected(self, bill: Bill) -> Completion:
        mean = self._means[bill.role]
        return Completion("", bill.prompt_tokens, mean.value if mean.requests else bill.completion_tokens)

    def _expect(self, bill: Bill) -> dict[str, float]:
        _, prompt, written, _ = self._expected(bill)
        return {COST: cost_of(prompt, written, bill.price), TOKENS: float(prompt + written)}

    def _reserve(self, amounts: dict[str, float], requests: int) -> None:
        self._flying += requests
        for name, amount in amounts.items():
            self._reserved[name] += amount

    async def _wait_for_room(self, expected: dict[str, float]) -> None:
        for fund in self.funds:
            while (lacking := self._lacking(fund, expected)) > 0:
                if await asyncio.to_thread(fund.take, lacking):
                    continue
                if self._flying:
                    # An answer may have cost less than was reserved.
                    self._settled.clear()
                    await self._settled.wait()
                elif self._spent(fund) < fund.granted:
                    break
                else:
                    raise ConfigError(
                        f"budget.{fund.name}: {fund.cap:g} is spent; raise it to go on", reason="BudgetExceeded"
                    )

    def _lacking(self, fund: Fund, expected: dict[str, float]) -> float:
        return self._spent(fund) + self._reserved[fund.name] + expected[fund.name] - fund.granted

    def _spent(self, fund: Fund) -> float:
        return _used(self.ledger, fund.name)


def open_purse(budget: Budget, ledger: Ledger, store: Store, pod: int, shards: int) -> Purse:
    """The purse of a pod. Waits for the store and raises StoreError."""
    limits = {COST: budget.max_cost_usd, TOKENS: budget.max_tokens}
    funds = [Fund(store, name, cap, shards, pod) for name, cap in limits.items() if cap is not None]
    for fund in funds:
        fund.open(_used(ledger, fund.name))
    return Purse(ledger, store, funds)


def _used(ledger: Ledger, name: str) -> float:
    paid = ledger.paid
    return paid.cost_usd if name == COST else float(paid.prompt_tokens + paid.completion_tokens)
