"""Discovery: which groups, versions and resource types there are, in the plain and the aggregated form."""

from typing import Any

from .errors import no_such_path
from .objects import Obj
from .resources import Registry, Resource

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def _groups(registry: Registry) -> dict[str, dict[str, list[Resource]]]:
    """Resource types by group and version, the core group first."""
    found: dict[str, dict[str, list[Resource]]] = {}
    for resource in sorted(registry, key=lambda one: (one.group, one.plural)):
        found.setdefault(resource.group, {}).setdefault(resource.version, []).append(resource)
    return found


def _verbs(subresource: str) -> list[str]:
    return {
        "log": ["get"],
        "eviction": ["create"],
        "token": ["create"],
        "proxy": ["create", "delete", "get", "patch", "update"],
        "finalize": ["update"],
    }.get(subresource, ["get", "patch", "update"])


def _kind_of(resource: Resource, subresource: str) -> Obj:
    if subresource == "scale":
        return {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    if subresource == "eviction":
        return {"group": "policy", "version": "v1", "kind": "Eviction"}
    if subresource == "token":
        return {"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"}
    if subresource == "proxy":
        return {"group": "", "version": "v1", "kind": "PodProxyOptions"}
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _entry(resource: Resource) -> Obj:
    entry: Obj = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    return entry


def resource_list(registry: Registry, group: str, version: str) -> Obj:
    """GET /apis/GROUP/VERSION. Raises 404."""
    resources = _groups(registry).get(group, {}).get(version)
    if resources is None:
        raise no_such_path()
    entries = []
    for resource in resources:
        entries.append(_entry(resource))
        for name in sorted(resource.subresources):
            kind = _kind_of(resource, name)
            own = {} if kind["kind"] == resource.kind else {key: kind[key] for key in ("group", "version")}
            entries.append(
                {
                    "name": f"{resource.plural}/{name}",
                    "singularName": "",
                    "namespaced": resource.namespaced,
                    "kind": kind["kind"],
                    "verbs": _verbs(name),
                    **own,
                }
            )
    group_version = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": entries}


def _group_entry(group: str, versions: dict[str, list[Resource]]) -> Obj:
    listed = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
    return {"name": group, "versions": listed, "preferredVersion": listed[0]}


def group_list(registry: Registry) -> Obj:
    """GET /apis."""
    groups = [_group_entry(group, versions) for group, versions in _groups(registry).items() if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(registry: Registry, name: str) -> Obj:
    """GET /apis/GROUP. Raises 404."""
    versions = _groups(registry).get(name)
    if not versions or not name:
        raise no_such_path()
    return {"kind": "APIGroup", "apiVersion": "v1", **_group_entry(name, versions)}


def core_versions() -> Obj:
    """GET /api."""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def _aggregated_resource(resource: Resource) -> Obj:
    parts: list[Obj] = [
        {"subresource": name, "responseKind": _kind_of(resource, name), "verbs": _verbs(name)}
        for name in sorted(resource.subresources)
    ]
    found: Obj = {
        "resource": resource.plural,
        "responseKind": _kind_of(resource, ""),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    extras: dict[str, Any] = {
        "shortNames": list(resource.short_names),
        "categories": list(resource.categories),
        "subresources": parts,
    }
    return found | {key: value for key, value in extras.items() if value}


def aggregated(registry: Registry, *, core: bool) -> Obj:
    """GET /api or /apis in the aggregated form: everything in one answer."""
    groups = [
        {
            "metadata": {"name": name, "creationTimestamp": None},
            "versions": [
                {
                    "version": version,
                    "freshness": "Current",
                    "resources": [_aggregated_resource(one) for one in resources],
                }
                for version, resources in versions.items()
            ],
        }
        for name, versions in _groups(registry).items()
        if (name == "") == core
    ]
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": groups}
