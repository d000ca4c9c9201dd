"""The process node itself: its Node object, and a worker for each pod bound to it. Started by `cluster`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import TypeAlias

from reasoner_local import conditions
from reasoner_local.client import PODS, Obj
from reasoner_local.node import machine
from reasoner_local.node.context import NodeFacts, PodContext, Tools
from reasoner_local.node.pod import PodWorker

log = logging.getLogger(__name__)

Work: TypeAlias = tuple[PodWorker, "asyncio.Task[None]"]
#: What a pod is left that was deleted by force: it is gone from the API already.
_FORCED_GRACE = 2.0


class Node:
    """Runs the pods bound to it as local processes."""

    def __init__(self, facts: NodeFacts, tools: Tools) -> None:
        self.facts = facts
        self._tools = tools
        self._pods = tools.hub.of(PODS)
        self._work: dict[str, Work] = {}
        self._chores: set[asyncio.Task[None]] = set()

    def worker(self, uid: str) -> PodWorker | None:
        """The worker of a pod that the API still knows."""
        known = self._work.get(uid)
        return known[0] if known else None

    async def start(self) -> None:
        """Register the node and take up its pods; the informers must have synced."""
        self.facts.logs.mkdir(parents=True, exist_ok=True)
        await machine.register(self.facts, self._tools.hub)
        self._pods.handlers.append(self._changed)
        for pod in self._pods:
            self._changed(None, pod)

    async def stop(self, grace: float) -> None:
        """End every pod's processes."""
        self._pods.handlers.remove(self._changed)
        running = [(worker, task) for worker, task in self._work.values() if not task.done()]
        await asyncio.gather(*(worker.stop(grace) for worker, _ in running))
        await asyncio.gather(*(task for _, task in running), *self._chores, return_exceptions=True)
        for worker, _ in self._work.values():
            worker.clean_up()

    def _changed(self, old: Obj | None, new: Obj | None) -> None:
        pod = new or old
        if pod is None or pod["spec"].get("nodeName") != self.facts.name:
            return
        uid, known = pod["metadata"]["uid"], self._work.get(pod["metadata"]["uid"])
        if new is None:
            if known is not None:
                self._chore(self._forget(pod, *known))
        elif known is None:
            if conditions.terminating(new):
                self._chore(self._release(new))
            elif not conditions.finished(new):
                self._begin(new)
        elif conditions.terminating(new) and (old is None or _deletion(old) != _deletion(new)):
            self._chore(self._end(new, *known))
        if known is not None and new is not None:
            self._work[uid][0].context.pod = new

    def _begin(self, pod: Obj) -> None:
        context = PodContext(pod, self.facts, self._tools, self.facts.subnet.pod())
        worker = PodWorker(context)
        task = asyncio.create_task(worker.run(), name=f"pod {context.namespace}/{context.name}")
        task.add_done_callback(_log_fault)
        self._work[pod["metadata"]["uid"]] = worker, task

    def _chore(self, work: Coroutine[None, None, None]) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)
        task.add_done_callback(_log_fault)

    async def _end(self, pod: Obj, worker: PodWorker, task: asyncio.Task[None]) -> None:
        """Stop a pod that is being deleted, then let it go."""
        await worker.stop(_grace(pod))
        await asyncio.wait([task])
        await self._release(pod)

    async def _release(self, pod: Obj) -> None:
        await self._tools.hub.delete(PODS, pod, grace=0)

    async def _forget(self, pod: Obj, worker: PodWorker, task: asyncio.Task[None]) -> None:
        """Clear up after a pod that is gone from the API."""
        if not task.done():
            grace = _grace(pod)
            await worker.stop(min(grace, _FORCED_GRACE) if conditions.terminating(pod) else grace)
            await asyncio.wait([task])
        self._work.pop(pod["metadata"]["uid"], None)
        self.facts.subnet.release(worker.context.ip)
        worker.clean_up()


def _deletion(pod: Obj) -> tuple[object, object]:
    """When the pod is to be gone, and how long it has; either may be cut shorter."""
    meta = pod["metadata"]
    return meta.get("deletionTimestamp"), meta.get("deletionGracePeriodSeconds")


def _grace(pod: Obj) -> float:
    """Seconds that a pod has to end."""
    given = pod["metadata"].get("deletionGracePeriodSeconds")
    return float(given if given is not None else pod["spec"].get("terminationGracePeriodSeconds", 30))


def _log_fault(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("%s failed", task.get_name(), exc_info=error)
