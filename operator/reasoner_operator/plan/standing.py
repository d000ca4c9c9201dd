"""The Job and its pods -> how the run stands. Called by the kinds' plans and by `outcome`; pure."""

from __future__ import annotations

from dataclasses import dataclass

from reasoner_api.report import RunReport
from reasoner_operator.plan.job import QUEUE_LABEL
from reasoner_operator.plan.pods import complaint, last_failure, trouble
from reasoner_operator.seen import Object, Seen
from reasoner_operator.status import State, merged, reports


@dataclass(frozen=True)
class Outcome:
    """How the run stands, and what its pods say."""

    state: State
    report: RunReport | None = None


def condition(obj: Object | None, kind: str) -> Object | None:
    """The condition of an object if it is True."""
    for item in (obj or {}).get("status", {}).get("conditions", []):
        if item["type"] == kind and item["status"] == "True":
            return dict(item)
    return None


def is_ended(job: Object | None) -> bool:
    """Whether a Job is over, either way."""
    return bool(condition(job, "Complete") or condition(job, "Failed"))


def group_size(seen: Seen) -> int | None:
    """How many pods run side by side where they need each other: all of the Job's."""
    completions: int | None = (seen.job or {"spec": {}})["spec"].get("completions")
    return completions


def is_short_of_pods(job: Object, pods: tuple[Object, ...]) -> bool:
    """Whether a Job that is at work has fewer pods than it wants."""
    spec = job["spec"]
    if is_ended(job) or spec.get("suspend"):
        return False
    left = spec.get("completions", 1) - job.get("status", {}).get("succeeded", 0)
    alive = [pod for pod in pods if pod.get("status", {}).get("phase") in ("Pending", "Running")]
    return bool(len(alive) < min(spec.get("parallelism", 1), left))


def is_over(seen: Seen) -> bool:
    """Whether the run has ended before and its Job is gone (ttlSecondsAfterFinished): it is not run again."""
    return seen.job is None and bool(seen.obj.get("status", {}).get("completionTime"))


def remembered(seen: Seen) -> Outcome:
    """The outcome of a run whose Job is gone, from what the status tells of it."""
    status = seen.obj["status"]
    ready: Object = next((item for item in status.get("conditions", []) if item["type"] == "Ready"), {})
    published = status.get("artifacts", {})
    if published.get("model") or published.get("dataset"):
        said = ready.get("message") if ready.get("reason") == "Succeeded" else None
        return Outcome(State("Succeeded", "Succeeded", said or "the run has succeeded"))
    return Outcome(State("Failed", ready.get("reason", "Failed"), ready.get("message", "")))


def observe(seen: Seen, parts: int) -> Outcome:
    """How the Job stands. `parts`: pods that each report on a part of the work."""
    report = merged(reports(seen), parts)
    if condition(seen.job, "Complete"):
        if report is not None and report.state == "Succeeded":
            return Outcome(State("Succeeded", "Succeeded", report.message or "the run has succeeded"), report)
        if seen.obj.get("status", {}).get("artifacts"):
            # The pods are gone (their node, perhaps), but what they published was noted before.
            return Outcome(_noted(seen, "Succeeded") or State("Succeeded", "Succeeded", "the run has succeeded"))
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
    if cause := last_failure(seen.pods):
        return State("Failed", reason, f"{message}: {cause}")
    # Pods go before their Job does; what they said was noted.
    return _noted(seen, "Failed") or State("Failed", reason, message)


def _noted(seen: Seen, phase: str) -> State | None:
    """How the run ended by its status, if it says that it ended so."""
    status = seen.obj.get("status", {})
    for item in status.get("conditions", []):
        if item["type"] == "Ready" and status.get("phase") == phase:
            return State(phase, item["reason"], item["message"])
    return None


def _paused(seen: Seen) -> State:
    queue = queue_of(seen.job)
    if queue and not seen.obj["spec"].get("suspend"):
        return State("Pending", "Queued", f"waiting until the queue {queue!r} admits Job {_name(seen.job)}")
    return State("Suspended", "Suspended", "paused; set spec.suspend to false to go on")


def _under_way(seen: Seen, report: RunReport | None) -> State:
    phase = "Pending" if report is None else "Running"
    if found := trouble(seen.pods) or complaint(seen.complaints):
        return State(phase, *found, trouble=True)
    phases = {pod.get("status", {}).get("phase") for pod in seen.pods}
    # Those that have ended well are followed by the next shards, or by the Job's own end.
    if "Running" in phases or phases == {"Succeeded"}:
        # A program that has just failed says so while its pod still runs; what comes of it is not known yet.
        message = report.message if report is not None and report.state != "Failed" else ""
        return State("Running", "Running", message or "the run is under way")
    if "Pending" not in phases and (cause := last_failure(seen.pods)):
        return State(
            phase, "PodFailed", f"{cause}; the Job tries again if scheduling.maxRestarts lets it", trouble=True
        )
    return State(phase, "PodsPending", f"waiting for the pods of Job {_name(seen.job)} to start")


def queue_of(job: Object | None) -> str:
    """The Kueue queue that a Job is in, if any."""
    return str((job or {"metadata": {}})["metadata"].get("labels", {}).get(QUEUE_LABEL, ""))


def _name(obj: Object | None) -> str:
    return str((obj or {"metadata": {"name": ""}})["metadata"]["name"])
