"""The Deployment controller: one ReplicaSet for each pod template, rolled over gradually. Started by `cluster`."""

from __future__ import annotations

import copy

from reasoner_local import conditions
from reasoner_local.client import DEPLOYMENTS, REPLICASETS, Obj, now, seconds_since
from reasoner_local.controllers import rollout
from reasoner_local.controllers.base import Controller, owner_keys
from reasoner_local.informer import Hub, Key, owner_ref

_REVISION = "deployment.kubernetes.io/revision"


class DeploymentController(Controller):
    """Runs Deployments."""

    component = "deployment-controller"

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self.deployments = self.follow(DEPLOYMENTS)
        self.sets = self.follow(REPLICASETS, owner_keys(DEPLOYMENTS))

    async def reconcile(self, key: Key) -> float | None:
        """One look at a Deployment."""
        deployment = self.deployments.get(key)
        if deployment is None or conditions.terminating(deployment):
            return None
        current = f"{key[1]}-{rollout.template_hash(deployment)}"
        owned = [owner for owner in self.sets.owned_by(deployment) if not conditions.terminating(owner)]
        new = next((owner for owner in owned if owner["metadata"]["name"] == current), None)
        old = sorted((owner for owner in owned if owner is not new), key=_revision)
        if not deployment["spec"].get("paused"):
            if new is None:
                new = await self._create(deployment, old)
            elif old and _revision(new) < _revision(old[-1]):
                revision = {_REVISION: str(_revision(old[-1]) + 1)}
                new = await self.hub.patch(REPLICASETS, new, {"metadata": {"annotations": revision}})
        if new is not None:
            await self._scale(deployment, new, old)
        await self._prune(deployment, old)
        sets = [owner for owner in self.sets.owned_by(deployment) if not conditions.terminating(owner)]
        return await self._report(deployment, self.sets.get((key[0], current)), sets)

    async def _create(self, deployment: Obj, old: list[Obj]) -> Obj:
        digest = rollout.template_hash(deployment)
        template = copy.deepcopy(deployment["spec"]["template"])
        meta = template.setdefault("metadata", {})
        meta["labels"] = {**(meta.get("labels") or {}), rollout.HASH_LABEL: digest}
        selector = copy.deepcopy(deployment["spec"]["selector"])
        selector["matchLabels"] = {**(selector.get("matchLabels") or {}), rollout.HASH_LABEL: digest}
        spec: Obj = {"replicas": 0, "selector": selector, "template": template}
        if "minReadySeconds" in deployment["spec"]:
            spec["minReadySeconds"] = deployment["spec"]["minReadySeconds"]
        body: Obj = {
            "metadata": {
                "name": f"{deployment['metadata']['name']}-{digest}",
                "namespace": deployment["metadata"]["namespace"],
                "labels": meta["labels"],
                "annotations": {_REVISION: str(_revision(old[-1]) + 1 if old else 1)},
                "ownerReferences": [owner_ref(DEPLOYMENTS, deployment)],
            },
            "spec": spec,
        }
        return await self.hub.create(REPLICASETS, body)

    async def _scale(self, deployment: Obj, new: Obj, old: list[Obj]) -> None:
        sizes = {owner["metadata"]["name"]: owner for owner in [*old, new]}
        for name, size in rollout.scale(deployment, new, old).items():
            before = rollout.replicas_of(sizes[name])
            await self.hub.patch(REPLICASETS, sizes[name], {"spec": {"replicas": size}})
            direction = "up" if size > before else "down"
            message = f"Scaled {direction} replica set {name} from {before} to {size}"
            await self.events.normal(deployment, "ScalingReplicaSet", message)

    async def _prune(self, deployment: Obj, old: list[Obj]) -> None:
        """Delete the oldest ReplicaSets that have no pods left, beyond the history kept."""
        empty = [o for o in old if rollout.replicas_of(o) == 0 and not rollout.total([o], "replicas")]
        for owner in empty[: max(0, len(empty) - int(deployment["spec"].get("revisionHistoryLimit", 10)))]:
            await self.hub.delete(REPLICASETS, owner)

    async def _report(self, deployment: Obj, new: Obj | None, sets: list[Obj]) -> float | None:
        status, old = rollout.status(deployment, new, sets), deployment.get("status") or {}
        changed = any(old.get(name) != value for name, value in status.items() if name != "conditions")
        fresh = [_dated(deployment, condition, changed) for condition in status["conditions"]]
        status["conditions"] = conditions.merged(old.get("conditions") or [], fresh)
        if status != {name: old.get(name) for name in status}:
            await self.hub.patch(DEPLOYMENTS, deployment, {"status": status}, "status")
        progress = next(condition for condition in fresh if condition["type"] == "Progressing")
        if progress["reason"] != "ReplicaSetUpdated":
            return None
        limit = float(deployment["spec"].get("progressDeadlineSeconds", 600))
        return limit - seconds_since(progress["lastUpdateTime"]) + 0.1


def _dated(deployment: Obj, condition: Obj, changed: bool) -> Obj:
    """The condition with the time when it last changed or, for Progressing, when the counts did."""
    before = conditions.find(deployment, condition["type"]) or {}
    same = all(before.get(field) == condition.get(field) for field in ("status", "reason", "message"))
    if changed and condition["type"] == "Progressing":
        same = False
    return {**condition, "lastUpdateTime": before["lastUpdateTime"] if same else now()}


def _revision(owner: Obj) -> int:
    return int((owner["metadata"].get("annotations") or {}).get(_REVISION, 0))
