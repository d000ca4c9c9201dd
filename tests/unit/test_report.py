"""The word a pod leaves: it must be whole however much there is to say, or the operator reads nothing of it."""

from __future__ import annotations

from reasoner_api.report import MAX_TERMINATION_BYTES, RunReport
from reasoner_api.status import Artifact, Warned

MODEL = {"model": Artifact(uri="s3://bucket/" + "x" * 200, digest=f"sha256:{'0' * 64}")}


def left(report: RunReport) -> RunReport:
    """The report as it is read again."""
    text = report.termination_message()
    assert len(text.encode()) <= MAX_TERMINATION_BYTES
    return RunReport.model_validate_json(text)


def test_what_fits_is_left_as_it_is() -> None:
    report = RunReport(state="Succeeded", message="done", metrics={"step": 4.0}, artifacts=MODEL)
    assert left(report) == report


def test_a_long_message_is_cut_and_all_else_stays() -> None:
    report = RunReport(state="Failed", reason="Error", message="é" * 9000, metrics={"step": 4.0}, artifacts=MODEL)
    found = left(report)
    assert found.message and set(found.message) == {"é"}
    assert found.model_copy(update={"message": report.message}) == report


def test_then_the_warnings_go_and_the_figures_named_last() -> None:
    metrics = {"accuracy_before": 0.1, "accuracy_after": 0.2}
    metrics |= {f"benchmark/{'b' * 60}{number}": 0.123456789 for number in range(64)}
    warnings = [Warned(reason="CheckpointDamaged", message="w" * 2000)] * 5
    found = left(RunReport(state="Succeeded", message="m", metrics=metrics, warnings=warnings, artifacts=MODEL))
    assert found.warnings == []
    assert found.artifacts == MODEL
    assert found.metrics["accuracy_after"] == 0.2
    assert len(metrics) > len(found.metrics) > 32
    assert found.metrics.items() <= metrics.items()
