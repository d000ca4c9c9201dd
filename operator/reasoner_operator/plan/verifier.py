"""The plan of a VerifierTraining: train, gate, serve. Called by `plan`; pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from reasoner_api.status import Artifact
from reasoner_api.task import InputArtifact, VerifierTask
from reasoner_api.verifier import VerifierTrainingSpec, VerifierWork
from reasoner_operator import naming
from reasoner_operator.plan import outcome, references, serving, standing, training
from reasoner_operator.plan.job import Work
from reasoner_operator.seen import Object, Plan, Seen, key_of
from reasoner_operator.settings import Settings
from reasoner_operator.status import notes, rounded

#: Status field -> metric of the report.
_COUNTS = {"step": "step", "maxSteps": "max_steps"}
_FIGURES = {
    "loss": "loss",
    "tokensPerSecond": "tokens_per_second",
    "precision": "precision",
    "recall": "recall",
    "baselineAgreement": "baseline_agreement",
}


def plan(seen: Seen, settings: Settings, now: datetime) -> Plan:
    """Make the training Job, say how it stands, and once it has succeeded serve what it made."""
    spec = VerifierTrainingSpec.model_validate(seen.obj["spec"])
    if seen.job is None and not standing.is_over(seen):
        # A profile that is not there shows before anything is waited for.
        training.placed(seen, spec.compute, settings)
        dataset = references.dataset_of(seen, spec.dataset, "verifierData")
        if not isinstance(dataset, InputArtifact):
            return outcome.waiting(seen, dataset, references.keys(spec, seen.namespace), now)
        return outcome.start(seen, work(seen, spec, dataset, settings), now)
    found = standing.observe(seen, 1) if seen.job is not None else standing.remembered(seen)
    model = _model(seen, found)
    agreement = _agreement(seen, found)
    served: tuple[Object, ...] = ()
    if found.state.phase == "Succeeded" and model is not None:
        found, served = serving.serve(seen, spec, serving.Trained(model, agreement, found), settings)
    return Plan(
        status=_status(seen, found, model, bool(served), now),
        apply=served,
        patch=outcome.adjustments(seen, spec.suspend, spec.scheduling, standing.group_size(seen)),
        delete=serving.no_longer_served(seen, served),
        notes=notes(seen, found.state),
        requeue_after=outcome.look_again(seen, found, spec.scheduling, settings.progress_seconds),
        # Their end lets go of what they hold.
        waits_for=frozenset(key_of(run) for run in seen.users),
    )


def work(seen: Seen, spec: VerifierTrainingSpec, dataset: InputArtifact, settings: Settings) -> Work:
    """One pod a node."""
    compute = training.placed(seen, spec.compute, settings)
    topology = training.topology(compute)
    return Work(
        task=VerifierTask(
            namespace=seen.namespace,
            name=seen.name,
            output=f"{spec.storage.uri.rstrip('/')}/{seen.kind.plural}/{seen.namespace}/{seen.name}",
            work=VerifierWork.model_validate({name: getattr(spec, name) for name in VerifierWork.model_fields}),
            dataset=dataset,
            topology=topology,
        ),
        container=training.container("verifier", settings.images.trainer, compute, spec.storage),
        compute=compute,
        scheduling=spec.scheduling,
        pull_policy=settings.image_pull_policy,
        suspend=spec.suspend,
        completions=topology.nodes,
        parallelism=topology.nodes,
        gang=True,
    )


def _model(seen: Seen, found: standing.Outcome) -> Artifact | None:
    if found.report and "model" in found.report.artifacts:
        return found.report.artifacts["model"]
    old = seen.obj.get("status", {}).get("artifacts", {}).get("model")
    return Artifact.model_validate(old) if old else None


def _agreement(seen: Seen, found: standing.Outcome) -> float | None:
    if found.report and "agreement" in found.report.metrics:
        return rounded(found.report.metrics["agreement"])
    old = seen.obj.get("status", {}).get("agreement")
    return None if old is None else float(old)


def _status(seen: Seen, found: standing.Outcome, model: Artifact | None, served: bool, now: datetime) -> dict[str, Any]:
    old = seen.obj.get("status", {})
    status = {key: old[key] for key in (*_COUNTS, *_FIGURES, "lastCheckpoint") if key in old}
    if (report := found.report) is not None:
        status |= {field: int(report.metrics[name]) for field, name in _COUNTS.items() if name in report.metrics}
        figures = {field: rounded(report.metrics.get(name)) for field, name in _FIGURES.items()}
        status |= {field: value for field, value in figures.items() if value is not None}
        if report.last_checkpoint is not None:
            status["lastCheckpoint"] = report.last_checkpoint.wire()
    if (agreement := _agreement(seen, found)) is not None:
        status["agreement"] = agreement
        status["agreementPercent"] = f"{100 * agreement:.1f}%"
    if model is not None:
        status["artifacts"] = {"model": model.wire()}
    if model is not None and served:
        status["readyReplicas"] = serving.ready_replicas(seen, model)
        status["servedModel"] = naming.served_model(seen.name, model.digest)
        if found.state.phase == "Succeeded":
            status["endpoint"] = naming.endpoint_url(seen.namespace, seen.name, model.digest)
    return {**status, **outcome.common_status(seen, found, now)}
