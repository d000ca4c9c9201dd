"""Makes and removes the pods of Jobs. Used by `job`."""

from __future__ import annotations

import time

from reasoner_local import conditions
from reasoner_local.client import JOBS, PODS, Obj
from reasoner_local.controllers.job_policy import INDEX_KEY, index_of
from reasoner_local.controllers.job_tally import Tally, indexed, replaces_late
from reasoner_local.controllers.pods import pod_from
from reasoner_local.events import Recorder
from reasoner_local.informer import Hub

_FAILURES_KEY = "batch.kubernetes.io/job-index-failure-count"


class JobPods:
    """The hands of the Job controller."""

    def __init__(self, hub: Hub, events: Recorder, backoff: float) -> None:
        self._hub = hub
        self._events = events
        self._backoff = backoff

    @staticmethod
    def completions(job: Obj) -> int | None:
        """Pods that must succeed; None where any success ends the Job."""
        spec = job["spec"]
        if spec.get("completions") is None and spec.get("parallelism") is None:
            return 1
        wanted: int | None = spec.get("completions")
        return wanted

    async def manage(self, job: Obj, pods: list[Obj], tally: Tally) -> float | None:
        """Make or remove pods until the wanted number runs; returns seconds until more may be made."""
        running = [pod for pod in pods if conditions.active(pod)]
        # A pod that still ends occupies its place where the Job replaces only what has failed.
        leaving = [pod for pod in pods if conditions.terminating(pod) and not conditions.finished(pod)]
        held = running + (leaving if replaces_late(job) else [])
        wanted = self._wanted(job, tally, len(held))
        surplus = len(held) - wanted
        if surplus > 0:
            await self.remove(job, sorted(running, key=_least_loss)[:surplus], tally)
            return None
        if not indexed(job):
            return await self._make_plain(job, tally, -surplus)
        taken = {index_of(pod) for pod in held} | tally.completed | tally.failed_indexes
        free = [index for index in range(job["spec"]["completions"]) if index not in taken]
        return await self._make_indexed(job, tally, free, -surplus)

    def _wanted(self, job: Obj, tally: Tally, held: int) -> int:
        parallelism = int(job["spec"].get("parallelism", 1))
        completions = self.completions(job)
        if completions is None:
            return min(parallelism, held) if tally.succeeded else parallelism
        return min(parallelism, completions - tally.succeeded - len(tally.failed_indexes - tally.completed))

    async def _make_plain(self, job: Obj, tally: Tally, count: int) -> float | None:
        wait = tally.wait(job, None, self._backoff, time.time())
        if count > 0 and wait > 0:
            return wait
        for _ in range(count):
            await self._create(job, pod_from(JOBS, job, f"{job['metadata']['name']}-"))
        return None

    async def _make_indexed(self, job: Obj, tally: Tally, free: list[int], count: int) -> float | None:
        waits: list[float] = []
        for index in free:
            if count <= 0:
                break
            wait = tally.wait(job, index, self._backoff, time.time())
            if wait > 0:
                waits.append(wait)
                continue
            await self._create(job, _indexed_pod(job, index, tally))
            count -= 1
        return min(waits, default=None) if count > 0 else None

    async def _create(self, job: Obj, pod: Obj) -> None:
        labels = {"controller-uid": job["metadata"]["uid"], "job-name": job["metadata"]["name"]}
        prefixed = {f"batch.kubernetes.io/{name}": value for name, value in labels.items()}
        pod["metadata"]["labels"] = {**labels, **prefixed, **pod["metadata"]["labels"]}
        made = await self._hub.create(PODS, pod)
        await self._events.normal(job, "SuccessfulCreate", f"Created pod: {made['metadata']['name']}")

    async def remove(self, job: Obj, pods: list[Obj], tally: Tally, uncounted: bool = True) -> None:
        """Delete pods; unless said otherwise their end does not count as failure."""
        for pod in pods:
            if uncounted:
                tally.counted.add(pod["metadata"]["uid"])
            await self._hub.delete(PODS, pod)
            await self._events.normal(job, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")


def _indexed_pod(job: Obj, index: int, tally: Tally) -> Obj:
    name = f"{job['metadata']['name']}-{index}"
    pod = pod_from(JOBS, job, f"{name}-")
    pod["metadata"]["labels"][INDEX_KEY] = str(index)
    pod["metadata"]["annotations"][INDEX_KEY] = str(index)
    if job["spec"].get("backoffLimitPerIndex") is not None:
        pod["metadata"]["annotations"][_FAILURES_KEY] = str(tally.index_failures.get(index, 0))
    spec = pod["spec"]
    spec["hostname"] = name
    path = f"metadata.annotations['{INDEX_KEY}']"
    variable = {"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": {"fieldPath": path}}}
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        if all(entry["name"] != variable["name"] for entry in container.get("env") or []):
            container["env"] = [*(container.get("env") or []), variable]
    return pod


def _least_loss(pod: Obj) -> tuple[bool, bool, int, str]:
    """Order in which surplus pods go: those not yet running first, of an Indexed Job the highest index."""
    running = (pod.get("status") or {}).get("phase") == "Running"
    return running, conditions.ready(pod), -(index_of(pod) or 0), pod["metadata"]["creationTimestamp"]
