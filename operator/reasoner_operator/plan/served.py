"""A digest of a verifier -> everything that serves it: who may call it, where it is found, how many there are. Called
by `serving`; pure.

All of it is named after the digest. A verifier that is deleted and trained anew is served beside the old one, which
stays for as long as a GRPORun that began with it runs: the run holds it by an owner reference."""

from __future__ import annotations

from reasoner_api.serving import Autoscaling
from reasoner_operator import naming
from reasoner_operator.plan.server import STARTUP_SECONDS, Served
from reasoner_operator.plan.server_pod import pod_template
from reasoner_operator.seen import Object

ENDED = ("Succeeded", "Failed")


def holders(served: Served) -> list[Object]:
    """The unfinished GRPORuns that refer to the verifier and, where they have begun, have begun with this digest."""
    found = []
    for run in served.seen.users:
        status = run.get("status", {})
        pinned = status.get("lineage", {}).get("verifier")
        if status.get("phase") not in ENDED and pinned in (None, served.model.digest):
            found.append(run)
    return found


def replicas(served: Served) -> int:
    """How many replicas there must be at least."""
    serving = served.serving
    if serving.scale_to_zero and not holders(served):
        return 0
    return serving.autoscaling.min_replicas if serving.autoscaling else serving.replicas


def manifests(served: Served) -> tuple[Object, ...]:
    """Everything, in the order in which it is to be made: no pod before the rule of who may call it."""
    least = replicas(served)
    scaling = served.serving.autoscaling if least else None
    made = (_network_policy(served), _service(served), _disruption_budget(served))
    deployment = _deployment(served, None if scaling else least)
    return (*made, deployment, *([_autoscaler(served, scaling)] if scaling else []))


def _metadata(served: Served) -> Object:
    owners = [naming.owner_reference(served.seen.obj), *map(naming.holder_reference, holders(served))]
    return {
        "name": naming.serve_name(served.seen.name, served.model.digest),
        "namespace": served.seen.namespace,
        "labels": served.labels,
        "annotations": {naming.ANNOTATION_ARTIFACT: served.model.digest},
        "ownerReferences": owners,
    }


def _service(served: Served) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(served),
        "spec": {
            "type": "ClusterIP",
            "selector": served.labels,
            "ports": [{"name": "http", "port": naming.SERVE_PORT, "targetPort": "http"}],
        },
    }


def _network_policy(served: Served) -> Object:
    """Pods of the same namespace may call it, and whom the spec allows; what it calls itself is its own business."""
    peers: list[Object] = [{"podSelector": {}}, *served.serving.allow_from]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(served),
        "spec": {
            "podSelector": {"matchLabels": served.labels},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": peers, "ports": [{"port": "http"}]}],
        },
    }


def _disruption_budget(served: Served) -> Object:
    """Nodes are drained one replica at a time; one that is not ready holds no node up."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _metadata(served),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": served.labels},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def _deployment(served: Served, count: int | None) -> Object:
    """`count` is left out where an autoscaler decides: what we apply would be taken back each time."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(served),
        "spec": {
            **({} if count is None else {"replicas": count}),
            "selector": {"matchLabels": served.labels},
            # A new pod has answered before an old one leaves.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "progressDeadlineSeconds": STARTUP_SECONDS + 300,
            "template": pod_template(served),
        },
    }


def _autoscaler(served: Served, scaling: Autoscaling) -> Object:
    metadata = _metadata(served)
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": metadata["name"]}
    if scaling.provider == "KEDA":
        return _scaled_object(metadata, target, scaling)
    waiting = {"type": "AverageValue", "averageValue": str(scaling.target_queue_length)}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata,
        "spec": {
            "scaleTargetRef": target,
            "minReplicas": scaling.min_replicas,
            "maxReplicas": scaling.max_replicas,
            "metrics": [{"type": "Pods", "pods": {"metric": {"name": scaling.metric}, "target": waiting}}],
        },
    }


def _scaled_object(metadata: Object, target: Object, scaling: Autoscaling) -> Object:
    pods = f'namespace="{metadata["namespace"]}",pod=~"{metadata["name"]}-.+"'
    trigger = {
        "serverAddress": scaling.prometheus_url,
        "query": f"sum(vllm:num_requests_waiting{{{pods}}})",
        "threshold": str(scaling.target_queue_length),
    }
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": metadata,
        "spec": {
            "scaleTargetRef": target,
            "minReplicaCount": scaling.min_replicas,
            "maxReplicaCount": scaling.max_replicas,
            "triggers": [{"type": "prometheus", "metadata": trigger}],
        },
    }
