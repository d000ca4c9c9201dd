"""What a training run publishes at its end, and how a later pod finds it. Called by the `run` and `train` modules of
both kinds; loads no torch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reasoner_api.grpo import Lineage
from reasoner_api.manifest import ArtifactManifest
from reasoner_api.status import Artifact
from reasoner_workloads.common.artifact import find, publish
from reasoner_workloads.common.run import Run

METRICS = "metrics.json"
MODEL = "model"


@dataclass(frozen=True)
class Made:
    """A model about to be published."""

    folder: Path
    metrics: Mapping[str, float]
    inputs: Mapping[str, str]
    """Digest or name of what it was made from, by role."""
    title: str
    notes: str
    """Sentences for the model card."""
    lineage: Lineage | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    """JSON files to lie beside the weights, by name."""


def already_published(this: Run[Any]) -> bool:
    """Report the model of this very task if it is there: a pod that runs again does nothing more."""
    store = this.store
    artifact = find(store, MODEL)
    if artifact is None:
        return False
    kept = json.loads(store.get(f"{MODEL}/{METRICS}"))
    this.reporter.advance(1.0, "published already")
    _report(this, kept["metrics"], artifact, Lineage.model_validate(kept["lineage"]) if kept["lineage"] else None)
    return True


def publish_model(this: Run[Any], made: Made) -> None:
    """Publish the folder as this task's model and report it. Called by the main process alone."""
    lineage = made.lineage.wire() if made.lineage else None
    files = {METRICS: {"metrics": dict(made.metrics), "lineage": lineage}, **made.more}
    for name, value in files.items():
        (made.folder / name).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (made.folder / "README.md").write_text(_card(made), encoding="utf-8")
    about = ArtifactManifest(type="model", files=[], inputs=dict(made.inputs), spec_digest=this.digest)
    artifact = publish(this.store, made.folder, MODEL, about)
    _report(this, made.metrics, artifact, made.lineage)


def _report(this: Run[Any], metrics: Mapping[str, float], artifact: Artifact, lineage: Lineage | None) -> None:
    complete = os.environ.get("RANK", "0") == "0"
    this.reporter.update(
        metrics=dict(metrics),
        artifacts={"model": artifact},
        lineage=lineage,
        message=f"model published at {artifact.uri}",
        complete=complete,
    )


def _card(made: Made) -> str:
    """The model card."""
    figures = "\n".join(f"| {name} | {value:.6g} |" for name, value in sorted(made.metrics.items()))
    origins = "\n".join(f"| {role} | `{name}` |" for role, name in sorted(made.inputs.items()))
    return (
        f"# {made.title}\n\n{made.notes}\n\n"
        f"## Figures\n\n| metric | value |\n|---|---|\n{figures}\n\n"
        f"## Made from\n\n| role | digest or name |\n|---|---|\n{origins}\n"
    )
