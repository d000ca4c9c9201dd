"""What a GRPORun's report says in figures -> the fields of its status, and Events for what is new among them. Called by
`grpo`; pure."""

from __future__ import annotations

from typing import Any

from reasoner_api.report import RunReport
from reasoner_operator.plan.pods import failures, last_failure
from reasoner_operator.seen import Note, Object, Seen
from reasoner_operator.status import TAKEN_ALONG, final_report, rounded

#: Status field -> metric of the report.
_COUNTS = {"step": "step", "maxSteps": "max_steps"}
_FIGURES = {
    "reward": "reward",
    "accuracy": "accuracy",
    "responseLength": "response_length",
    "kl": "kl",
    "extractionFailures": "extraction_failures",
    "tokensPerSecond": "tokens_per_second",
    "rewardBefore": "reward_before",
    "rewardAfter": "reward_after",
    "accuracyBefore": "accuracy_before",
    "accuracyAfter": "accuracy_after",
}
_SECONDS = {"generation": "generation_seconds", "reward": "reward_seconds", "update": "update_seconds"}
#: The fields of the status that are kept when no pod speaks.
FIELDS = (*_COUNTS, *_FIGURES, "seconds", "rewardText", "restarts", "warnings")


def of_report(report: RunReport) -> dict[str, Any]:
    """The fields that the report has figures for."""
    metrics = report.metrics
    fields: dict[str, Any] = {field: int(metrics[name]) for field, name in _COUNTS.items() if name in metrics}
    fields |= _rounded(_FIGURES, metrics, 4)
    if seconds := _rounded(_SECONDS, metrics, 1):
        fields["seconds"] = seconds
    if report.warnings:
        fields["warnings"] = [item.wire() for item in report.warnings]
    return fields


def reward_text(status: Object) -> dict[str, str]:
    """The reward as a column of `kubectl get` shows it."""
    if "rewardBefore" in status and "rewardAfter" in status:
        return {"rewardText": f"{status['rewardBefore']:.3f} → {status['rewardAfter']:.3f}"}
    return {"rewardText": f"{status['reward']:.3f}"} if "reward" in status else {}


def restarts(seen: Seen) -> dict[str, int]:
    """Failures that the Job has counted."""
    failed = int((seen.job or {}).get("status", {}).get("failed", 0))
    return {"restarts": failed} if failed else {}


def notes(seen: Seen, status: Object, others: tuple[Note, ...]) -> tuple[Note, ...]:
    """The other Events, one for each failure that the run goes on after, and one for each new warning."""
    old = seen.obj.get("status", {})
    found = [
        Note("Warning", item["reason"], item.get("message", ""))
        for item in status.get("warnings", [])
        if item not in old.get("warnings", [])
    ]
    if status.get("restarts", 0) > old.get("restarts", 0):
        found.append(Note("Warning", _reason(seen), f"failure {status['restarts']}: {last_failure(seen.pods)}"))
        # It says what this one does, and which failure it was.
        others = tuple(note for note in others if note.reason != "PodFailed")
    return (*others, *found)


def _reason(seen: Seen) -> str:
    """The last failed pod's own word for it: Hung, StalePolicy, ..."""
    words = (report.reason for pod in failures(seen.pods) if (report := final_report(pod)) is not None)
    return next((word for word in words if word not in ("", "Error", *TAKEN_ALONG)), "PodFailed")


def _rounded(names: dict[str, str], metrics: dict[str, float], digits: int) -> dict[str, float]:
    values = {field: rounded(metrics.get(name), digits) for field, name in names.items()}
    return {field: value for field, value in values.items() if value is not None}
