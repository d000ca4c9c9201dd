"""The `pods/NAME/eviction` subresource: a deletion that PodDisruptionBudgets may refuse. Used by `handlers`.

The disruption controller tells in each budget's status how many pods may go; what is granted here is noted there at
once, so that two evictions never share one permission."""

from reasoner_local.labels import selects

from .deletion import DeleteOptions
from .errors import ApiError
from .objects import Obj, dig, is_terminating, labels_of, meta, now
from .resources import Resource
from .writer import Writer
from .writes import Writes

BUDGETS = ("policy", "poddisruptionbudgets")
_REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."
_SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."


def evict(writes: Writes, pods: Resource, pod: Obj, options: DeleteOptions) -> None:
    """Evict a pod: mark it as disrupted, then delete it. Raises 429 where its budget does not allow it now."""
    started = dig(pod, "status", "phase") not in (None, "Pending", "Succeeded", "Failed")
    if started and not is_terminating(pod):
        _ask_budget(writes, pod, options)
    if not options.dry_run:
        pod = writes.update(pods, pod, _disrupted(pod), Writer("eviction", "status"))
    writes.delete(pods, pod, options)


def _ask_budget(writes: Writes, pod: Obj, options: DeleteOptions) -> None:
    budgets = [budget for budget in writes.store.all(BUDGETS) if _covers(budget, pod)]
    if len(budgets) > 1:
        raise ApiError(500, "InternalError", _SEVERAL)
    if not budgets or _is_free(budgets[0], pod):
        return
    budget = budgets[0]
    status, name = budget.get("status") or {}, meta(budget)["name"]
    if status.get("observedGeneration", 0) < meta(budget).get("generation", 1):
        raise _refused(f"The disruption budget {name} is still being processed by the server.")
    if status.get("disruptionsAllowed", 0) <= 0:
        needs, has = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
        raise _refused(f"The disruption budget {name} needs {needs} healthy pods and has {has} currently")
    if not options.dry_run:
        granted = {**(status.get("disruptedPods") or {}), meta(pod)["name"]: now()}
        spent = {**status, "disruptionsAllowed": status["disruptionsAllowed"] - 1, "disruptedPods": granted}
        writes.update(
            writes.registry.stored(BUDGETS), budget, {**budget, "status": spent}, Writer("eviction", "status")
        )


def _covers(budget: Obj, pod: Obj) -> bool:
    selector = dig(budget, "spec", "selector")
    same = meta(budget)["namespace"] == meta(pod)["namespace"]
    return same and selector is not None and selects(selector, labels_of(pod))


def _is_free(budget: Obj, pod: Obj) -> bool:
    """Whether the pod serves nobody, so that its end costs the budget nothing."""
    if any(one["type"] == "Ready" and one["status"] == "True" for one in dig(pod, "status", "conditions") or []):
        return False
    if dig(budget, "spec", "unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    return bool(0 < status.get("desiredHealthy", 0) <= status.get("currentHealthy", 0))


def _disrupted(pod: Obj) -> Obj:
    status = pod.get("status") or {}
    others = [one for one in status.get("conditions") or [] if one["type"] != "DisruptionTarget"]
    mark = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
        "lastTransitionTime": now(),
    }
    changed: Obj = {**pod, "status": {**status, "conditions": [*others, mark]}}
    return changed


def _refused(why: str) -> ApiError:
    details = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    return ApiError(429, "TooManyRequests", _REFUSED, details)
