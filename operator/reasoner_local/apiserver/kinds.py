"""What the built-in kinds add to plain storage: defaults, validation, and what may not change.

One `Kind` per resource type, looked up by `writes`. Kinds without an entry are stored as they come.
"""

import base64
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from .crds import default_crd
from .errors import FieldProblem, bad_value, forbidden_field
from .kinds_batch import default_job, job_change_problems, job_problems, label_job
from .kinds_pod import default_pod, default_pod_spec, pod_change_problems, pod_spec_problems
from .metadata_check import label_problems
from .objects import Obj, dig, labels_of
from .resources import ResourceKey


def _nothing(obj: Obj) -> None:
    del obj


def _no_problems(obj: Obj) -> Iterable[FieldProblem]:
    del obj
    return ()


def _no_change_problems(old: Obj, new: Obj) -> Iterable[FieldProblem]:
    del old, new
    return ()


@dataclass(frozen=True)
class Kind:
    """The special treatment of one kind. `default` and `on_create` change the object in place."""

    default: Callable[[Obj], None] = _nothing
    on_create: Callable[[Obj], None] = _nothing
    problems: Callable[[Obj], Iterable[FieldProblem]] = _no_problems
    change_problems: Callable[[Obj, Obj], Iterable[FieldProblem]] = _no_change_problems
    has_generation: bool = False


def _immutable_data(old: Obj, new: Obj) -> Iterator[FieldProblem]:
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        yield forbidden_field("immutable", "field is immutable when `immutable` is set")
    for name in ("data", "binaryData"):
        if (old.get(name) or {}) != (new.get(name) or {}):
            yield forbidden_field(name, "field is immutable when `immutable` is set")


_DATA_LIMIT = 1024 * 1024


def _data_problems(obj: Obj) -> Iterator[FieldProblem]:
    values = [*(obj.get("data") or {}).values(), *(obj.get("binaryData") or {}).values()]
    if sum(len(value.encode()) for value in values) > _DATA_LIMIT:
        yield FieldProblem("", f"Too long: may not be more than {_DATA_LIMIT} bytes", "FieldValueTooLong")


def _default_secret(obj: Obj) -> None:
    plain = obj.pop("stringData", None) or {}
    if plain:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
        obj["data"] = {**(obj.get("data") or {}), **encoded}
    obj.setdefault("type", "Opaque")


def _secret_change_problems(old: Obj, new: Obj) -> Iterator[FieldProblem]:
    if old.get("type") != new.get("type"):
        yield bad_value("type", new.get("type"), "field is immutable")
    yield from _immutable_data(old, new)


def _default_namespace(obj: Obj) -> None:
    obj.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    obj.setdefault("status", {}).setdefault("phase", "Active")
    obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"].get("name", "")


def _default_service(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    if spec["type"] != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")
    for port in spec.get("ports") or []:
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
    if spec.get("clusterIP"):
        spec.setdefault("clusterIPs", [spec["clusterIP"]])
    obj.setdefault("status", {}).setdefault("loadBalancer", {})


def _service_change_problems(old: Obj, new: Obj) -> Iterator[FieldProblem]:
    before, after = dig(old, "spec", "clusterIP"), dig(new, "spec", "clusterIP")
    if before and before != after and dig(new, "spec", "type") != "ExternalName":
        shown = [after] if after else []
        yield bad_value("spec.clusterIPs[0]", shown, "may not change once set")


def _default_scaled(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    default_pod_spec(spec.setdefault("template", {}).setdefault("spec", {}))


def _default_deployment(obj: Obj) -> None:
    _default_scaled(obj)
    spec = obj["spec"]
    strategy = spec.setdefault("strategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)


def _scaled_problems(obj: Obj) -> Iterator[FieldProblem]:
    spec = obj["spec"]
    selector = dig(spec, "selector", "matchLabels") or {}
    if not spec.get("selector"):
        yield FieldProblem("spec.selector", "Required value", "FieldValueRequired")
    labels = labels_of(spec["template"])
    if any(labels.get(key) != value for key, value in selector.items()):
        why = "`selector` does not match template `labels`"
        yield bad_value("spec.template.metadata.labels", labels, why)
    if spec["replicas"] < 0:
        yield bad_value("spec.replicas", spec["replicas"], "must be greater than or equal to 0")
    yield from label_problems(labels, "spec.template.metadata.labels")
    yield from pod_spec_problems(spec["template"]["spec"], "spec.template.spec", ("Always",))


def _scaled_change_problems(old: Obj, new: Obj) -> Iterator[FieldProblem]:
    if dig(old, "spec", "selector") != dig(new, "spec", "selector"):
        yield bad_value("spec.selector", dig(new, "spec", "selector"), "field is immutable")


def _default_binding(obj: Obj) -> None:
    obj.get("roleRef", {}).setdefault("apiGroup", _RBAC)
    for subject in obj.get("subjects") or []:
        subject.setdefault("apiGroup", "" if subject.get("kind") == "ServiceAccount" else _RBAC)
        if not subject["apiGroup"]:
            del subject["apiGroup"]


def _binding_change_problems(old: Obj, new: Obj) -> Iterator[FieldProblem]:
    if old.get("roleRef") != new.get("roleRef"):
        yield bad_value("roleRef", new.get("roleRef"), "cannot change roleRef")


_RBAC = "rbac.authorization.k8s.io"
_BINDING = Kind(_default_binding, change_problems=_binding_change_problems)
_SCALED = Kind(_default_scaled, _nothing, _scaled_problems, _scaled_change_problems, has_generation=True)
_GENERATION = Kind(has_generation=True)
PLAIN = Kind()
KINDS: dict[ResourceKey, Kind] = {
    ("", "configmaps"): Kind(problems=_data_problems, change_problems=_immutable_data),
    ("", "secrets"): Kind(_default_secret, problems=_data_problems, change_problems=_secret_change_problems),
    ("", "namespaces"): Kind(_default_namespace),
    ("", "services"): Kind(_default_service, change_problems=_service_change_problems),
    ("", "pods"): Kind(
        default_pod,
        problems=lambda obj: pod_spec_problems(obj.get("spec") or {}, "spec"),
        change_problems=pod_change_problems,
        has_generation=True,
    ),
    ("apps", "deployments"): Kind(
        _default_deployment, _nothing, _scaled_problems, _scaled_change_problems, has_generation=True
    ),
    ("apps", "statefulsets"): _SCALED,
    ("apps", "replicasets"): _SCALED,
    ("apps", "daemonsets"): _GENERATION,
    ("batch", "jobs"): Kind(default_job, label_job, job_problems, job_change_problems, has_generation=True),
    ("batch", "cronjobs"): _GENERATION,
    ("networking.k8s.io", "ingresses"): _GENERATION,
    ("networking.k8s.io", "networkpolicies"): _GENERATION,
    ("policy", "poddisruptionbudgets"): _GENERATION,
    (_RBAC, "clusterrolebindings"): _BINDING,
    (_RBAC, "rolebindings"): _BINDING,
    ("apiextensions.k8s.io", "customresourcedefinitions"): Kind(default_crd, has_generation=True),
}
