"""The operator's service account with the rights that the chart gives it, no more. Used by `cluster`."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import yaml

from reasoner_local.client import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    NAMESPACES,
    SERVICE_ACCOUNTS,
    Client,
    Obj,
)

NAMESPACE = "reasoner-system"
NAME = "reasoner-operator"
#: Seconds that the token lives: longer than any embedded cluster does.
_LIFE = 10 * 365 * 86_400


def rules() -> list[Obj]:
    """What the operator may do: the file that the chart's roles are made of."""
    spec = importlib.util.find_spec("reasoner_operator")
    if spec is None or spec.origin is None:
        raise RuntimeError("the package reasoner_operator is not installed")
    found: dict[str, list[Any]] = yaml.safe_load(Path(spec.origin).with_name("rules.yaml").read_text(encoding="utf-8"))
    return [rule for part in found.values() for rule in part]


async def grant(client: Client) -> str:
    """Make the account, its role and the binding of both; returns a token of the account."""
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME}
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}
    await client.apply(NAMESPACES, {"metadata": {"name": NAMESPACE}})
    await client.apply(SERVICE_ACCOUNTS, {"metadata": {"name": NAME, "namespace": NAMESPACE}})
    await client.apply(CLUSTER_ROLES, {"metadata": {"name": NAME}, "rules": rules()})
    await client.apply(CLUSTER_ROLE_BINDINGS, {"metadata": {"name": NAME}, "roleRef": role, "subjects": [subject]})
    return await client.token(NAMESPACE, NAME, _LIFE)
