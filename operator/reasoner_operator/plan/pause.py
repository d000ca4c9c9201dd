"""A run that has paused itself, for want of its verifier for example -> whether it stays so. Called by `grpo`; pure.

Its pod ends with EXIT_PAUSED, which the Job neither counts nor gives up on; the report says why. The Job is then
suspended, so that its GPUs are free, until something ends the pause: for want of a verifier or the store that may be
time or the verifier's return, for any other reason it is the user, who sets `suspend` and clears it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from reasoner_operator.plan import standing
from reasoner_operator.seen import Object, Seen
from reasoner_operator.status import State, final_report

#: Reasons of pauses that may end by themselves, and the seconds until that is tried: None for as many as the spec says.
PASSING = {"VerifierUnavailable": None, "StoreUnavailable": 300}


def present(seen: Seen) -> Seen:
    """What is seen without the pods that paused before the Job was last resumed: their word is spent."""
    since = (seen.job or {}).get("status", {}).get("startTime") or ""
    return replace(seen, pods=tuple(pod for pod in seen.pods if not (_paused(pod) and _made(pod) < since)))


def state(seen: Seen, found: standing.Outcome, retry_seconds: int, now: datetime) -> State | None:
    """The pause that the run is in or has just asked for; None where it may go on, or somebody else holds it."""
    if seen.obj["spec"].get("suspend") or standing.is_ended(seen.job):
        return None
    if standing.queue_of(seen.job):
        # A queue starts again at once what anybody else suspends: there the pods wait themselves, again and again.
        return None
    if (noted := _noted(seen)) is not None:
        return None if noted.reason in PASSING and _is_over(seen, _pause(noted, retry_seconds), now) else noted
    report = found.report
    resuming = standing.condition(seen.job, "Suspended") is not None
    if report is None or report.state != "Paused" or resuming:
        return None
    return State("Suspended", report.reason, report.message, stalled=True)


def seconds_left(seen: Seen, paused: State, retry_seconds: int, now: datetime) -> float | None:
    """Seconds until a paused run is started again to see whether it can go on; None where only the user ends it."""
    if paused.reason not in PASSING:
        return None
    since = _since(seen) or now
    return max(1.0, (since + timedelta(seconds=_pause(paused, retry_seconds)) - now).total_seconds())


def _pause(paused: State, retry_seconds: int) -> int:
    own = PASSING[paused.reason]
    return retry_seconds if own is None else own


def _noted(seen: Seen) -> State | None:
    stalled = _condition(seen.obj, "Stalled")
    if seen.obj.get("status", {}).get("phase") != "Suspended" or stalled.get("status") != "True":
        return None
    return State("Suspended", stalled["reason"], stalled["message"], stalled=True)


def _is_over(seen: Seen, retry_seconds: int, now: datetime) -> bool:
    """Whether what the run refers to has become Ready since, or enough time has passed to try."""
    since = _since(seen)
    if since is None:
        return True
    ready = [_condition(other or {}, "Ready") for other in seen.references.values()]
    if any(item.get("status") == "True" and _time(item) > since for item in ready):
        return True
    missing = any(item.get("status") != "True" for item in ready)
    return not missing and now >= since + timedelta(seconds=retry_seconds)


def _since(seen: Seen) -> datetime | None:
    stalled = _condition(seen.obj, "Stalled")
    return _time(stalled) if stalled.get("status") == "True" else None


def _condition(obj: Object, kind: str) -> Object:
    return next((item for item in obj.get("status", {}).get("conditions", []) if item["type"] == kind), {})


def _time(item: Object) -> datetime:
    return datetime.fromisoformat(item["lastTransitionTime"])


def _paused(pod: Object) -> bool:
    report = final_report(pod)
    return report is not None and report.state == "Paused"


def _made(pod: Object) -> str:
    return str(pod["metadata"].get("creationTimestamp") or "")
