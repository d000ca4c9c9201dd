"""What a spec refers to -> the artifact or endpoint behind it, or what is waited for. Called by the kinds' plans
and, for the keys, by `reconcile`; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reasoner_api.common import DatasetRef, VerifierPrompt
from reasoner_api.crd import CURATION, VERIFIER
from reasoner_api.grpo import GRPORunSpec
from reasoner_api.reward import VerifierRef
from reasoner_api.task import InputArtifact, VerifierEndpoint
from reasoner_operator.seen import Key, Object, Seen
from reasoner_operator.status import is_up_to_date


@dataclass(frozen=True)
class Waiting:
    """The object is not there or not done yet."""

    key: Key
    reason: str
    message: str


@dataclass(frozen=True)
class Broken:
    """The object is there and will never do; somebody must act."""

    key: Key
    reason: str
    message: str


def keys(spec: object, namespace: str) -> frozenset[Key]:
    """The objects that a spec refers to."""
    found = set()
    dataset = getattr(spec, "dataset", None)
    if isinstance(dataset, DatasetRef) and dataset.curation_job_ref:
        found.add(Key(CURATION.name, namespace, dataset.curation_job_ref.name))
    if isinstance(spec, GRPORunSpec) and spec.verifier.verifier_training_ref:
        found.add(Key(VERIFIER.name, namespace, spec.verifier.verifier_training_ref.name))
    return frozenset(found)


def dataset_of(
    seen: Seen, ref: DatasetRef, artifact: Literal["dataset", "verifierData"]
) -> InputArtifact | Waiting | Broken:
    """The artifact that a dataset reference means: for a CurationJob the questions or the verdicts."""
    if ref.curation_job_ref is None:
        return InputArtifact.model_validate({"uri": ref.uri, "digest": ref.digest})
    key = Key(CURATION.name, seen.namespace, ref.curation_job_ref.name)
    other = seen.references.get(key)
    if problem := _unfinished(key, other):
        return problem
    published = (other or {})["status"].get("artifacts", {}).get(artifact)
    if published is None:
        return Broken(key, "ArtifactMissing", f"{key.kind} {key.name!r} has published no {artifact}")
    return InputArtifact(uri=published["uri"], digest=published["digest"])


def verifier_of(seen: Seen, ref: VerifierRef) -> VerifierEndpoint | Waiting | Broken | None:
    """The endpoint that a verifier reference means; None where rules judge."""
    if ref.rules is not None:
        return None
    if ref.verifier_training_ref is None:
        return VerifierEndpoint(
            endpoint=ref.endpoint or "", model=ref.model or "", prompt=ref.prompt or VerifierPrompt(), api=ref.api
        )
    key = Key(VERIFIER.name, seen.namespace, ref.verifier_training_ref.name)
    other = seen.references.get(key)
    if other is not None and not other["spec"].get("serving", {}).get("enabled", True):
        return Broken(key, "VerifierNotServed", f"{key.kind} {key.name!r} has serving.enabled false: set it to true")
    if problem := _unfinished(key, other):
        return problem
    other = other or {}
    status = other["status"]
    if not status.get("readyReplicas"):
        message = f"waiting for a replica of {key.kind} {key.name!r}, which is scaled to zero"
        return Waiting(key, "VerifierScaledToZero", message)
    return VerifierEndpoint(
        endpoint=status["endpoint"],
        model=status["servedModel"],
        prompt=VerifierPrompt.model_validate(other["spec"].get("prompt", {})),
        digest=status["artifacts"]["model"]["digest"],
    )


def _unfinished(key: Key, other: Object | None) -> Waiting | Broken | None:
    """Why the object cannot be used yet, or None when it is Ready."""
    if other is None:
        return Waiting(key, "ReferenceNotFound", f"waiting for {key.kind} {key.name!r}, which does not exist yet")
    status = other.get("status", {})
    by_type = {item["type"]: item for item in status.get("conditions", [])}
    if by_type.get("Ready", {}).get("status") == "True":
        if is_up_to_date(other):
            return None
        # For example a verifier that was Ready without being served, and has just been told to serve.
        message = f"waiting for {key.kind} {key.name!r}, whose status does not speak of its present spec yet"
        return Waiting(key, "ReferenceNotReady", message)
    if status.get("phase") == "Failed":
        reason = by_type.get("Ready", {}).get("message", "")
        return Broken(key, "ReferenceFailed", f"{key.kind} {key.name!r} has failed: {reason}")
    phase = status.get("phase") or "Pending"
    return Waiting(key, "ReferenceNotReady", f"waiting for {key.kind} {key.name!r} to become Ready (now {phase})")
