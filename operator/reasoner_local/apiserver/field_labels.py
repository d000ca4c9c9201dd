"""Which fields a field selector may name: the few that Kubernetes indexes for each kind. Used by `lists`."""

from .resources import Resource, ResourceKey

_ALWAYS = frozenset({"metadata.name", "metadata.namespace"})
_REFERENCE = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
#: Beyond those, of the built-in kinds (the field label conversions in k8s.io/kubernetes/pkg/apis).
_BUILTIN: dict[ResourceKey, frozenset[str]] = {
    ("", "pods"): frozenset(
        (
            *("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName"),
            *("spec.hostNetwork", "status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName"),
        )
    ),
    ("", "events"): frozenset(
        (*(f"involvedObject.{part}" for part in _REFERENCE), "reason", "reportingComponent", "source", "type")
    ),
    ("", "nodes"): frozenset({"spec.unschedulable"}),
    ("", "namespaces"): frozenset({"status.phase"}),
    ("", "secrets"): frozenset({"type"}),
    ("", "services"): frozenset({"spec.clusterIP", "spec.type"}),
    ("apps", "replicasets"): frozenset({"status.replicas"}),
    ("batch", "jobs"): frozenset({"status.successful"}),
}


def field_labels(resource: Resource) -> frozenset[str]:
    """The fields that its objects can be selected by; of a custom resource those that its CRD names."""
    if resource.custom is not None:
        return _ALWAYS.union(path.removeprefix(".") for path in resource.custom.selectable)
    return _ALWAYS | _BUILTIN.get(resource.key, frozenset())
