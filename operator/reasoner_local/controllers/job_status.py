"""A Job's status from its account and its pods. Pure but for the time of day; used by `job`."""

from __future__ import annotations

from reasoner_local import conditions
from reasoner_local.client import Obj, now, seconds_since
from reasoner_local.controllers import job_policy
from reasoner_local.controllers.job_tally import Tally, indexed, limit_of


def status_of(job: Obj, tally: Tally, fresh: list[Obj], pods: list[Obj]) -> Obj:
    """The Job's status; counts that are nought are left out, but for those that kubectl shows."""
    old = job.get("status") or {}
    running = [pod for pod in pods if conditions.active(pod)]
    ending = [pod for pod in pods if conditions.terminating(pod) and not conditions.finished(pod)]
    status: Obj = {
        "active": len(running),
        "ready": sum(conditions.ready(pod) for pod in running),
        "terminating": len(ending),
        "succeeded": tally.succeeded,
        "failed": tally.failed,
    }
    status = {name: count for name, count in status.items() if count or name in ("ready", "terminating")}
    if indexed(job):
        status["completedIndexes"] = job_policy.to_ranges(tally.completed)
        if job["spec"].get("backoffLimitPerIndex") is not None:
            status["failedIndexes"] = job_policy.to_ranges(tally.failed_indexes)
    held = conditions.merged(old.get("conditions") or [], fresh)
    if held:
        status["conditions"] = held
    kinds = {condition["type"]: condition for condition in held if condition["status"] == "True"}
    if "Suspended" not in kinds or "Complete" in kinds or "Failed" in kinds:
        status["startTime"] = old.get("startTime") or now()
    if "Complete" in kinds:
        status["completionTime"] = old.get("completionTime") or now()
    return status


def time_left(job: Obj) -> float | None:
    """Seconds until the Job's deadline, if it has one and runs."""
    deadline, start = job["spec"].get("activeDeadlineSeconds"), (job.get("status") or {}).get("startTime")
    if deadline is None or start is None or job["spec"].get("suspend"):
        return None
    return float(deadline - seconds_since(start))


def restarts(job: Obj, pods: list[Obj]) -> int:
    """Restarts in place, which count against the back-off limit where pods are restarted on failure."""
    if job["spec"]["template"]["spec"].get("restartPolicy") != "OnFailure":
        return 0
    total = 0
    for pod in pods:
        status = pod.get("status") or {}
        if status.get("phase") in ("Running", "Pending"):
            held = (status.get("initContainerStatuses") or []) + (status.get("containerStatuses") or [])
            total += sum(container.get("restartCount", 0) for container in held)
    # Kubernetes gives up when restarts reach the limit, but one restart is needed where the limit is nought.
    return total + 1 if total and limit_of(job) > 0 else total
