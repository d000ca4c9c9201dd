"""What the models were asked and what it cost: paid for or found kept, by role, pod and life. Used by
`models.purse`, `llm`, `pod` and `publish`."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from pydantic import TypeAdapter

from reasoner_api.curation import Price
from reasoner_api.status import Requests, Usage, total
from reasoner_workloads.common.store import Store
from reasoner_workloads.curation.claims import Claim
from reasoner_workloads.curation.models.segments import Completion

ROOT = "usage/"
_BY_ROLE = TypeAdapter(dict[str, Usage])


def usages(store: Store, pod: int | None = None) -> dict[str, Usage]:
    """By role, what all pods have noted in all their lives, or one of them."""
    found: dict[str, list[Usage]] = defaultdict(list)
    for key in store.list(ROOT if pod is None else f"{ROOT}{pod:05d}-"):
        for role, one in _BY_ROLE.validate_json(store.get(key)).items():
            found[role].append(one)
    return {role: total(each) for role, each in found.items()}


class Paid(NamedTuple):
    """A sum of requests."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0

    def plus(self, completion: Completion, price: Price) -> Paid:
        """With one more."""
        requests, prompt_tokens, completion_tokens, cost_usd = self
        _, prompt, written, _ = completion
        # Rounded as `reasoner_api.status.total` has it: the same requests in another order cost the same.
        cost = round(cost_usd + cost_of(prompt, written, price), 9)
        return Paid(requests + 1, prompt_tokens + prompt, completion_tokens + written, cost)


class Ledger:
    """One pod's usage in one life, on top of its earlier lives'. For any thread: a sum is replaced as a whole."""

    def __init__(self, earlier: Usage | None = None) -> None:
        self._earlier = earlier or Usage()
        self.paid = Paid(*(getattr(self._earlier, name) for name in Paid._fields))
        """What the pod has paid for in all its lives."""
        # By role, in this life.
        self._paid: dict[str, Paid] = {}
        self._reused: dict[str, Paid] = {}

    @property
    def usage(self) -> Usage:
        """What the pod has used in all its lives."""
        return total([self._earlier, *self.own().values()])

    def own(self) -> dict[str, Usage]:
        """What it has used in this one, by role."""
        paid, reused = dict(self._paid), dict(self._reused)
        return {role: _usage(paid.get(role, Paid()), reused.get(role)) for role in paid | reused}

    def enter(self, role: str, completion: Completion, price: Price) -> None:
        """Count a request that was paid for."""
        self.paid = self.paid.plus(completion, price)
        self._paid[role] = self._paid.get(role, Paid()).plus(completion, price)

    def reuse(self, role: str, completion: Completion, price: Price) -> None:
        """Count a request whose answer was kept."""
        self._reused[role] = self._reused.get(role, Paid()).plus(completion, price)

    def save(self, store: Store, who: Claim) -> None:
        """Note this life's usage. For any thread."""
        store.put(f"{ROOT}{who.pod:05d}-{who.life}.json", _BY_ROLE.dump_json(self.own(), by_alias=True))


def cost_of(prompt_tokens: int, completion_tokens: int, price: Price) -> float:
    """US dollars."""
    return (prompt_tokens * price.input_per_million + completion_tokens * price.output_per_million) / 1e6


def _usage(paid: Paid, reused: Paid | None) -> Usage:
    return Usage(**paid._asdict(), reused=Requests(**reused._asdict()) if reused else None)
