"""Rebuilds operator/reasoner_local/apiserver/builtin_types.json, the field types of the built-in kinds.

    python tests/support/builtin_types.py

Source: the OpenAPI definitions of Kubernetes 1.36 (Apache-2.0) as packaged by kubernetes-validate, cut down to
the kinds that the embedded API server serves, without descriptions. A test holds the file to this script.
"""

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

RELEASE = "v1.36.0-local"
TARGET = Path(__file__).parents[2] / "operator/reasoner_local/apiserver/builtin_types.json"
API = "io.k8s.api."
SCHEMA = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
ROOTS = [
    *(
        API + "core.v1." + kind
        for kind in [
            "Namespace",
            "Node",
            "Pod",
            "Service",
            "ConfigMap",
            "Secret",
            "Event",
            "ServiceAccount",
            "Endpoints",
            "PersistentVolume",
            "PersistentVolumeClaim",
            "ResourceQuota",
            "LimitRange",
        ]
    ),
    *(API + "apps.v1." + kind for kind in ("Deployment", "StatefulSet", "ReplicaSet", "DaemonSet")),
    *(API + "batch.v1." + kind for kind in ("Job", "CronJob")),
    *(API + "rbac.v1." + kind for kind in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")),
    API + "authorization.v1.SelfSubjectAccessReview",
    API + "authorization.v1.SelfSubjectRulesReview",
    API + "authorization.v1.SubjectAccessReview",
    API + "authentication.v1.SelfSubjectReview",
    API + "authentication.v1.TokenReview",
    API + "autoscaling.v1.Scale",
    API + "autoscaling.v2.HorizontalPodAutoscaler",
    API + "coordination.v1.Lease",
    API + "discovery.v1.EndpointSlice",
    API + "networking.v1.Ingress",
    API + "networking.v1.NetworkPolicy",
    API + "policy.v1.PodDisruptionBudget",
    API + "policy.v1.Eviction",
    API + "scheduling.v1.PriorityClass",
    API + "storage.v1.StorageClass",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
    META + "DeleteOptions",
]


def plain(node: Any) -> Any:
    """`node` without descriptions, and without the "or null" that kubernetes-validate adds to every type."""
    if isinstance(node, list):
        return [plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {
        key: plain(value)
        for key, value in node.items()
        if not (key == "description" and isinstance(value, str)) and key != "x-kubernetes-group-version-kind"
    }
    if isinstance(kept.get("type"), list):
        types = [name for name in kept["type"] if name != "null"]
        kept["type"] = types[0] if len(types) == 1 else types
    if isinstance(kept.get("$ref"), str):
        kept["$ref"] = kept["$ref"].removeprefix("#/$defs/")
    if kept.get("type") == "object" and not kept.keys() & {"properties", "additionalProperties"}:
        kept["x-kubernetes-preserve-unknown-fields"] = True
    return kept


def build() -> str:
    source = files("kubernetes_validate") / "kubernetes-json-schema" / RELEASE / "_definitions.json"
    every = json.loads(source.read_text())["$defs"]
    kept: dict[str, Any] = {}
    todo = list(ROOTS)
    while todo:
        name = todo.pop()
        if name in kept:
            continue
        kept[name] = plain(every[name])
        todo += re.findall(r'"#/\$defs/([^"]+)"', json.dumps(every[name]))
    # These say nothing of themselves in the published definitions: a schema, or a bool, or a list of schemas.
    schema = {key: value for key, value in kept[SCHEMA].items() if key != "type"}
    kept[SCHEMA + "OrBool"] = kept[SCHEMA + "OrArray"] = schema
    return "{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(kept[k])}" for k in sorted(kept)) + "\n}\n"


if __name__ == "__main__":
    TARGET.write_text(build())
