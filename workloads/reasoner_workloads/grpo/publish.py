"""What a run leaves: the model with its card, its figures and the report. Called by `train`'s main process; loads no
torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reasoner_api.grpo import Lineage
from reasoner_api.task import GRPOTask
from reasoner_workloads.common.run import Run
from reasoner_workloads.grpo import examples
from reasoner_workloads.grpo.report import Findings, make_report
from reasoner_workloads.training.attempts import Attempts
from reasoner_workloads.training.outcome import Made, publish_model


@dataclass(frozen=True)
class Trained:
    """A policy that is trained and measured."""

    folder: Path
    """Its weights and tokenizer."""
    figures: Mapping[str, float]
    """By the names of the report."""
    measured: dict[int, dict[str, float]]
    """Measurements by step."""
    log: list[Any]
    """The trainer's."""
    lineage: Lineage


def publish(this: Run[GRPOTask], trained: Trained) -> None:
    """Write the report, publish the folder, and report it."""
    made = _made(this.task, trained)
    findings = Findings(
        this.task.name, this.task.work.base_model, made.inputs["verifier"], trained.log, dict(trained.figures),
        trained.measured, Attempts(this.store).all(), examples.read(this.store),
    )  # fmt: skip
    (trained.folder / "report.html").write_text(make_report(findings), encoding="utf-8")
    publish_model(this, made)
    this.reporter.advance(1.0, "published")


def _made(task: GRPOTask, trained: Trained) -> Made:
    verifier, lineage = task.verifier, trained.lineage
    judge = "math-verify" if verifier is None else verifier.digest or f"{verifier.model} at {verifier.endpoint}"
    return Made(
        folder=trained.folder,
        metrics=trained.figures,
        inputs={"dataset": str(lineage.dataset), "base_model": str(lineage.base_model), "verifier": judge},
        title=f"Reasoning model {task.name}",
        notes="Trained by GRPO with the reward of an answer verifier. `reward_before` and `reward_after` are mean "
        "rewards on held-out questions, judged by that verifier. `report.html` shows how it came about.",
        lineage=lineage,
    )
