"""The table of built-in resource types. Read once, when a server is made."""

from .field_types import definition
from .resources import Resource

_APPS_SCALED = frozenset({"status", "scale"})
_NONE: frozenset[str] = frozenset()
_STATUS = frozenset({"status"})
_ALL = ("all",)
_API = "io.k8s.api."

# group, version, plural, kind, short names, categories, subresources
_NAMESPACED: list[tuple[str, str, str, str, tuple[str, ...], tuple[str, ...], frozenset[str]]] = [
    ("", "v1", "configmaps", "ConfigMap", ("cm",), (), _NONE),
    ("", "v1", "endpoints", "Endpoints", ("ep",), (), _NONE),
    ("", "v1", "events", "Event", ("ev",), (), _NONE),
    ("", "v1", "limitranges", "LimitRange", ("limits",), (), _NONE),
    ("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", ("pvc",), (), _STATUS),
    ("", "v1", "pods", "Pod", ("po",), _ALL, frozenset({"status", "log", "proxy", "eviction"})),
    ("", "v1", "resourcequotas", "ResourceQuota", ("quota",), (), _STATUS),
    ("", "v1", "secrets", "Secret", (), (), _NONE),
    ("", "v1", "serviceaccounts", "ServiceAccount", ("sa",), (), frozenset({"token"})),
    ("", "v1", "services", "Service", ("svc",), _ALL, _STATUS),
    ("apps", "v1", "daemonsets", "DaemonSet", ("ds",), _ALL, _STATUS),
    ("apps", "v1", "deployments", "Deployment", ("deploy",), _ALL, _APPS_SCALED),
    ("apps", "v1", "replicasets", "ReplicaSet", ("rs",), _ALL, _APPS_SCALED),
    ("apps", "v1", "statefulsets", "StatefulSet", ("sts",), _ALL, _APPS_SCALED),
    ("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", ("hpa",), _ALL, _STATUS),
    ("batch", "v1", "cronjobs", "CronJob", ("cj",), _ALL, _STATUS),
    ("batch", "v1", "jobs", "Job", (), _ALL, _STATUS),
    ("coordination.k8s.io", "v1", "leases", "Lease", (), (), _NONE),
    ("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", (), (), _NONE),
    ("networking.k8s.io", "v1", "ingresses", "Ingress", ("ing",), (), _STATUS),
    ("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", ("netpol",), (), _NONE),
    ("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", ("pdb",), (), _STATUS),
    ("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", (), (), _NONE),
    ("rbac.authorization.k8s.io", "v1", "roles", "Role", (), (), _NONE),
]
_CLUSTER: list[tuple[str, str, str, str, tuple[str, ...], tuple[str, ...], frozenset[str]]] = [
    ("", "v1", "namespaces", "Namespace", ("ns",), (), frozenset({"status", "finalize"})),
    ("", "v1", "nodes", "Node", ("no",), (), _STATUS),
    ("", "v1", "persistentvolumes", "PersistentVolume", ("pv",), (), _STATUS),
    ("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", (), (), _NONE),
    ("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", (), (), _NONE),
    ("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", ("pc",), (), _NONE),
    ("storage.k8s.io", "v1", "storageclasses", "StorageClass", ("sc",), (), _NONE),
    (
        "apiextensions.k8s.io",
        "v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        ("crd", "crds"),
        ("api-extensions",),
        _STATUS,
    ),
]
# Kinds that are asked, not kept: POST gives an answer.
_REVIEWS = [
    ("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview"),
    ("authentication.k8s.io", "v1", "tokenreviews", "TokenReview"),
    ("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    ("authorization.k8s.io", "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview"),
    ("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview"),
]


def _type_name(group: str, version: str, kind: str) -> str:
    if group == "apiextensions.k8s.io":
        return f"io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.{version}.{kind}"
    short = group.split(".")[0] or "core"
    return f"{_API}{short}.{version}.{kind}"


def builtin_resources() -> list[Resource]:
    """Every built-in resource type."""
    made = [
        Resource(
            group,
            version,
            plural,
            kind,
            namespaced=rows is _NAMESPACED,
            short_names=short,
            categories=categories,
            subresources=subresources,
            singular=kind.lower(),
            types=definition(_type_name(group, version, kind)),
        )
        for rows in (_NAMESPACED, _CLUSTER)
        for group, version, plural, kind, short, categories, subresources in rows
    ]
    made += [
        Resource(
            group,
            version,
            plural,
            kind,
            namespaced=False,
            singular=kind.lower(),
            subresources=_NONE,
            verbs=("create",),
            types=definition(_type_name(group, version, kind)),
        )
        for group, version, plural, kind in _REVIEWS
    ]
    return made
