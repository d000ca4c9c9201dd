"""The chart on a real cluster: what Helm's engine renders is applied as Helm would, and the operator runs as a process
of this machine, with the arguments, settings and rights that the chart gives its pod. Used by tests/cluster."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reasoner_local import kubeconfig
from reasoner_local.kubeconfig import Login
from reasoner_local.network import free_port
from support.helm import only, render
from support.real import Real

#: Helm's order of kinds; with the API version's plural, and whether they lie in a namespace.
KINDS = {
    "PodDisruptionBudget": ("policy/v1", "poddisruptionbudgets", True),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies", True),
    "ServiceAccount": ("v1", "serviceaccounts", True),
    "ConfigMap": ("v1", "configmaps", True),
    "CustomResourceDefinition": ("apiextensions.k8s.io/v1", "customresourcedefinitions", False),
    "ClusterRole": ("rbac.authorization.k8s.io/v1", "clusterroles", False),
    "ClusterRoleBinding": ("rbac.authorization.k8s.io/v1", "clusterrolebindings", False),
    "Role": ("rbac.authorization.k8s.io/v1", "roles", True),
    "RoleBinding": ("rbac.authorization.k8s.io/v1", "rolebindings", True),
    "Service": ("v1", "services", True),
    "Deployment": ("apps/v1", "deployments", True),
}
#: Kinds of the Prometheus operator, which a cluster need not have.
MONITORS = ("ServiceMonitor", "PodMonitor")


def path_of(manifest: dict[str, Any]) -> str:
    """Where an object of the chart lies in the API."""
    version, plural, namespaced = KINDS[manifest["kind"]]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    where = f"/namespaces/{manifest['metadata']['namespace']}" if namespaced else ""
    return f"{root}{where}/{plural}/{manifest['metadata']['name']}"


@dataclass
class Release:
    """One installation of the chart, into the test's namespace."""

    real: Real
    values: dict[str, Any] = field(default_factory=dict)
    name: str = "reasoner-operator"

    def __post_init__(self) -> None:
        rendered = render(self.values, self.name, namespace=self.real.namespace)
        order = list(KINDS)
        kept = (item for item in rendered if item["kind"] not in MONITORS)
        self.objects = sorted(kept, key=lambda item: order.index(item["kind"]))

    async def apply(self, **query: str) -> None:
        """Apply every object, strict about unknown fields."""
        for item in self.objects:
            status, body = await self.real.request("PATCH", path_of(item), item, fieldValidation="Strict", **query)
            assert status in (200, 201), f"{item['kind']} {item['metadata']['name']}: {body['message']}"

    @asynccontextmanager
    async def rights(self) -> AsyncIterator[Release]:
        """What the operator's process needs of the release: account, roles and bindings, until the block ends. CRDs
        stay as they are, and the Deployment is not made: where the cluster has nodes it would find no image."""
        made = [item for item in self.objects if item["kind"].endswith(("Role", "RoleBinding", "Binding", "Account"))]
        try:
            for item in made:
                status, body = await self.real.request("PATCH", path_of(item), item, fieldValidation="Strict")
                assert status in (200, 201), body
            yield self
        finally:
            for item in made:
                await self.real.request("DELETE", path_of(item))

    async def kubeconfig(self, folder: Path) -> Path:
        """A kubeconfig of the chart's service account."""
        account = only(self.objects, "ServiceAccount")
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
        status, answer = await self.real.request("POST", f"{path_of(account)}/token", body)
        assert status == 201, answer
        connection = await self.real.cluster.connection()
        login = Login(connection.server, answer["status"]["token"], _text(connection.ca_path))
        return kubeconfig.write(folder / "kubeconfig", login)

    def arguments(self, folder: Path) -> list[str]:
        """The container's arguments, its settings from a file of this machine and its port a free one."""
        (container,) = only(self.objects, "Deployment")["spec"]["template"]["spec"]["containers"]
        settings = folder / "settings.yaml"
        settings.write_text(only(self.objects, "ConfigMap")["data"]["settings.yaml"])
        local = {"--settings": str(settings), "--health-port": str(free_port())}
        parted = [argument.partition("=") for argument in container["args"]]
        return [f"{name}={local.get(name, value)}" if sign else name for name, sign, value in parted]

    @asynccontextmanager
    async def operator(self, folder: Path, kubeconfig: Path | None = None) -> AsyncIterator[Operator]:
        """The operator at work until the block ends."""
        config = kubeconfig or await self.kubeconfig(folder)
        made = Operator([*self.arguments(folder), "--kubeconfig", str(config), "--pod-access", "direct"])
        await made.start()
        try:
            yield made
        finally:
            await made.stop()


def _text(path: str | None) -> str:
    return Path(path).read_text() if path else ""


class Operator:
    """The operator's process."""

    def __init__(self, arguments: list[str]) -> None:
        self._command = [sys.executable, "-m", "reasoner_operator.cli", *arguments]

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(*self._command)

    async def kill(self) -> None:
        """As a node's end does: no time for anything."""
        assert self.process.returncode is None, "the operator has ended by itself"
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> None:
        """As the kubelet does; it must end well."""
        if self.process.returncode is None:
            self.process.terminate()
            async with asyncio.timeout(20):
                assert await self.process.wait() == 0
