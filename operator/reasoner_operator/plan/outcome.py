"""The Job and its pods -> how the run stands, and the Plan that says so. Called by the kinds' plans; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from textwrap import shorten
from typing import Any

from reasoner_api.report import RunReport
from reasoner_operator import naming
from reasoner_operator.plan.job import Work, manifests
from reasoner_operator.plan.references import Broken, Waiting
from reasoner_operator.seen import Key, Object, Patch, Plan, Seen, Target
from reasoner_operator.status import State, conditions, merged, notes, progress_text, reports, timestamp

#: Characters of a message that fit a column of `kubectl get`.
DISPLAY_LENGTH = 60


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
        if report is None or report.state != "Succeeded":
            message = "the Job is complete but its pods' final report is gone: delete the Job to have it made again"
            return Outcome(State("Failed", "ReportMissing", message), report)
        return Outcome(State("Succeeded", "Succeeded", report.message or "the run has succeeded"), report)
    if failed := condition(seen.job, "Failed"):
        reason = (report.reason if report and report.state == "Failed" else "") or failed.get("reason") or "Failed"
        message = (report.message if report and report.state == "Failed" else "") or failed.get("message", "")
        return Outcome(State("Failed", reason, message), report)
    if condition(seen.job, "Suspended"):
        return Outcome(State("Suspended", "Suspended", "the run is suspended"), report)
    return Outcome(_under_way(seen, report), report)


def _under_way(seen: Seen, report: RunReport | None) -> State:
    if trouble := _trouble(seen.pods):
        return State("Pending" if report is None else "Running", *trouble, trouble=True)
    if any(pod.get("status", {}).get("phase") == "Running" for pod in seen.pods):
        return State("Running", "Running", (report.message if report else "") or "the run is under way")
    return State("Pending" if report is None else "Running", "PodsPending", "waiting for the pods to start")


def _trouble(pods: tuple[Object, ...]) -> tuple[str, str] | None:
    """What keeps a pod from starting, in the cluster's own words."""
    for pod in pods:
        status = pod.get("status", {})
        if status.get("phase") != "Pending":
            continue
        for item in status.get("conditions", []):
            if item["type"] == "PodScheduled" and item["status"] == "False":
                return item.get(
                    "reason"
                ) or "Unschedulable", f"pod {pod['metadata']['name']}: {item.get('message', '')}"
        for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
            waiting = container.get("state", {}).get("waiting", {})
            if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
                return waiting["reason"], f"{_pod(pod)}: {waiting.get('message', '')}"
    return None


def _pod(pod: Object) -> str:
    return f"pod {pod['metadata']['name']}"


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
    """Leave the status of a run that is over as it is."""
    return Plan(status=seen.obj["status"])


def stalled(seen: Seen, reason: str, message: str, now: datetime) -> Plan:
    """Nothing can be done until somebody acts."""
    state = State("Pending", reason, message, stalled=True)
    return Plan(status=_kept(seen, state, now), notes=notes(seen, state))


def waiting(seen: Seen, found: Waiting | Broken, waits_for: frozenset[Key], now: datetime) -> Plan:
    """Something that the spec refers to is not there yet, or has failed."""
    state = State("Waiting", found.reason, found.message, stalled=isinstance(found, Broken))
    return Plan(status=_kept(seen, state, now), notes=notes(seen, state), waits_for=waits_for)


def _kept(seen: Seen, state: State, now: datetime) -> dict[str, Any]:
    return {**seen.obj.get("status", {}), **common_status(seen, Outcome(state), now)}


def start(seen: Seen, work: Work, now: datetime) -> Plan:
    """Make the Job and what it needs; what an earlier attempt left under another digest goes."""
    if seen.leftovers:
        state = State("Pending", "Replacing", f"waiting until {', '.join(seen.leftovers)} of an earlier object is gone")
        return Plan(status=_kept(seen, state, now), requeue_after=1.0)
    applied = manifests(seen, work)
    job = applied[-1]
    phase = "Suspended" if job["spec"]["suspend"] else "Pending"
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


def adjustments(seen: Seen, suspend: bool, parallelism: int) -> tuple[Patch, ...]:
    """The mutable fields of the spec, carried over to the Job that runs."""
    if seen.job is None or condition(seen.job, "Complete") or condition(seen.job, "Failed"):
        return ()
    spec = seen.job["spec"]
    body: Object = {}
    queued = bool(seen.job["metadata"].get("labels", {}).get("kueue.x-k8s.io/queue-name"))
    # A queue decides when its Jobs go on; only a pause is ours to order.
    if bool(spec.get("suspend")) != suspend and (suspend or not queued):
        body["suspend"] = suspend
    if spec.get("parallelism") != parallelism:
        body["parallelism"] = parallelism
    if not body:
        return ()
    return (Patch("batch/v1", "Job", seen.job["metadata"]["name"], {"spec": body}),)
