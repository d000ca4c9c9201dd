"""The ReplicaSet controller: keeps the wanted number of pods. Started by `cluster`."""

from __future__ import annotations

from reasoner_local import conditions
from reasoner_local.client import PODS, REPLICASETS, Obj, seconds_since
from reasoner_local.controllers.base import Controller, owner_keys
from reasoner_local.controllers.pods import pod_from
from reasoner_local.informer import Hub, Key


class ReplicaSetController(Controller):
    """Runs ReplicaSets."""

    component = "replicaset-controller"

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self.sets = self.follow(REPLICASETS)
        self.pods = self.follow(PODS, owner_keys(REPLICASETS))

    async def reconcile(self, key: Key) -> float | None:
        """One look at a ReplicaSet."""
        owner = self.sets.get(key)
        if owner is None or conditions.terminating(owner):
            return None
        active = [pod for pod in self.pods.owned_by(owner) if conditions.active(pod)]
        missing = int(owner["spec"].get("replicas", 1)) - len(active)
        for _ in range(missing):
            pod = await self.hub.create(PODS, pod_from(REPLICASETS, owner, f"{key[1]}-"))
            await self.events.normal(owner, "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")
        for pod in sorted(active, key=_least_loss)[: max(0, -missing)]:
            await self.hub.delete(PODS, pod)
            await self.events.normal(owner, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")
        return await self._report(owner)

    async def _report(self, owner: Obj) -> float | None:
        active = [pod for pod in self.pods.owned_by(owner) if conditions.active(pod)]
        ready = [pod for pod in active if conditions.ready(pod)]
        waits = [available_in(pod, owner["spec"].get("minReadySeconds", 0)) for pod in ready]
        labels = (owner["spec"]["template"].get("metadata") or {}).get("labels") or {}
        labelled = [pod for pod in active if labels.items() <= (pod["metadata"].get("labels") or {}).items()]
        status = {
            "replicas": len(active),
            "fullyLabeledReplicas": len(labelled),
            "readyReplicas": len(ready),
            "availableReplicas": sum(wait <= 0 for wait in waits),
            "observedGeneration": owner["metadata"].get("generation", 1),
        }
        old = owner.get("status") or {}
        if any(old.get(name) != value for name, value in status.items()):
            await self.hub.patch(REPLICASETS, owner, {"status": status}, "status")
        return min((wait for wait in waits if wait > 0), default=None)


def available_in(pod: Obj, min_ready_seconds: int) -> float:
    """Seconds until a ready pod counts as available."""
    if not min_ready_seconds:
        return 0.0
    since = (conditions.find(pod, "Ready") or {}).get("lastTransitionTime")
    return min_ready_seconds - seconds_since(since) if since else float(min_ready_seconds)


def _least_loss(pod: Obj) -> tuple[bool, bool, bool, float]:
    """Order in which surplus pods go: unbound, then not running, then unready, then youngest."""
    running = (pod.get("status") or {}).get("phase") == "Running"
    age = seconds_since(pod["metadata"]["creationTimestamp"])
    return bool(pod["spec"].get("nodeName")), running, conditions.ready(pod), age
