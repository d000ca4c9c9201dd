"""What a GRPORun has reached -> whether its model is promoted, and what its status says. Called by `grpo`; pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from reasoner_api.evaluation import GRPOEvaluation
from reasoner_api.report import RunReport
from reasoner_api.status import Artifact
from reasoner_operator.plan.standing import Outcome
from reasoner_operator.seen import Seen
from reasoner_operator.status import State, rounded

#: Metrics of the report: accuracy on a benchmark, and the questions asked, by the benchmark's name.
SCORE, QUESTIONS = "benchmark/", "benchmark_questions/"
REASON = "GainTooLow"


def gated(seen: Seen, evaluation: GRPOEvaluation, found: Outcome) -> Outcome:
    """The outcome with `evaluation.minGain` applied: a run that gained less has not succeeded."""
    wanted = evaluation.min_gain
    if wanted is None or found.state.phase != "Succeeded":
        return found
    status = seen.obj.get("status", {})
    metrics = found.report.metrics if found.report is not None else {}
    before = metrics.get("accuracy_before", status.get("accuracyBefore"))
    after = metrics.get("accuracy_after", status.get("accuracyAfter"))
    if before is not None and after is not None and after - before >= wanted:
        return found
    if before is None or after is None:
        figures = "was not measured"
    else:
        figures = f"went from {before:.4f} to {after:.4f}, a gain of {after - before:.4f}"
    message = (
        f"held-out accuracy {figures}; evaluation.minGain is {wanted}: published as artifacts.candidate, not promoted"
    )
    return replace(found, state=State("Failed", REASON, message))


def artifacts(found: Outcome, model: Artifact) -> dict[str, Any]:
    """The published model under the name that it has earned."""
    return {"candidate" if found.state.reason == REASON else "model": model.wire()}


def scores(report: RunReport) -> list[dict[str, Any]]:
    """What was reached on the benchmarks, by name."""
    found = []
    for metric, accuracy in sorted(report.metrics.items()):
        if metric.startswith(SCORE):
            name = metric.removeprefix(SCORE)
            questions = report.metrics.get(f"{QUESTIONS}{name}")
            score = {"name": name, "accuracy": rounded(accuracy)}
            found.append(score if questions is None else {**score, "questions": int(questions)})
    return found
