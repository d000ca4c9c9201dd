"""Reports and Job state -> the status of a custom resource, by kstatus. Called by `plan`; pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from reasoner_api.report import RunReport
from reasoner_api.status import Progress, StageCount, total
from reasoner_operator.naming import MAIN_CONTAINER
from reasoner_operator.seen import Note, Object, Seen

#: Reasons of pods that ended because others did.
TAKEN_ALONG = ("Terminated", "PeerLost")
#: Phases in which nothing more happens by itself.
DONE = {"Succeeded": ("True", "False", "False"), "Failed": ("False", "False", "True")}
UNDER_WAY = ("False", "True", "False")
STALLED = ("False", "False", "True")


@dataclass(frozen=True)
class State:
    """Where an object stands, in the words of its conditions."""

    phase: str
    reason: str
    message: str
    #: A fault that waiting does not mend, while the phase is not Failed: a bad reference, a refused manifest.
    stalled: bool = False
    #: Something keeps the run from going on that may pass by itself: a missing Secret, a full cluster.
    trouble: bool = False


def timestamp(now: datetime) -> str:
    """RFC 3339 in UTC, whole seconds, as Kubernetes writes it."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def conditions(seen: Seen, state: State, now: datetime) -> list[dict[str, Any]]:
    """Ready, Reconciling and Stalled; the transition time moves only with the status."""
    values = STALLED if state.stalled else DONE.get(state.phase, UNDER_WAY)
    if state.phase == "Suspended" and not state.stalled:
        # Paused on purpose: neither ready, nor on its way, nor in trouble.
        values = ("False", "False", "False")
    before = {item["type"]: item for item in seen.obj.get("status", {}).get("conditions", [])}
    result = []
    for kind, value in zip(("Ready", "Reconciling", "Stalled"), values, strict=True):
        old = before.get(kind, {})
        since = old["lastTransitionTime"] if old.get("status") == value else timestamp(now)
        result.append(
            {
                "type": kind,
                "status": value,
                "reason": state.reason,
                "message": state.message,
                "lastTransitionTime": since,
                "observedGeneration": seen.obj["metadata"].get("generation", 0),
            }
        )
    return result


def is_up_to_date(obj: Mapping[str, Any]) -> bool:
    """Whether the status speaks of the present spec. A change that leaves it so is a change of the status: ours."""
    observed = (obj.get("status") or {}).get("observedGeneration")
    return bool(observed == obj["metadata"].get("generation"))


def changed(before: Object | None, after: Object) -> bool:
    """Whether those who wait for an object would see a difference: progress alone is none."""

    def essence(status: Object) -> object:
        conditions = [(item["type"], item["status"], item["reason"]) for item in status.get("conditions", [])]
        return conditions, status.get("phase"), status.get("observedGeneration"), status.get("endpoint")

    return essence(before or {}) != essence(after)


def notes(seen: Seen, state: State) -> tuple[Note, ...]:
    """One Event when the Ready reason changes."""
    before = {item["type"]: item for item in seen.obj.get("status", {}).get("conditions", [])}
    if before.get("Ready", {}).get("reason") == state.reason:
        return ()
    bad = state.stalled or state.trouble or state.phase == "Failed"
    return (Note("Warning" if bad else "Normal", state.reason, state.message),)


def final_report(pod: Object) -> RunReport | None:
    """The report that a pod's main container left at its end, or None."""
    for container in pod.get("status", {}).get("containerStatuses", []):
        if container["name"] != MAIN_CONTAINER:
            continue
        for state in (container.get("state", {}), container.get("lastState", {})):
            if message := state.get("terminated", {}).get("message"):
                return parsed(message)
    return None


def parsed(message: str) -> RunReport | None:
    """A termination message as a report; None for what the kubelet leaves when a program dies without: its log's
    tail."""
    try:
        return RunReport.model_validate_json(message)
    except ValidationError:
        return None


def index_of(pod: Object) -> int:
    """Completion index of a Job's pod."""
    return int(pod["metadata"].get("annotations", {}).get("batch.kubernetes.io/job-completion-index", 0))


def reports(seen: Seen) -> list[RunReport]:
    """The newest report of each completion index, by index."""
    newest: dict[int, RunReport] = {}
    for pod in sorted(seen.pods, key=lambda pod: pod["metadata"].get("creationTimestamp") or ""):
        report = seen.live.get(pod["metadata"]["name"]) or final_report(pod)
        if report is not None:
            newest[index_of(pod)] = report
    return [newest[index] for index in sorted(newest)]


def merged(found: Iterable[RunReport], parts: int) -> RunReport | None:
    """One report for the whole run: the one that speaks for it, else the sum over its `parts` shards."""
    found = list(found)
    if not found:
        return None
    for report in found:
        if report.complete:
            return report
    if parts == 1:
        return _of_a_group(found)
    usages = [report.usage for report in found if report.usage]
    failed = [report for report in found if report.state == "Failed"]
    # One that fails takes the others with it: theirs is not the reason.
    speaker = next((report for report in failed if report.reason not in TAKEN_ALONG), failed[0] if failed else None)
    speaker = speaker or min(found, key=lambda report: report.progress.percent)
    return speaker.model_copy(
        update={
            # Each pod knows how far the whole run is, the latest to look knows best.
            "progress": max(found, key=lambda report: report.progress.percent).progress,
            "stages": _sum_stages(found),
            "usage": total(usages, digits=6) if usages else None,
        }
    )


def _of_a_group(found: list[RunReport]) -> RunReport:
    """The word of the main process, which may be on any node and is the only one that gets on. Before it does, the
    first pod's, with the reason of the one that took it along where that is known: another node, or the server that
    generates for it."""
    running = (report for report in found if report.state == "Running" and report.progress.percent)
    if furthest := max(running, key=lambda report: report.progress.percent, default=None):
        return furthest
    first = found[0]
    if first.state != "Failed" or first.reason not in TAKEN_ALONG:
        return first
    ended = [one for one in found if one.state in ("Failed", "Paused") and one.reason not in TAKEN_ALONG]
    cause = next(iter(ended), first)
    return first.model_copy(update={"state": cause.state, "reason": cause.reason, "message": cause.message})


def _sum_stages(found: list[RunReport]) -> list[StageCount]:
    total: dict[str, StageCount] = {}
    for stage in (stage for report in found for stage in report.stages):
        old = total.get(stage.name, StageCount(name=stage.name))
        reasons = sorted(old.dropped.keys() | stage.dropped.keys())
        total[stage.name] = StageCount(
            name=stage.name,
            rows_in=old.rows_in + stage.rows_in,
            rows_out=old.rows_out + stage.rows_out,
            dropped={reason: old.dropped.get(reason, 0) + stage.dropped.get(reason, 0) for reason in reasons},
        )
    return list(total.values())


def duration(seconds: int) -> str:
    """`2d3h`, `4h5m`, `3m20s`, `12s`: two units at most."""
    units = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
    parts: list[str] = []
    for unit, size in units:
        if seconds >= size or (unit == "s" and not parts):
            parts.append(f"{seconds // size}{unit}")
            seconds %= size
    return "".join(parts[:2])


def progress_text(progress: Progress) -> str:
    """`42%, 3m20s left, step 12/30`: what `kubectl get` shows."""
    parts = [f"{progress.percent}%"]
    if progress.eta_seconds is not None:
        parts.append(f"{duration(progress.eta_seconds)} left")
    if progress.display:
        parts.append(progress.display)
    return ", ".join(parts)


def rounded(value: float | None, digits: int = 4) -> float | None:
    """A figure fit for a status: JSON has no NaN, and noise in the last digits would rewrite the status."""
    return None if value is None or not math.isfinite(value) else round(value, digits)
