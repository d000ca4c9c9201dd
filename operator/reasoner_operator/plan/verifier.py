"""The plan of a VerifierTraining: train, gate, serve. Called by `plan`; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reasoner_api.status import Artifact
from reasoner_api.task import InputArtifact, VerifierTask
from reasoner_api.verifier import VerifierTrainingSpec, VerifierWork
from reasoner_operator import naming
from reasoner_operator.plan import outcome, references, serving, standing, training
from reasoner_operator.plan.job import Work
from reasoner_operator.plan.pods import trouble
from reasoner_operator.seen import Object, Plan, Seen, Target
from reasoner_operator.settings import Settings
from reasoner_operator.status import State, notes, rounded

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
        dataset = references.dataset_of(seen, spec.dataset, "verifierData")
        if not isinstance(dataset, InputArtifact):
            return outcome.waiting(seen, dataset, references.keys(spec, seen.namespace), now)
        return outcome.start(seen, work(seen, spec, dataset, settings), now)
    found = standing.observe(seen, 1) if seen.job is not None else _remembered(seen)
    model = _model(seen, found)
    agreement = _agreement(seen, found)
    served: tuple[Object, ...] = ()
    if found.state.phase == "Succeeded" and model is not None:
        found, served = _serve(seen, spec, _Trained(model, agreement, found), settings)
    return Plan(
        status=_status(seen, found, model, bool(served), now),
        apply=served,
        patch=outcome.adjustments(seen, spec.suspend, spec.scheduling),
        delete=() if served else _not_served(seen),
        notes=notes(seen, found.state),
        requeue_after=outcome.look_again(seen, found, spec.scheduling, settings.progress_seconds),
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


@dataclass(frozen=True)
class _Trained:
    """What training has brought, and the outcome that said so."""

    model: Artifact
    agreement: float | None
    found: standing.Outcome


def _serve(
    seen: Seen, spec: VerifierTrainingSpec, trained: _Trained, settings: Settings
) -> tuple[standing.Outcome, tuple[Object, ...]]:
    """The outcome after serving is taken into account, and what serving needs."""
    report = trained.found.report
    if not spec.serving.enabled:
        return trained.found, ()
    wanted = spec.evaluation.min_agreement
    if wanted is not None and (trained.agreement is None or trained.agreement < wanted):
        message = f"held-out agreement {_short_of(wanted, trained.agreement)}: published but not served"
        return standing.Outcome(State("Failed", "AgreementTooLow", message), report), ()
    served = serving.manifests(seen, spec.serving, spec.storage, trained.model, settings)
    if _rolled_out(seen, spec.serving.replicas):
        return trained.found, served
    if found := trouble(seen.servers):
        return standing.Outcome(State("Deploying", *found, trouble=True), report), served
    message = f"{_ready_replicas(seen)} of {spec.serving.replicas} replicas of the verifier are ready"
    return standing.Outcome(State("Deploying", "Deploying", message), report), served


def _short_of(wanted: float, agreement: float | None) -> str:
    if agreement is None:
        return f"was not measured, evaluation.minAgreement is {wanted}"
    return f"is {agreement:.4f}, {wanted - agreement:.4f} below evaluation.minAgreement {wanted}"


def _ready_replicas(seen: Seen) -> int:
    return int((seen.deployment or {}).get("status", {}).get("readyReplicas", 0))


def _rolled_out(seen: Seen, replicas: int) -> bool:
    """Whether the Deployment's controller has seen our last change, and as many replicas of it are ready."""
    if seen.deployment is None:
        return False
    status = seen.deployment.get("status", {})
    observed = status.get("observedGeneration", 0) >= seen.deployment["metadata"].get("generation", 0)
    # Those of an earlier revision are ready, too: they are counted out.
    old = status.get("replicas", 0) - status.get("updatedReplicas", 0)
    return bool(observed and status.get("readyReplicas", 0) - old >= replicas)


def _remembered(seen: Seen) -> standing.Outcome:
    """The outcome of a run whose Job is gone, from the status."""
    status = seen.obj["status"]
    by_type = {item["type"]: item for item in status.get("conditions", [])}
    ready = by_type.get("Ready", {})
    if status.get("artifacts", {}).get("model"):
        said = ready.get("message") if ready.get("reason") == "Succeeded" else None
        return standing.Outcome(State("Succeeded", "Succeeded", said or "the run has succeeded"))
    return standing.Outcome(State("Failed", ready.get("reason", "Failed"), ready.get("message", "")))


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


def _not_served(seen: Seen) -> tuple[Target, ...]:
    """What serving made before it was switched off."""
    targets = [] if seen.deployment is None else [Target("apps/v1", "Deployment", naming.serve_name(seen.name))]
    for item in seen.services:
        if item["metadata"].get("labels", {}).get(naming.LABEL_ROLE) == naming.ROLE_SERVE:
            targets.append(Target("v1", "Service", item["metadata"]["name"]))
    return tuple(targets)


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
    if served:
        status["readyReplicas"] = _ready_replicas(seen)
        status["servedModel"] = seen.name
        if found.state.phase == "Succeeded":
            status["endpoint"] = naming.endpoint_url(seen.namespace, seen.name)
    return {**status, **outcome.common_status(seen, found, now)}
