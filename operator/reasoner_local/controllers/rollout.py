"""How a Deployment moves from its old ReplicaSets to the new one. Pure; used by `deployment`."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass

from reasoner_local import conditions
from reasoner_local.client import Obj, seconds_since
from reasoner_local.controllers.pods import encoded

HASH_LABEL = "pod-template-hash"


def template_hash(deployment: Obj) -> str:
    """Name-safe hash of the Deployment's pod template."""
    text = json.dumps(deployment["spec"]["template"], sort_keys=True)
    return encoded(int.from_bytes(hashlib.sha256(text.encode()).digest()[:7]))


def replicas_of(owner: Obj) -> int:
    """Replicas that the spec asks for."""
    return int(owner["spec"].get("replicas", 1))


def total(sets: list[Obj], field: str) -> int:
    """Sum of a count over the statuses of ReplicaSets."""
    return sum((owner.get("status") or {}).get(field, 0) for owner in sets)


@dataclass(frozen=True)
class Bounds:
    """How far a rolling update may stray from the wanted number."""

    surge: int
    unavailable: int


def bounds(deployment: Obj) -> Bounds:
    """maxSurge rounded up, maxUnavailable rounded down, never both nought."""
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    wanted = replicas_of(deployment)
    surge = math.ceil(_share(rolling.get("maxSurge", "25%"), wanted))
    unavailable = math.floor(_share(rolling.get("maxUnavailable", "25%"), wanted))
    return Bounds(surge, unavailable if surge or unavailable else 1)


def _share(value: int | str, whole: int) -> float:
    return float(value) if isinstance(value, int) else whole * int(value.rstrip("%")) / 100


def scale(deployment: Obj, new: Obj, old: list[Obj]) -> dict[str, int]:
    """The next replica count of each ReplicaSet, by name; only those that change."""
    wanted = replicas_of(deployment)
    sizes = {owner["metadata"]["name"]: replicas_of(owner) for owner in [*old, new]}
    before = dict(sizes)
    name = new["metadata"]["name"]
    if (deployment["spec"].get("strategy") or {}).get("type") == "Recreate":
        for owner in old:
            sizes[owner["metadata"]["name"]] = 0
        if not total(old, "replicas"):
            sizes[name] = wanted
    else:
        limit = bounds(deployment)
        room = wanted + limit.surge - sum(sizes.values())
        sizes[name] = min(wanted, sizes[name] + max(0, room)) if sizes[name] < wanted else wanted
        _shrink(sizes, new, old, wanted - limit.unavailable)
    return {owner: size for owner, size in sizes.items() if size != before[owner]}


def _shrink(sizes: dict[str, int], new: Obj, old: list[Obj], minimum: int) -> None:
    """Take old replicas away: those that are not available freely, others while enough stay available."""
    available = total([*old, new], "availableReplicas")
    new_missing = sizes[new["metadata"]["name"]] - total([new], "availableReplicas")
    spare = sum(sizes.values()) - minimum - max(0, new_missing)
    if spare <= 0:
        return
    for owner in old:
        name = owner["metadata"]["name"]
        broken = sizes[name] - total([owner], "availableReplicas")
        cut = max(0, min(spare, broken))
        sizes[name] -= cut
        spare -= cut
    for owner in old:
        name = owner["metadata"]["name"]
        cut = max(0, min(available - minimum, sizes[name]))
        sizes[name] -= cut
        available -= cut


def status(deployment: Obj, new: Obj | None, sets: list[Obj]) -> Obj:
    """The Deployment's status; conditions as kube-controller-manager words them."""
    wanted, fresh = replicas_of(deployment), [new] if new else []
    available = total(sets, "availableReplicas")
    result: Obj = {
        "observedGeneration": deployment["metadata"].get("generation", 1),
        "replicas": total(sets, "replicas"),
        "updatedReplicas": total(fresh, "replicas"),
        "readyReplicas": total(sets, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, wanted - available),
    }
    limit = bounds(deployment).unavailable
    enough = available >= wanted - limit
    word = "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable"
    text = "Deployment has minimum availability." if enough else "Deployment does not have minimum availability."
    shown = conditions.made("Available", enough, word, text)
    result["conditions"] = [shown, _progress(deployment, new, result)]
    return result


def _progress(deployment: Obj, new: Obj | None, counts: Obj) -> Obj:
    wanted, name = replicas_of(deployment), new["metadata"]["name"] if new else ""
    held = conditions.find(deployment, "Progressing") or {}
    if counts["updatedReplicas"] == counts["replicas"] == counts["availableReplicas"] == wanted:
        text = f'ReplicaSet "{name}" has successfully progressed.'
        return conditions.made("Progressing", True, "NewReplicaSetAvailable", text)
    before = deployment.get("status") or {}
    watched = ("updatedReplicas", "readyReplicas", "availableReplicas")
    moved = any(before.get(field) != counts[field] for field in watched)
    limit = deployment["spec"].get("progressDeadlineSeconds", 600)
    since = held.get("lastUpdateTime")
    waiting = held.get("reason") in ("ReplicaSetUpdated", "NewReplicaSetCreated", "ProgressDeadlineExceeded")
    if waiting and not moved and since and seconds_since(since) >= limit:
        text = f'ReplicaSet "{name}" has timed out progressing.'
        return conditions.made("Progressing", False, "ProgressDeadlineExceeded", text)
    return conditions.made("Progressing", True, "ReplicaSetUpdated", f'ReplicaSet "{name}" is progressing.')
