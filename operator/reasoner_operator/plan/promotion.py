"""What a GRPORun has reached -> whether its model is promoted, and what its status says. Called by `grpo`; pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from reasoner_api.evaluation import GRPOEvaluation
from reasoner_api.report import RunReport
from reasoner_operator.plan.standing import Outcome
from reasoner_operator.seen import Seen
from reasoner_operator.status import State, rounded

#: Metrics of the report: accuracy on a benchmark, and the questions asked, by the benchmark's name.
SCORE, QUESTIONS = "benchmark/", "benchmark_questions/"
REASON = "GainTooLow"


def gated(seen: Seen, evaluation: GRPOEvaluation, found: Outcome) -> Outcome:
    """The outcome with `evaluation.minGain` applied: a run that gained less has not succeeded."""
    if found.state.phase != "Succeeded" or (lack := _lack(seen, evaluation, found.report)) is None:
        return found
    return replace(found, state=State("Failed", REASON, f"{lack}: published as artifacts.candidate, not promoted"))


def artifacts(seen: Seen, evaluation: GRPOEvaluation, report: RunReport) -> dict[str, Any]:
    """The published model under the name that it has earned, which is known before the Job has ended."""
    name = "model" if _lack(seen, evaluation, report) is None else "candidate"
    return {name: report.artifacts["model"].wire()}


def _lack(seen: Seen, evaluation: GRPOEvaluation, report: RunReport | None) -> str | None:
    """What the model lacks for its promotion, or None."""
    wanted = evaluation.min_gain
    if wanted is None:
        return None
    status = seen.obj.get("status", {})
    metrics = report.metrics if report is not None else {}
    before = metrics.get("accuracy_before", status.get("accuracyBefore"))
    after = metrics.get("accuracy_after", status.get("accuracyAfter"))
    if before is None or after is None:
        return f"held-out accuracy was not measured; evaluation.minGain is {wanted}"
    gain = after - before
    if gain >= wanted:
        return None
    return (
        f"held-out accuracy went from {before:.4f} to {after:.4f}, a gain of {gain:.4f}; evaluation.minGain is {wanted}"
    )


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
