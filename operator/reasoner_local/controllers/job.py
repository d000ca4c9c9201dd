"""The Job controller: pods for Jobs, their ends counted, the Job's status and conditions. Started by `cluster`.

Reasons, messages and Events are those of kube-controller-manager."""

from __future__ import annotations

from dataclasses import dataclass

from reasoner_local import conditions
from reasoner_local.client import JOBS, PODS, Obj, seconds_since
from reasoner_local.controllers import job_status
from reasoner_local.controllers.base import Controller, owner_keys
from reasoner_local.controllers.job_pods import JobPods
from reasoner_local.controllers.job_tally import Tally, limit_of
from reasoner_local.informer import Hub, Key, controller_of

_DEADLINE = "Job was active longer than specified deadline"


@dataclass(frozen=True)
class Ending:
    """Why a Job ends."""

    succeeded: bool
    reason: str
    message: str


class JobController(Controller):
    """Runs Jobs."""

    component = "job-controller"

    def __init__(self, hub: Hub, backoff: float = 10.0) -> None:
        super().__init__(hub)
        self.jobs = self.follow(JOBS)
        self.pods = self.follow(PODS, owner_keys(JOBS))
        self._tallies: dict[str, Tally] = {}
        self._hands = JobPods(hub, self.events, backoff)

    def start(self) -> None:
        """Begin; pods that vanish from now on are counted from their last state."""
        self.pods.handlers.append(self._vanished)
        super().start()

    def _vanished(self, old: Obj | None, new: Obj | None) -> None:
        ref = controller_of(old) if old is not None and new is None else None
        if old is None or ref is None or ref["uid"] not in self._tallies:
            return
        job = self.jobs.get((old["metadata"].get("namespace", ""), ref["name"]))
        if job is not None:
            self._tallies[ref["uid"]].count(job, old, gone=True)

    async def reconcile(self, key: Key) -> float | None:
        """One look at a Job."""
        job = self.jobs.get(key)
        if job is None:
            live = {other["metadata"]["uid"] for other in self.jobs}
            self._tallies = {uid: tally for uid, tally in self._tallies.items() if uid in live}
            return None
        if conditions.terminating(job):
            return None
        uid, pods = job["metadata"]["uid"], self.pods.owned_by(job)
        if conditions.is_true(job, "Complete") or conditions.is_true(job, "Failed"):
            self._tallies.pop(uid, None)
            return await self._expire(job)
        if uid not in self._tallies:
            self._tallies[uid] = Tally.resumed(job, pods)
        tally = self._tallies[uid]
        for pod in pods:
            tally.count(job, pod)
        wait: float | None = None
        ending = self._ending(job, tally, pods)
        fresh: list[Obj] = []
        if ending is not None:
            fresh = await self._end(job, ending, pods, tally)
        elif job["spec"].get("suspend"):
            await self._hands.remove(job, [pod for pod in pods if conditions.active(pod)], tally)
            fresh = [conditions.made("Suspended", True, "JobSuspended", "Job suspended")]
        else:
            if conditions.find(job, "Suspended"):
                fresh = [conditions.made("Suspended", False, "JobResumed", "Job resumed")]
            wait = await self._hands.manage(job, pods, tally)
        job = await self._report(job, tally, fresh)
        waits = [seconds for seconds in (wait, job_status.time_left(job)) if seconds is not None]
        return min(waits, default=None)

    def _ending(self, job: Obj, tally: Tally, pods: list[Obj]) -> Ending | None:
        for condition, succeeded in (("FailureTarget", False), ("SuccessCriteriaMet", True)):
            if decided := conditions.find(job, condition):
                return Ending(succeeded, decided["reason"], decided.get("message", ""))
        spec = job["spec"]
        if tally.verdict:
            return Ending(False, "PodFailurePolicy", tally.verdict)
        if tally.failed > limit_of(job) or job_status.restarts(job, pods) > limit_of(job):
            return Ending(False, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
        if (left := job_status.time_left(job)) is not None and left <= 0:
            return Ending(False, "DeadlineExceeded", _DEADLINE)
        if len(tally.failed_indexes) > spec.get("maxFailedIndexes", 2**31):
            message = "Job has exceeded the specified maximal number of failed indexes"
            return Ending(False, "MaxFailedIndexesExceeded", message)
        wanted = self._hands.completions(job)
        if wanted is None:
            done = tally.succeeded > 0 and not any(conditions.active(pod) for pod in pods)
        else:
            done = tally.succeeded + len(tally.failed_indexes - tally.completed) >= wanted
        if done and tally.failed_indexes:
            return Ending(False, "FailedIndexes", "Job has failed indexes")
        if done:
            return Ending(True, "CompletionsReached", "Reached expected number of succeeded pods")
        return None

    async def _end(self, job: Obj, ending: Ending, pods: list[Obj], tally: Tally) -> list[Obj]:
        """Stop what still runs; the final condition stands only when every pod has ended."""
        first, last = ("SuccessCriteriaMet", "Complete") if ending.succeeded else ("FailureTarget", "Failed")
        fresh = [conditions.made(first, True, ending.reason, ending.message)]
        running = [pod for pod in pods if not conditions.finished(pod)]
        await self._hands.remove(job, [pod for pod in running if conditions.active(pod)], tally, ending.succeeded)
        if not [pod for pod in self.pods.owned_by(job) if not conditions.finished(pod)]:
            fresh.append(conditions.made(last, True, ending.reason, ending.message))
        return fresh

    async def _report(self, job: Obj, tally: Tally, fresh: list[Obj]) -> Obj:
        """Write the status if it changed, and tell of transitions."""
        old: Obj = job.get("status") or {}
        status = job_status.status_of(job, tally, fresh, self.pods.owned_by(job))
        if status == old:
            return job
        gone = {field: None for field in old if field not in status}
        job = await self.hub.patch(JOBS, job, {"status": {**status, **gone}}, "status")
        before = {condition["type"]: condition["status"] for condition in old.get("conditions", [])}
        for condition in fresh:
            if before.get(condition["type"]) != condition["status"]:
                await self._announce(job, condition)
        return job

    async def _announce(self, job: Obj, condition: Obj) -> None:
        kind, message = condition["type"], condition.get("message", "")
        if kind == "Complete":
            await self.events.normal(job, "Completed", "Job completed")
        elif kind == "Failed":
            await self.events.warning(job, condition["reason"], message)
        elif kind == "Suspended":
            await self.events.normal(job, "Suspended" if condition["status"] == "True" else "Resumed", message)

    async def _expire(self, job: Obj) -> float | None:
        """Delete a finished Job when its time is over; returns the seconds it has left."""
        ttl = job["spec"].get("ttlSecondsAfterFinished")
        if ttl is None:
            return None
        end = conditions.find(job, "Complete") or conditions.find(job, "Failed") or {}
        left = float(ttl - seconds_since(end["lastTransitionTime"]))
        if left > 0:
            return left
        await self.hub.delete(JOBS, job)
        return None
