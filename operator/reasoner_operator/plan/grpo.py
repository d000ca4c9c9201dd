"""The plan of a GRPORun. Called by `plan`; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reasoner_api.grpo import GRPORunSpec, GRPOWork
from reasoner_api.task import GRPOTask, InputArtifact, VerifierEndpoint
from reasoner_operator.plan import outcome, references, standing, training
from reasoner_operator.plan.job import Work
from reasoner_operator.seen import Plan, Seen
from reasoner_operator.settings import Settings
from reasoner_operator.status import notes, rounded

#: Status field -> metric of the report.
_COUNTS = {"step": "step", "maxSteps": "max_steps"}
_FIGURES = {
    "reward": "reward",
    "accuracy": "accuracy",
    "responseLength": "response_length",
    "kl": "kl",
    "rewardBefore": "reward_before",
    "rewardAfter": "reward_after",
}
_KEPT = (*_COUNTS, *_FIGURES, "rewardText", "lastCheckpoint", "artifacts", "lineage")


def plan(seen: Seen, settings: Settings, now: datetime) -> Plan:
    """Wait for dataset and verifier, make the training Job, say how it stands."""
    spec = GRPORunSpec.model_validate(seen.obj["spec"])
    if standing.is_over(seen):
        return outcome.finished(seen)
    if seen.job is None:
        dataset = references.dataset_of(seen, spec.dataset, "dataset")
        verifier = references.verifier_of(seen, spec.verifier)
        keys = references.keys(spec, seen.namespace)
        if isinstance(dataset, references.Waiting | references.Broken):
            return outcome.waiting(seen, dataset, keys, now)
        if isinstance(verifier, references.Waiting | references.Broken):
            return outcome.waiting(seen, verifier, keys, now)
        return outcome.start(seen, work(seen, spec, _Inputs(dataset, verifier), settings), now)
    found = standing.observe(seen, 1)
    return Plan(
        status=_status(seen, found, now),
        patch=outcome.adjustments(seen, spec.suspend, spec.scheduling),
        notes=notes(seen, found.state),
        requeue_after=outcome.look_again(seen, found, spec.scheduling, settings.progress_seconds),
    )


@dataclass(frozen=True)
class _Inputs:
    """What the run stands on, resolved."""

    dataset: InputArtifact
    verifier: VerifierEndpoint | None


def work(seen: Seen, spec: GRPORunSpec, inputs: _Inputs, settings: Settings) -> Work:
    """One pod a node."""
    compute = training.placed(seen, spec.compute, settings)
    topology = training.topology(compute)
    return Work(
        task=GRPOTask(
            namespace=seen.namespace,
            name=seen.name,
            output=f"{spec.storage.uri.rstrip('/')}/{seen.kind.plural}/{seen.namespace}/{seen.name}",
            work=GRPOWork.model_validate({name: getattr(spec, name) for name in GRPOWork.model_fields}),
            dataset=inputs.dataset,
            verifier=inputs.verifier,
            topology=topology,
        ),
        container=training.container("grpo", settings.images.trainer, compute, spec.storage),
        compute=compute,
        scheduling=spec.scheduling,
        pull_policy=settings.image_pull_policy,
        suspend=spec.suspend,
        completions=topology.nodes,
        parallelism=topology.nodes,
        gang=True,
    )


def _status(seen: Seen, found: standing.Outcome, now: datetime) -> dict[str, Any]:
    old = seen.obj.get("status", {})
    status = {key: old[key] for key in _KEPT if key in old}
    if (report := found.report) is not None:
        metrics = report.metrics
        status |= {field: int(metrics[name]) for field, name in _COUNTS.items() if name in metrics}
        figures = {field: rounded(metrics.get(name)) for field, name in _FIGURES.items()}
        status |= {field: value for field, value in figures.items() if value is not None}
        if report.last_checkpoint is not None:
            status["lastCheckpoint"] = report.last_checkpoint.wire()
        if "model" in report.artifacts:
            status["artifacts"] = {"model": report.artifacts["model"].wire()}
        if report.lineage is not None:
            status["lineage"] = report.lineage.wire()
    if "rewardBefore" in status and "rewardAfter" in status:
        status["rewardText"] = f"{status['rewardBefore']:.3f} → {status['rewardAfter']:.3f}"
    elif "reward" in status:
        status["rewardText"] = f"{status['reward']:.3f}"
    return {**status, **outcome.common_status(seen, found, now)}
