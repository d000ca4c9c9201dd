"""What every cluster holds from its start: the system's namespaces and roles. Called by `app`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import yaml

from .objects import Obj, clone
from .rbac import GROUP
from .writer import Writer
from .writes import Writes

_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
_PLURALS = {"ClusterRole": "clusterroles", "ClusterRoleBinding": "clusterrolebindings"}


@cache
def _roles() -> list[Obj]:
    text = (files(__package__) / "bootstrap_roles.yaml").read_text(encoding="utf-8")
    found: list[Obj] = yaml.safe_load(text)
    return found


def seed(writes: Writes) -> None:
    """Create what is not there yet."""
    writer = Writer("kube-apiserver")
    namespaces, accounts = (writes.registry.stored(("", plural)) for plural in ("namespaces", "serviceaccounts"))
    for name in _NAMESPACES:
        if writes.store.get(namespaces.key, ("", name)) is None:
            writes.create(namespaces, "", {"metadata": {"name": name}}, writer)
            writes.create(accounts, name, {"metadata": {"name": "default"}}, writer)
    for role in _roles():
        resource = writes.registry.stored((GROUP, _PLURALS[role["kind"]]))
        if writes.store.get(resource.key, ("", role["metadata"]["name"])) is None:
            writes.create(resource, "", clone({"apiVersion": resource.group_version, **role}), writer)
