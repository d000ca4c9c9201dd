"""The disruption controller: how many pods of each PodDisruptionBudget may go now. Started by `cluster`; evictions
are decided by the API server, which reads the status that is written here."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from reasoner_local import conditions, labels
from reasoner_local.client import BUDGETS, DEPLOYMENTS, PODS, REPLICASETS, Obj, seconds_since
from reasoner_local.controllers.base import Controller
from reasoner_local.informer import Hub, Key, controller_of, key_of

#: Seconds after which a pod whose eviction was granted, but that is still there, counts again.
_GRANTED_FOR = 120.0


class Unknown(Exception):
    """How many pods there should be cannot be told; the message says why."""


@dataclass(frozen=True)
class Numbers:
    """What a budget amounts to."""

    expected: int
    desired: int


class DisruptionController(Controller):
    """Keeps the statuses of PodDisruptionBudgets."""

    component = "controllermanager"

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self.budgets = self.follow(BUDGETS)
        self.pods = self.follow(PODS, self._budgets_of)
        self.sets = self.hub.of(REPLICASETS)
        self.deployments = self.hub.of(DEPLOYMENTS)

    def _budgets_of(self, pod: Obj) -> Iterable[Key]:
        for budget in self.budgets:
            if covers(budget, pod):
                yield key_of(budget)

    async def reconcile(self, key: Key) -> float | None:
        """One look at a budget."""
        budget = self.budgets.get(key)
        if budget is None or conditions.terminating(budget):
            return None
        pods = [pod for pod in self.pods if covers(budget, pod) and not conditions.finished(pod)]
        old = budget.get("status") or {}
        granted = _granted(old.get("disruptedPods") or {}, pods)
        healthy = sum(_healthy(pod) and pod["metadata"]["name"] not in granted for pod in pods)
        try:
            status = _status(healthy, self._numbers(budget, pods))
        except Unknown as why:
            failed = conditions.made("DisruptionAllowed", False, "SyncFailed", str(why))
            counts = dict.fromkeys(("currentHealthy", "desiredHealthy", "expectedPods", "disruptionsAllowed"), 0)
            status = {**counts, "conditions": [failed]}
            await self.events.warning(budget, "CalculateExpectedPodCountFailed", str(why))
        status["observedGeneration"] = budget["metadata"].get("generation", 1)
        status["conditions"] = conditions.merged(old.get("conditions") or [], status["conditions"])
        if granted or old.get("disruptedPods"):
            gone = dict.fromkeys(old.get("disruptedPods") or {})
            status["disruptedPods"] = {**gone, **granted}
        if any(old.get(name) != value for name, value in status.items()):
            await self.hub.patch(BUDGETS, budget, {"status": status}, "status")
        return _GRANTED_FOR if granted else None

    def _numbers(self, budget: Obj, pods: list[Obj]) -> Numbers:
        spec = budget["spec"]
        if isinstance(least := spec.get("minAvailable"), int):
            return Numbers(len(pods), least)
        if least is None and "maxUnavailable" not in spec:
            return Numbers(len(pods), len(pods))
        expected = sum(dict(map(self._wanted, pods)).values())
        if least is not None:
            return Numbers(expected, _share(least, expected))
        return Numbers(expected, max(0, expected - _share(spec["maxUnavailable"], expected)))

    def _wanted(self, pod: Obj) -> tuple[str, int]:
        """Who controls the pod, and how many pods that wants."""
        ref = controller_of(pod)
        if ref is None:
            raise Unknown(f'found no controller ref for pod "{pod["metadata"]["name"]}"')
        if ref["kind"] != "ReplicaSet":
            raise Unknown(
                f"{ref['kind'].lower()}s.{ref['apiVersion'].partition('/')[0]} does not implement the scale subresource"
            )
        owner = self.sets.get((pod["metadata"]["namespace"], ref["name"]))
        above = controller_of(owner) if owner is not None else None
        if owner is not None and above is not None:
            owner = self.deployments.get((pod["metadata"]["namespace"], above["name"]))
        if owner is None:
            raise Unknown(f"{ref['kind']} {ref['name']} was not found")
        return owner["metadata"]["uid"], int(owner["spec"].get("replicas", 1))


def covers(budget: Obj, pod: Obj) -> bool:
    """Whether a budget speaks of a pod."""
    same = budget["metadata"]["namespace"] == pod["metadata"]["namespace"]
    selector = budget["spec"].get("selector")
    return same and selector is not None and labels.selects(selector, pod["metadata"].get("labels") or {})


def _healthy(pod: Obj) -> bool:
    return conditions.ready(pod) and not conditions.terminating(pod)


def _granted(before: dict[str, str], pods: list[Obj]) -> dict[str, str]:
    """Evictions that the API server has granted and whose pods do not show it yet."""
    waiting = {pod["metadata"]["name"] for pod in pods if not conditions.terminating(pod)}
    return {name: at for name, at in before.items() if name in waiting and seconds_since(at) < _GRANTED_FOR}


def _share(value: int | str, whole: int) -> int:
    return value if isinstance(value, int) else math.ceil(whole * int(value.rstrip("%")) / 100)


def _status(healthy: int, numbers: Numbers) -> Obj:
    allowed = max(0, healthy - numbers.desired) if numbers.expected > 0 else 0
    reason = "SufficientPods" if allowed else "InsufficientPods"
    return {
        "currentHealthy": healthy,
        "desiredHealthy": numbers.desired,
        "expectedPods": numbers.expected,
        "disruptionsAllowed": allowed,
        "conditions": [conditions.made("DisruptionAllowed", allowed > 0, reason)],
    }
