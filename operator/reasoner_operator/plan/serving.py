"""Whether a trained verifier is served, and how that stands. Called by `verifier`; pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reasoner_api.status import Artifact
from reasoner_api.verifier import VerifierTrainingSpec
from reasoner_operator import naming
from reasoner_operator.plan import standing
from reasoner_operator.plan.pods import complaint, trouble
from reasoner_operator.plan.served import manifests, replicas
from reasoner_operator.plan.server import Served
from reasoner_operator.plan.standing import Outcome
from reasoner_operator.seen import Object, Seen, Target
from reasoner_operator.settings import Settings
from reasoner_operator.status import State


@dataclass(frozen=True)
class Trained:
    """What training has brought, and the outcome that said so."""

    model: Artifact
    agreement: float | None
    found: Outcome


def serve(
    seen: Seen, spec: VerifierTrainingSpec, trained: Trained, settings: Settings
) -> tuple[Outcome, tuple[Object, ...]]:
    """The outcome after serving is taken into account, and what serving needs; nothing where it is switched off or
    the verifier does not agree with its teacher often enough."""
    found = trained.found
    if not spec.serving.enabled:
        return found, ()
    wanted = spec.evaluation.min_agreement
    if wanted is not None and (trained.agreement is None or trained.agreement < wanted):
        message = f"held-out agreement {_short_of(wanted, trained.agreement)}: published but not served"
        return replace(found, state=State("Failed", "AgreementTooLow", message)), ()
    served = Served(seen, spec.serving, spec.storage, trained.model, settings)
    made, least = manifests(served), replicas(served)
    if _rolled_out(deployment(seen, trained.model), least):
        if least == 0 and spec.serving.scale_to_zero:
            message = f"{found.state.message}; scaled to zero until a GRPORun refers to it"
            found = replace(found, state=replace(found.state, message=message))
        return found, made
    if problem := trouble(_pods(seen, trained.model)) or _refused(seen, trained.model) or complaint(seen.complaints):
        return replace(found, state=State("Deploying", *problem, trouble=True)), made
    message = f"{ready_replicas(seen, trained.model)} of {least} replicas of the verifier are ready"
    return replace(found, state=State("Deploying", "Deploying", message)), made


def no_longer_served(seen: Seen, made: tuple[Object, ...]) -> tuple[Target, ...]:
    """What serving made before the spec changed."""
    wanted = {(item["kind"], item["metadata"]["name"]) for item in made}
    return tuple(
        Target(item["apiVersion"], item["kind"], item["metadata"]["name"])
        for item in seen.serving
        if (item["kind"], item["metadata"]["name"]) not in wanted
    )


def deployment(seen: Seen, model: Artifact) -> Object | None:
    """The Deployment of this digest, if it has been made."""
    name = naming.serve_name(seen.name, model.digest)
    found = (item for item in seen.serving if item["kind"] == "Deployment" and item["metadata"]["name"] == name)
    return next(found, None)


def ready_replicas(seen: Seen, model: Artifact) -> int:
    """Replicas of this digest that answer."""
    return int((deployment(seen, model) or {}).get("status", {}).get("readyReplicas", 0))


def _pods(seen: Seen, model: Artifact) -> tuple[Object, ...]:
    digest = naming.short(model.digest)
    return tuple(pod for pod in seen.servers if pod["metadata"].get("labels", {}).get(naming.LABEL_ARTIFACT) == digest)


def _refused(seen: Seen, model: Artifact) -> tuple[str, str] | None:
    """Why the Deployment gets no pods (a quota, a security policy): (reason, message)."""
    found = standing.condition(deployment(seen, model), "ReplicaFailure")
    return (found.get("reason") or "ReplicaFailure", found.get("message", "")) if found else None


def _short_of(wanted: float, agreement: float | None) -> str:
    if agreement is None:
        return f"was not measured, evaluation.minAgreement is {wanted}"
    return f"is {agreement:.4f}, {wanted - agreement:.4f} below evaluation.minAgreement {wanted}"


def _rolled_out(found: Object | None, least: int) -> bool:
    """Whether the Deployment's controller has seen our last change, and as many replicas of it are ready."""
    if found is None:
        return False
    status = found.get("status", {})
    observed = status.get("observedGeneration", 0) >= found["metadata"].get("generation", 0)
    # Those of an earlier revision are ready, too: they are counted out.
    old = status.get("replicas", 0) - status.get("updatedReplicas", 0)
    return bool(observed and status.get("readyReplicas", 0) - old >= least)
