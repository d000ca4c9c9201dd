"""The scale subresource: replicas apart from the rest, for Deployments and for custom resources that ask for it."""

from .errors import bad_value, invalid
from .objects import Obj, clone, dig, meta
from .resources import Resource

_BUILTIN = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}


def _paths(resource: Resource) -> Obj:
    return (resource.custom.scale or {}) if resource.custom else _BUILTIN


def _keys(path: str) -> list[str]:
    return path.strip(".").split(".")


def _selector(resource: Resource, obj: Obj) -> str:
    if resource.custom:
        path = _paths(resource).get("labelSelectorPath")
        return str(dig(obj, *_keys(path)) or "") if path else ""
    labels = dig(obj, "spec", "selector", "matchLabels") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def scale_of(resource: Resource, obj: Obj) -> Obj:
    """The Scale of an object."""
    paths, known = _paths(resource), meta(obj)
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status: Obj = {"replicas": dig(obj, *_keys(paths["statusReplicasPath"])) or 0}
    if selector := _selector(resource, obj):
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: known[key] for key in kept if key in known},
        "spec": {"replicas": dig(obj, *_keys(paths["specReplicasPath"])) or 0},
        "status": status,
    }


def scaled(resource: Resource, obj: Obj, scale: Obj) -> Obj:
    """The object with the replicas that a Scale asks for."""
    wanted = dig(scale, "spec", "replicas") or 0
    if not isinstance(wanted, int) or wanted < 0:
        fault = bad_value("spec.replicas", wanted, "must be greater than or equal to 0")
        raise invalid(resource, meta(obj)["name"], [fault])
    changed: Obj = clone(obj)
    *path, last = _keys(_paths(resource)["specReplicasPath"])
    place = changed
    for key in path:
        place = place.setdefault(key, {})
    place[last] = wanted
    sent = meta(scale).get("resourceVersion")
    if sent:
        changed["metadata"]["resourceVersion"] = sent
    else:
        changed["metadata"].pop("resourceVersion", None)
    return changed
