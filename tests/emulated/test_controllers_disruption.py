"""PodDisruptionBudgets and evictions, as `kubectl drain` meets them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from reasoner_local.client import BUDGETS, DEPLOYMENTS, PODS, Obj
from reasoner_local.labels import selects
from support.local import World, condition, count, shell, world

SELECTOR = {"matchLabels": {"app": "web"}}


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path / "cluster") as made:
        yield made


async def serve(local: World, replicas: int) -> list[str]:
    """A Deployment of ready pods that end at once when asked to; their names."""
    await local.deployment("web", shell("exec sleep 1000"), replicas=replicas)
    await local.until(DEPLOYMENTS, "web", lambda web: count(web, "availableReplicas") == replicas)
    return [pod["metadata"]["name"] for pod in await local.pods("web-")]


def allows(number: int) -> Any:
    def true(budget: Obj) -> bool:
        seen = count(budget, "observedGeneration") == budget["metadata"]["generation"]
        return seen and count(budget, "disruptionsAllowed") == number

    return true


BUDGET_OF_FOUR: dict[str, tuple[Obj, int, int]] = {
    "a number that stays": ({"minAvailable": 3}, 3, 1),
    "a share that stays, rounded up": ({"minAvailable": "60%"}, 3, 1),
    "a number that may go": ({"maxUnavailable": 2}, 2, 2),
    "a share that may go, rounded up": ({"maxUnavailable": "30%"}, 2, 2),
    "nothing that may go": ({"maxUnavailable": 0}, 4, 0),
}


async def test_a_budget_of_four_pods_names(local: World) -> None:
    await serve(local, 4)
    for position, (says, (spec, desired, allowed)) in enumerate(BUDGET_OF_FOUR.items()):
        name = f"budget-{position}"
        await local.make(BUDGETS, name, spec={"selector": SELECTOR, **spec})
        budget = await local.until(BUDGETS, name, allows(allowed))
        counts = {field: count(budget, field) for field in ("currentHealthy", "desiredHealthy", "expectedPods")}
        assert counts == {"currentHealthy": 4, "desiredHealthy": desired, "expectedPods": 4}, says
        reason = "SufficientPods" if allowed else "InsufficientPods"
        assert condition(budget, "DisruptionAllowed")["reason"] == reason, says


async def test_an_eviction_is_refused_while_the_budget_is_spent_and_granted_when_a_new_pod_is_ready(
    local: World,
) -> None:
    first, second = await serve(local, 2)
    await local.make(BUDGETS, "web", spec={"selector": SELECTOR, "minAvailable": 1})
    await local.until(BUDGETS, "web", allows(1))
    assert await local.evict(first) == (201, "")
    # At once: the controller need not have seen the first to go.
    code, why = await local.evict(second)
    assert (code, why.partition(" needs")[0]) == (429, "The disruption budget web")
    await local.gone(PODS, first)
    budget = await local.until(BUDGETS, "web", allows(1))
    assert not budget["status"].get("disruptedPods")
    assert await local.evict(second) == (201, "")


async def test_a_pod_that_does_not_run_yet_is_evicted_whatever_the_budget_says(local: World) -> None:
    waits = shell("true", resources={"requests": {"nvidia.com/gpu": "1"}})
    spec = {"restartPolicy": "Never", "containers": [waits]}
    await local.make(PODS, "pending", metadata={"labels": {"app": "web"}}, spec=spec)
    await local.make(BUDGETS, "web", spec={"selector": SELECTOR, "minAvailable": 1})
    await local.until(BUDGETS, "web", allows(0))
    assert await local.evict("pending") == (201, "")
    await local.gone(PODS, "pending")


async def test_a_share_of_pods_that_nobody_controls_cannot_be_told(local: World) -> None:
    spec = {"containers": [shell("exec sleep 1000")]}
    await local.make(PODS, "alone", metadata={"labels": {"app": "web"}}, spec=spec)
    await local.make(BUDGETS, "web", spec={"selector": SELECTOR, "maxUnavailable": 1})
    budget = await local.until(BUDGETS, "web", lambda budget: condition(budget, "DisruptionAllowed"))
    assert condition(budget, "DisruptionAllowed")["reason"] == "SyncFailed"
    assert condition(budget, "DisruptionAllowed")["message"] == 'found no controller ref for pod "alone"'


SELECTED: dict[str, tuple[Obj, bool]] = {
    "an empty selector": ({}, True),
    "a label that is there": ({"matchLabels": {"app": "web"}}, True),
    "a label of another value": ({"matchLabels": {"app": "db"}}, False),
    "one of several values": ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["db", "web"]}]}, True),
    "none of several values": ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
    "a label that must be there": ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
    "a label that must not be there": ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
    "two terms, of which one fails": (
        {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "tier", "operator": "Exists"}]},
        False,
    ),
}


@pytest.mark.parametrize("case", SELECTED)
def test_a_selector_of(case: str) -> None:
    selector, wanted = SELECTED[case]
    assert selects(selector, {"app": "web"}) is wanted
