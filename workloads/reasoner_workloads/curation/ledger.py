"""What the models were asked and what it cost: paid for or found kept, by role, pod and life. Used by
`models.purse`, `llm`, `pod` and `publish`."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

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


@dataclass
class Ledger:
    """One pod's usage in one life, on top of its earlier lives'."""

    usage: Usage = field(default_factory=Usage)
    """What the pod has used in all its lives."""
    own: dict[str, Usage] = field(default_factory=dict)
    """What it has used in this one, by role."""

    def enter(self, role: str, completion: Completion, price: Price) -> None:
        """Count a request that was paid for."""
        self._add(role, Usage(**_counts(completion, price)))

    def reuse(self, role: str, completion: Completion, price: Price) -> None:
        """Count a request whose answer was kept."""
        self._add(role, Usage(reused=Requests(**_counts(completion, price))))

    def _add(self, role: str, one: Usage) -> None:
        self.usage = total([self.usage, one])
        self.own[role] = total([self.own[role], one]) if role in self.own else one

    def save(self, store: Store, who: Claim) -> None:
        """Note this life's usage. For any thread."""
        store.put(f"{ROOT}{who.pod:05d}-{who.life}.json", _BY_ROLE.dump_json(dict(self.own), by_alias=True))


def cost_of(prompt_tokens: int, completion_tokens: int, price: Price) -> float:
    """US dollars."""
    return (prompt_tokens * price.input_per_million + completion_tokens * price.output_per_million) / 1e6


def _counts(completion: Completion, price: Price) -> dict[str, int | float]:
    tokens = completion.prompt_tokens, completion.completion_tokens
    return {
        "requests": 1,
        "prompt_tokens": tokens[0],
        "completion_tokens": tokens[1],
        "cost_usd": round(cost_of(*tokens, price), 9),
    }
