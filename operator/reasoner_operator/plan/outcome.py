"""The Job and its pods -> how the run stands, and the Plan that says so. Called by the kinds' plans; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from textwrap import shorten
from typing import Any

from reasoner_api.common import Scheduling
from reasoner_api.report import RunReport
from reasoner_operator import naming
from reasoner_operator.plan.job import QUEUE_LABEL, Work, manifests
from reasoner_operator.plan.pods import last_failure, trouble
from reasoner_operator.plan.references import Broken, Waiting
from reasoner_operator.seen import Key, Object, Patch, Plan, Seen, Target
from reasoner_operator.status import State, conditions, merged, notes, progress_text, reports, timestamp

#: Characters of a message that fit a column of `kubectl get`.
DISPLAY_LENGTH = 60
#: Seconds after which a Job whose end has just been written down is told when to go.
SETTLE_SECONDS = 1.0


@dataclass(frozen=True)
class Outcome:
    """How the run stands, and what its pods say."""

    state: State
    report: RunReport | None = None


def condition(obj: Object | None, kind: str) -> Object | None:
    """The condition of a Job or pod if it is True."""
    for item in (obj or {}).get("status", {}).get("conditions", []):
        if item["type"] == kind and item["status"] == "True":
            return dict(item)
    return None


def is_over(seen: Seen) -> bool:
    """Whether the run has ended before and its Job is gone (ttlSecondsAfterFinished): it is not run again."""
    return seen.job is None and bool(seen.obj.get("status", {}).get("completionTime"))


def observe(seen: Seen, parts: int) -> Outcome:
    """How the Job stands. `parts`: pods that each report on a part of the work."""
    report = merged(reports(seen), parts)
    if condition(seen.job, "Complete"):
        if report is not None and report.state == "Succeeded":
            return Outcome(State("Succeeded", "Succeeded", report.message or "the run has succeeded"), report)
        if seen.obj.get("status", {}).get("artifacts"):
            # The pods are gone (their node, perhaps), but what they published was noted before.
            return Outcome(State("Succeeded", "Succeeded", "the run has succeeded"))
        return Outcome(State("Failed", "ReportMissing", _report_missing(seen)), report)
    if failed := condition(seen.job, "Failed"):
        return Outcome(_failed(seen, failed, report), report)
    if (seen.job or {})["spec"].get("suspend"):
        return Outcome(_paused(seen), report)
    return Outcome(_under_way(seen, report), report)


def _report_missing(seen: Seen) -> str:
    return (
        f"the Job is complete, but its pods are gone and what they published is not known: delete this "
        f"{seen.kind.name} and apply it again, it finds what is published already"
    )


def _failed(seen: Seen, failed: Object, report: RunReport | None) -> State:
    """The pods' own word, else what Kubernetes says of the last that failed, else the Job's reason."""
    reason, message = failed.get("reason") or "Failed", failed.get("message", "")
    if report is not None and report.state == "Failed":
        return State("Failed", report.reason or reason, report.message or message)
    cause = last_failure(seen.pods)
    return State("Failed", reason, f"{message}: {cause}" if cause else message)


def _paused(seen: Seen) -> State:
    queue = queue_of(seen.job)
    if queue and not seen.obj["spec"].get("suspend"):
        return State("Pending", "Queued", f"waiting until the queue {queue!r} admits Job {_name(seen.job)}")
    return State("Suspended", "Suspended", "paused; set spec.suspend to false to go on")


def _under_way(seen: Seen, report: RunReport | None) -> State:
    phase = "Pending" if report is None else "Running"
    if found := trouble(seen.pods):
        return State(phase, *found, trouble=True)
    phases = {pod.get("status", {}).get("phase") for pod in seen.pods}
    # Those that have ended well are followed by the next shards, or by the Job's own end.
    if "Running" in phases or phases == {"Succeeded"}:
        return State("Running", "Running", (report.message if report else "") or "the run is under way")
    if "Pending" not in phases and (cause := last_failure(seen.pods)):
        return State(phase, "Retrying", f"{cause}; the Job will try again", trouble=True)
    return State(phase, "PodsPending", f"waiting for the pods of Job {_name(seen.job)} to start")


def queue_of(job: Object | None) -> str:
    """The Kueue queue that a Job is in, if any."""
    return str((job or {"metadata": {}})["metadata"].get("labels", {}).get(QUEUE_LABEL, ""))


def _name(obj: Object | None) -> str:
    return str((obj or {"metadata": {"name": ""}})["metadata"]["name"])


def common_status(seen: Seen, outcome: Outcome, now: datetime) -> dict[str, Any]:
    """The fields that all kinds' statuses share."""
    old = seen.obj.get("status", {})
    state, report = outcome.state, outcome.report
    status: dict[str, Any] = {
        "observedGeneration": seen.obj["metadata"].get("generation", 0),
        "phase": state.phase,
        "conditions": conditions(seen, state, now),
    }
    if report is not None:
        progress = report.progress.wire()
        if state.phase == "Succeeded":
            progress = {"percent": 100, "display": "100%"}
        else:
            progress["display"] = progress_text(report.progress)
        status["progress"] = progress
    elif state.phase in ("Pending", "Waiting"):
        status["progress"] = {
            "percent": 0,
            "display": shorten(state.message, DISPLAY_LENGTH, placeholder="…"),
        }
    elif "progress" in old:
        status["progress"] = old["progress"]
    if seen.job is not None:
        status["job"] = seen.job["metadata"]["name"]
        status["taskDigest"] = seen.job["metadata"].get("annotations", {}).get(naming.ANNOTATION_DIGEST)
        status["startTime"] = seen.job.get("status", {}).get("startTime")
    for field in ("job", "taskDigest", "startTime", "completionTime"):
        if status.get(field) is None and field in old:
            status[field] = old[field]
    ended = condition(seen.job, "Complete") or condition(seen.job, "Failed")
    if ended and not status.get("completionTime"):
        status["completionTime"] = ended.get("lastTransitionTime") or timestamp(now)
    return {key: value for key, value in status.items() if value is not None}


def finished(seen: Seen) -> Plan:
    """Leave what is said of a run that is over as it is; only that the present spec was looked at is noted."""
    status = dict(seen.obj["status"])
    generation = seen.obj["metadata"].get("generation", 0)
    status["observedGeneration"] = generation
    status["conditions"] = [{**item, "observedGeneration": generation} for item in status.get("conditions", [])]
    return Plan(status=status)


def stalled(seen: Seen, reason: str, message: str, now: datetime) -> Plan:
    """Nothing can be done until somebody acts."""
    state = State(_present_phase(seen), reason, message, stalled=True)
    return Plan(status=_kept(seen, state, now), notes=notes(seen, state))


def held_up(seen: Seen, message: str, now: datetime) -> Plan:
    """The API server did not do what was asked; it is asked again."""
    state = State(_present_phase(seen), "Retrying", f"the API server did not do it yet: {message}", trouble=True)
    return Plan(status=_kept(seen, state, now), notes=notes(seen, state))


def _present_phase(seen: Seen) -> str:
    """A run goes on though something about it cannot be done; only a fresh or ended one has nothing going on."""
    phase = str(seen.obj.get("status", {}).get("phase") or "Pending")
    # What can still be changed of one that has ended is how it is served.
    return {"Succeeded": "Deploying", "Failed": "Pending"}.get(phase, phase)


def waiting(seen: Seen, found: Waiting | Broken, waits_for: frozenset[Key], now: datetime) -> Plan:
    """Something that the spec refers to is not there yet, or has failed."""
    state = State("Waiting", found.reason, found.message, stalled=isinstance(found, Broken))
    return Plan(status=_kept(seen, state, now), notes=notes(seen, state), waits_for=waits_for)


def _kept(seen: Seen, state: State, now: datetime) -> dict[str, Any]:
    return {**seen.obj.get("status", {}), **common_status(seen, Outcome(state), now)}


def start(seen: Seen, work: Work, now: datetime) -> Plan:
    """Make the Job and what it needs; what an earlier attempt left under another digest goes."""
    if seen.leftovers:
        left = ", ".join(seen.leftovers)
        message = f"waiting until {left} of an earlier {seen.kind.name} of this name is gone; delete what stays"
        state = State("Pending", "Replacing", message)
        return Plan(status=_kept(seen, state, now), requeue_after=1.0)
    applied = manifests(seen, work)
    job = applied[-1]
    phase = "Suspended" if work.suspend else "Pending"
    state = State(phase, "JobCreated", f"Job {job['metadata']['name']} made")
    keep = {item["metadata"]["name"] for item in applied}
    orphans = [
        Target("v1", kind, item["metadata"]["name"])
        for kind, items in (("ConfigMap", seen.config_maps), ("Service", seen.services))
        for item in items
        if item["metadata"].get("labels", {}).get(naming.LABEL_ROLE) == naming.ROLE_WORK
        and item["metadata"]["name"] not in keep
    ]
    status = {**_kept(seen, state, now), "job": job["metadata"]["name"], "taskDigest": work.digest}
    return Plan(status=status, apply=applied, delete=tuple(orphans), notes=notes(seen, state))


def adjustments(seen: Seen, suspend: bool, scheduling: Scheduling, parallelism: int | None = None) -> tuple[Patch, ...]:
    """The mutable fields of the spec, carried over to the Job that runs; to one that has ended, when it may go."""
    if seen.job is None:
        return ()
    spec = seen.job["spec"]
    body: Object = {}
    if is_ended(seen.job):
        ttl = scheduling.ttl_seconds_after_finished
        if ttl is not None and spec.get("ttlSecondsAfterFinished") != ttl and _end_is_noted(seen):
            body["ttlSecondsAfterFinished"] = ttl
    else:
        # A queue decides when its Jobs go on; only a pause is ours to order.
        if bool(spec.get("suspend")) != suspend and (suspend or not queue_of(seen.job)):
            body["suspend"] = suspend
        if parallelism is not None and spec.get("parallelism") != parallelism:
            body["parallelism"] = parallelism
    if not body:
        return ()
    return (Patch("batch/v1", "Job", _name(seen.job), {"spec": body}),)


def is_ended(job: Object | None) -> bool:
    """Whether a Job is over, either way."""
    return bool(condition(job, "Complete") or condition(job, "Failed"))


def _end_is_noted(seen: Seen) -> bool:
    return bool(seen.obj.get("status", {}).get("completionTime"))


def look_again(seen: Seen, outcome: Outcome, scheduling: Scheduling, progress_seconds: float) -> float | None:
    """Seconds until the object wants another look though nothing happened."""
    if outcome.state.phase in ("Pending", "Running", "Deploying"):
        return progress_seconds
    if is_ended(seen.job) and scheduling.ttl_seconds_after_finished is not None and not _end_is_noted(seen):
        return SETTLE_SECONDS
    return None
