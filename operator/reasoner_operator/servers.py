"""What serves verifiers and who needs it, read from the cluster. Called by `reconcile`."""

from __future__ import annotations

import asyncio

from reasoner_api import API_VERSION
from reasoner_api.crd import GRPO, VERIFIER
from reasoner_operator import naming
from reasoner_operator.cluster import Cluster
from reasoner_operator.plan.served import ENDED
from reasoner_operator.seen import Key, Object

KINDS = (
    ("apps/v1", "Deployment"),
    ("v1", "Service"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("policy/v1", "PodDisruptionBudget"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("keda.sh/v1alpha1", "ScaledObject"),
)


async def of(cluster: Cluster, verifier: Key) -> list[Object]:
    """All that serves a verifier of this name, or an earlier one of the name."""
    selector = f"{naming.selector(VERIFIER, verifier.name)},{naming.LABEL_ROLE}={naming.ROLE_SERVE}"
    lists = await asyncio.gather(*(cluster.find(*which, verifier.namespace, selector) for which in KINDS))
    return [item for items in lists for item in items]


async def users(cluster: Cluster, verifier: Key) -> tuple[Object, ...]:
    """The GRPORuns that refer to a verifier."""
    runs = await cluster.find(API_VERSION, GRPO.name, verifier.namespace)
    return tuple(run for run in runs if _verifier_of(run) == verifier.name)


async def held(cluster: Cluster, run: Object) -> tuple[Object, ...]:
    """What a GRPORun that has ended still holds of a verifier whose own object is gone."""
    name, metadata = _verifier_of(run), run["metadata"]
    if name is None or run.get("status", {}).get("phase") not in ENDED:
        return ()
    found = await of(cluster, Key(VERIFIER.name, metadata["namespace"], name))
    return tuple(item for item in found if _holds(metadata["uid"], item["metadata"].get("ownerReferences", [])))


def _holds(uid: str, owners: list[Object]) -> bool:
    """Whether the run is an owner and nobody the controller."""
    return any(owner["uid"] == uid for owner in owners) and not any(owner.get("controller") for owner in owners)


def _verifier_of(run: Object) -> str | None:
    """Name of the VerifierTraining that a GRPORun refers to, if it does."""
    name = (run["spec"].get("verifier") or {}).get("verifierTrainingRef", {}).get("name")
    return None if name is None else str(name)
