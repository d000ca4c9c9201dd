"""Conditions and phases of objects' statuses. Used by the controllers and the node; pure but for the clock."""

from __future__ import annotations

from collections.abc import Iterable

from reasoner_local.client import Obj, now


def find(obj: Obj, kind: str) -> Obj | None:
    """The condition of that type."""
    found: list[Obj] = (obj.get("status") or {}).get("conditions") or []
    return next((condition for condition in found if condition["type"] == kind), None)


def is_true(obj: Obj, kind: str) -> bool:
    """Whether the condition of that type stands and is True."""
    return (find(obj, kind) or {}).get("status") == "True"


def made(kind: str, status: bool, reason: str = "", message: str = "") -> Obj:
    """A condition, without its times."""
    condition: Obj = {"type": kind, "status": "True" if status else "False"}
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = message
    return condition


def merged(before: Iterable[Obj], fresh: Iterable[Obj]) -> list[Obj]:
    """`before` with `fresh` put in by type; `lastTransitionTime` moves only when a status changes."""
    result = {condition["type"]: condition for condition in before}
    for condition in fresh:
        old = result.get(condition["type"])
        same = old is not None and old["status"] == condition["status"]
        stamp = old.get("lastTransitionTime") if same and old is not None else None
        result[condition["type"]] = {**condition, "lastTransitionTime": stamp or now()}
    return list(result.values())


def finished(pod: Obj) -> bool:
    """Whether a pod has ended."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def terminating(obj: Obj) -> bool:
    """Whether an object is being deleted."""
    return "deletionTimestamp" in obj["metadata"]


def active(pod: Obj) -> bool:
    """Whether a pod runs or may yet run."""
    return not finished(pod) and not terminating(pod)


def ready(pod: Obj) -> bool:
    """Whether a pod is Ready."""
    return is_true(pod, "Ready")
