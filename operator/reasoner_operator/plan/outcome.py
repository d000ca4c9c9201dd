"""How a run stands -> the Plan that says so, and what is done to its Job. Called by the kinds' plans; pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from textwrap import shorten
from typing import Any

from reasoner_api.common import Scheduling
from reasoner_operator import naming
from reasoner_operator.plan.job import Work, manifests
from reasoner_operator.plan.references import Broken, Waiting
from reasoner_operator.plan.standing import Outcome, condition, is_ended, queue_of, remembered
from reasoner_operator.seen import Key, Object, Patch, Plan, Seen, Target
from reasoner_operator.status import State, conditions, notes, progress_text, timestamp

#: Characters of a message that fit a column of `kubectl get`.
DISPLAY_LENGTH = 60
#: Seconds after which a Job whose end has just been written down is told when to go.
SETTLE_SECONDS = 1.0


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


def finished(seen: Seen, now: datetime) -> Plan:
    """Leave what is said of a run that is over as it is; only that the present spec was looked at is noted."""
    status = dict(seen.obj["status"])
    if status.get("phase") not in ("Succeeded", "Failed") or not status.get("conditions"):
        # Somebody has changed it: what else it tells has to do.
        return Plan(status={**status, **common_status(seen, remembered(seen), now)})
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


def replaced(seen: Seen, reason: str, message: str, now: datetime) -> Plan:
    """The Job goes; another one is made once it is gone."""
    assert seen.job is not None
    state = State("Pending", reason, message)
    job = Target("batch/v1", "Job", seen.job["metadata"]["name"])
    status = _kept(replace(seen, job=None), state, now)
    return Plan(status=status, delete=(job,), notes=notes(seen, state), requeue_after=SETTLE_SECONDS)


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
    return (Patch("batch/v1", "Job", seen.job["metadata"]["name"], {"spec": body}),)


def _end_is_noted(seen: Seen) -> bool:
    return bool(seen.obj.get("status", {}).get("completionTime"))


def look_again(seen: Seen, outcome: Outcome, scheduling: Scheduling, progress_seconds: float) -> float | None:
    """Seconds until the object wants another look though nothing happened."""
    if outcome.state.phase in ("Pending", "Running", "Deploying"):
        return progress_seconds
    if is_ended(seen.job) and scheduling.ttl_seconds_after_finished is not None and not _end_is_noted(seen):
        return SETTLE_SECONDS
    return None
