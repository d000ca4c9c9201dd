"""The scheduler: binds pods to the one node while they fit. Started by `cluster`."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from decimal import Decimal

from reasoner_local import conditions, quantity
from reasoner_local.client import NODES, PODS, Obj
from reasoner_local.controllers.base import Controller
from reasoner_local.informer import Hub, Key, key_of

_NO_VICTIMS = "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
_NOT_HELPFUL = "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."


class Scheduler(Controller):
    """Binds pods."""

    component = "default-scheduler"

    def __init__(self, hub: Hub, node: str) -> None:
        super().__init__(hub)
        self._node = node
        self.pods = self.follow(PODS)
        self.nodes = self.hub.of(NODES)
        self.pods.handlers.append(self._freed)
        #: One pod at a time, so that two do not take the same share of the node.
        self._choosing = asyncio.Lock()

    def _freed(self, old: Obj | None, new: Obj | None) -> None:
        """Look again at waiting pods when another has ended."""
        if old is None or (new is not None and conditions.finished(new) == conditions.finished(old)):
            return
        for pod in self.pods:
            if not pod["spec"].get("nodeName"):
                self.enqueue(key_of(pod))

    async def reconcile(self, key: Key) -> float | None:
        """Bind the pod, or say why not."""
        pod = self.pods.get(key)
        if pod is None or pod["spec"].get("nodeName") or not conditions.active(pod):
            return None
        if pod["spec"].get("schedulingGates"):
            message = "Scheduling is blocked due to non-empty scheduling gates"
            await self._refuse(pod, "SchedulingGated", message)
            return None
        node = self.nodes.get(("", self._node))
        if node is None:
            await self._refuse(pod, "Unschedulable", "no nodes available to schedule pods")
            return None
        async with self._choosing:
            others = [pod for pod in self.pods if pod["spec"].get("nodeName") and not conditions.finished(pod)]
            if reason := obstacle(pod, node, others):
                await self._refuse(pod, "Unschedulable", f"0/1 nodes are available: {reason}")
                return None
            # The node takes the pod up when it is bound, and from then on the status is the node's to write.
            bound = conditions.made("PodScheduled", True)
            held = conditions.merged((pod.get("status") or {}).get("conditions") or [], [bound])
            pod = await self.hub.patch(PODS, pod, {"status": {"conditions": held}}, "status")
            pod = await self.hub.patch(PODS, pod, {"spec": {"nodeName": self._node}})
        where = f"{key[0]}/{key[1]}"
        await self.events.normal(pod, "Scheduled", f"Successfully assigned {where} to {self._node}")
        return None

    async def _refuse(self, pod: Obj, reason: str, message: str) -> None:
        known = conditions.find(pod, "PodScheduled") or {}
        if known.get("message") == message:
            return
        fresh = conditions.made("PodScheduled", False, reason, message)
        held = conditions.merged((pod.get("status") or {}).get("conditions") or [], [fresh])
        await self.hub.patch(PODS, pod, {"status": {"phase": "Pending", "conditions": held}}, "status")
        await self.events.warning(pod, "FailedScheduling", message)


def obstacle(pod: Obj, node: Obj, others: list[Obj]) -> str:
    """Why the pod does not fit beside the others, in the scheduler's words; empty where it fits."""
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(name) != value for name, value in (pod["spec"].get("nodeSelector") or {}).items()):
        return f"1 node(s) didn't match Pod's node affinity/selector. {_NOT_HELPFUL}"
    used: dict[str, Decimal] = defaultdict(Decimal)
    for other in others:
        for name, amount in quantity.pod_requests(other).items():
            used[name] += amount
    room = {name: quantity.parse(amount) for name, amount in node["status"]["allocatable"].items()}
    if len(others) >= room["pods"]:
        return f"1 Too many pods. {_NO_VICTIMS}"
    short = [
        f"1 Insufficient {name}"
        for name, amount in sorted(quantity.pod_requests(pod).items())
        if amount > room.get(name, Decimal(0)) - used[name]
    ]
    return f"{', '.join(short)}. {_NO_VICTIMS}" if short else ""
