"""Where objects live in the API. Used by `cluster`, `lease` and `progress`; pure."""

from __future__ import annotations

from urllib.parse import quote

#: Plural of every kind that the operator touches.
PLURALS = {
    "CurationJob": "curationjobs",
    "VerifierTraining": "verifiertrainings",
    "GRPORun": "grporuns",
    "ConfigMap": "configmaps",
    "Service": "services",
    "Pod": "pods",
    "Event": "events",
    "Job": "jobs",
    "Deployment": "deployments",
    "NetworkPolicy": "networkpolicies",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "HorizontalPodAutoscaler": "horizontalpodautoscalers",
    "ScaledObject": "scaledobjects",
    "Lease": "leases",
}


def path_of(api_version: str, kind: str, namespace: str | None, name: str | None = None) -> str:
    """Path of an object, or of a collection; of all namespaces where that is None."""
    root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}{scope}/{PLURALS[kind]}" + (f"/{quote(name, safe=':')}" if name else "")
