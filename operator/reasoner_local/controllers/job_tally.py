"""What a Job's pods amount to: ends counted once, indexes done, back-off due. Pure but for the clock it is
given; used by `job`.

A real Job controller keeps its pods by a finalizer until they are counted. This one lives and dies with its API
server, so it remembers in `Tally` which pods it has counted, and pods deleted before that are handed to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from reasoner_local import conditions
from reasoner_local.client import Obj
from reasoner_local.controllers import job_policy

_MAX_BACKOFF = 600.0


def indexed(job: Obj) -> bool:
    """Whether the Job's completion mode is Indexed."""
    return bool(job["spec"].get("completionMode") == "Indexed")


def limit_of(job: Obj) -> int:
    """Failures that the Job survives."""
    per_index = job["spec"].get("backoffLimitPerIndex") is not None
    return int(job["spec"].get("backoffLimit", 2**31 - 1 if per_index else 6))


@dataclass
class Tally:
    """One Job's account."""

    #: Ends that were counted, and pods whose end shall not count (scaled down, suspended, ignored by policy).
    counted: set[str] = field(default_factory=set)
    succeeded: int = 0
    failed: int = 0
    completed: set[int] = field(default_factory=set)
    failed_indexes: set[int] = field(default_factory=set)
    index_failures: dict[int, int] = field(default_factory=dict)
    in_a_row: dict[int | None, int] = field(default_factory=dict)
    last_failure: dict[int | None, float] = field(default_factory=dict)
    #: Message of the FailJob rule that a pod met.
    verdict: str = ""

    @classmethod
    def resumed(cls, job: Obj, pods: list[Obj]) -> Tally:
        """The account of a Job first seen now, which may have a past."""
        status = job.get("status") or {}
        tally = cls(succeeded=status.get("succeeded", 0), failed=status.get("failed", 0))
        tally.completed = job_policy.from_ranges(status.get("completedIndexes"))
        tally.failed_indexes = job_policy.from_ranges(status.get("failedIndexes"))
        if status.get("startTime"):
            tally.counted = {pod["metadata"]["uid"] for pod in pods if conditions.finished(pod)}
        return tally

    def count(self, job: Obj, pod: Obj, gone: bool = False) -> None:
        """Count the pod's end, if it has ended and was not counted. A deleted pod counts as failed, at once or,
        where the Job replaces only what has failed, when it is gone."""
        uid = pod["metadata"]["uid"]
        if uid in self.counted:
            return
        if (pod.get("status") or {}).get("phase") == "Succeeded":
            self.counted.add(uid)
            self._count_success(job, pod)
        elif conditions.finished(pod) or gone or (conditions.terminating(pod) and not replaces_late(job)):
            self.counted.add(uid)
            self._count_failure(job, pod)

    def _count_success(self, job: Obj, pod: Obj) -> None:
        index = job_policy.index_of(pod)
        self.in_a_row.pop(self._lane(job, index), None)
        if not indexed(job):
            self.succeeded += 1
        elif index is not None and index < job["spec"]["completions"]:
            self.completed.add(index)
            self.succeeded = len(self.completed)

    def _count_failure(self, job: Obj, pod: Obj) -> None:
        match = job_policy.judge(job, pod)
        if match.action == "Ignore":
            return
        index = job_policy.index_of(pod)
        lane = self._lane(job, index)
        self.failed += 1
        self.in_a_row[lane] = self.in_a_row.get(lane, 0) + 1
        self.last_failure[lane] = ended_at(pod)
        if match.action == "FailJob":
            self.verdict = self.verdict or match.message
        per_index = job["spec"].get("backoffLimitPerIndex")
        if index is not None and per_index is not None:
            self.index_failures[index] = self.index_failures.get(index, 0) + 1
            if match.action == "FailIndex" or self.index_failures[index] > per_index:
                self.failed_indexes.add(index)

    @staticmethod
    def _lane(job: Obj, index: int | None) -> int | None:
        """What back-off is kept for: each index where the Job limits each, else the whole Job."""
        return index if job["spec"].get("backoffLimitPerIndex") is not None else None

    def wait(self, job: Obj, index: int | None, base: float, now: float) -> float:
        """Seconds until the next pod (of the index) may be made, after failures in a row."""
        lane = self._lane(job, index)
        failures = self.in_a_row.get(lane, 0)
        if not failures:
            return 0.0
        delay = min(base * 2.0 ** min(failures - 1, 20), _MAX_BACKOFF)
        return max(0.0, self.last_failure[lane] + delay - now)


def replaces_late(job: Obj) -> bool:
    """Whether a pod is replaced only once it has failed, rather than as soon as it is being deleted."""
    policy = job["spec"].get("podReplacementPolicy")
    return policy == "Failed" or (policy is None and bool(job["spec"].get("podFailurePolicy")))


def ended_at(pod: Obj) -> float:
    """When the pod's last container ended, else when it was deleted or made; seconds since the epoch."""
    ends = [
        end["finishedAt"]
        for container in (pod.get("status") or {}).get("containerStatuses") or []
        if (end := (container.get("state") or {}).get("terminated")) and end.get("finishedAt")
    ]
    meta = pod["metadata"]
    stamp = max(ends, default=meta.get("deletionTimestamp") or meta["creationTimestamp"])
    return datetime.fromisoformat(stamp).timestamp()
