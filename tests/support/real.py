"""A real Kubernetes cluster as the tests of tests/cluster use it: plain requests, and waiting for a condition."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml
from kubernetes import client, config

from reasoner_api import API_VERSION
from reasoner_api.crd import KINDS
from reasoner_operator.cluster import Access, Cluster
from reasoner_operator.transport import MERGE, Request
from support.objects import SPECS

#: A context is taken for a test cluster's if its name has one of these in it.
TEST_CLUSTER_NAMES = ("test", "kind", "minikube", "k3d", "local")
#: Kinds of the operator's children, with the API version and the plural of each.
CHILDREN = {
    "ConfigMap": ("v1", "configmaps"),
    "Service": ("v1", "services"),
    "Pod": ("v1", "pods"),
    "Job": ("batch/v1", "jobs"),
    "Deployment": ("apps/v1", "deployments"),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies"),
    "PodDisruptionBudget": ("policy/v1", "poddisruptionbudgets"),
    "HorizontalPodAutoscaler": ("autoscaling/v2", "horizontalpodautoscalers"),
}
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
KUBECONFIG = "KUBECONFIG"
T = TypeVar("T")


def named_cluster() -> tuple[Path, str]:
    """Kubeconfig and context of the cluster that KUBECONFIG names; ends the run unless that is a test cluster."""
    named = os.environ.get(KUBECONFIG, "").split(os.pathsep)[0]
    if not named:
        pytest.exit("KUBECONFIG is not set: name the kubeconfig of a test cluster", returncode=4)
    path = Path(named)
    context = str(yaml.safe_load(path.read_text()).get("current-context", ""))
    if not any(word in context for word in TEST_CLUSTER_NAMES):
        pytest.exit(
            f"the context {context!r} does not look like a test cluster (no {', '.join(TEST_CLUSTER_NAMES)} in its "
            "name): nothing was done",
            returncode=4,
        )
    return path, context


def http_settings(kubeconfig: Path) -> dict[str, Any]:
    """Arguments for an httpx.Client that speaks to the cluster as kubectl does."""
    found = client.Configuration()
    config.load_kube_config(str(kubeconfig), client_configuration=found)
    verify: ssl.SSLContext | bool = True
    if found.host.startswith("https"):
        verify = ssl.create_default_context(cafile=found.ssl_ca_cert)
        if found.cert_file:
            verify.load_cert_chain(found.cert_file, found.key_file)
    token = found.get_api_key_with_prefix("BearerToken", alias="authorization")
    return {"base_url": found.host, "verify": verify, "headers": {"Authorization": token} if token else {}}


@dataclass
class Real:
    """The cluster and the test's namespace in it."""

    cluster: Cluster
    namespace: str

    @classmethod
    @asynccontextmanager
    async def connect(cls, kubeconfig: Path, namespace: str) -> AsyncIterator[Real]:
        """Connected until the block ends."""
        async with Cluster(Access(kubeconfig=kubeconfig)) as cluster:
            yield cls(cluster, namespace)

    async def request(self, method: str, path: str, body: Any = None, **query: str) -> tuple[int, Any]:
        """Status and JSON of the answer; a PATCH is a server-side apply."""
        kind = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
        if method == "PATCH":
            query = {"fieldManager": "reasoner-tests", "force": "true", **query}
        content = None if body is None else (kind, body)
        status, answer = await self.cluster.transport.request(Request(method, path, list(query.items()), content))
        return status, json.loads(answer)

    async def table(self, path: str) -> Any:
        """A collection as `kubectl get` asks for it."""
        accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
        return await self.cluster.transport.ask(Request("GET", path, accept=accept))

    async def install(self, crd: dict[str, Any]) -> None:
        """Apply a CRD and wait until it is served."""
        path = f"{CRDS}/{crd['metadata']['name']}"
        status, body = await self.request("PATCH", path, crd)
        assert status in (200, 201), body

        async def established() -> bool:
            _, found = await self.request("GET", path)
            # A fresh one's are null.
            conditions = found.get("status", {}).get("conditions") or []
            return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)

        await self.until(established)

    async def create_namespace(self) -> None:
        """The namespace, ready for pods."""
        status, body = await self.request("POST", "/api/v1/namespaces", {"metadata": {"name": self.namespace}})
        assert status == 201, body

        async def has_account() -> bool:
            return (await self.request("GET", self.path("v1", "serviceaccounts", "default")))[0] == 200

        await self.until(has_account)

    async def merge(self, path: str, body: dict[str, Any]) -> Any:
        """Merge a change into an object, as somebody who edits it by hand; what became of it."""
        request = Request("PATCH", path, [("fieldManager", "somebody")], (MERGE, body))
        return await self.cluster.transport.ask(request)

    async def delete_namespace(self) -> None:
        """Ask for its end; the cluster takes its time."""
        status, body = await self.request("DELETE", f"/api/v1/namespaces/{self.namespace}")
        assert status == 200, body

    def path(self, api_version: str, plural: str, name: str | None = None) -> str:
        """Path of a collection in the namespace, or of an object."""
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        return f"{root}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    async def dry_run(self, manifest: dict[str, Any]) -> tuple[int, Any]:
        """What the cluster would answer to a server-side apply in the test's namespace."""
        name = manifest["metadata"]["name"]
        placed = {**manifest, "metadata": {**manifest["metadata"], "namespace": self.namespace}}
        path = self.path(*CHILDREN[manifest["kind"]], name)
        return await self.request("PATCH", path, placed, dryRun="All", fieldValidation="Strict")

    def manifest(self, kind: str, spec: dict[str, Any] | None = None, name: str = "demo") -> dict[str, Any]:
        """An object of one of the three kinds, its spec over the kind's example."""
        return {
            "apiVersion": API_VERSION,
            "kind": kind,
            "metadata": {"name": name},
            "spec": {**SPECS[kind], **(spec or {})},
        }

    async def create(self, kind: str, spec: dict[str, Any] | None = None, **query: str) -> tuple[int, Any]:
        """Create it, strict about unknown fields."""
        path = self.path(API_VERSION, KINDS[kind].plural)
        return await self.request("POST", path, self.manifest(kind, spec), fieldValidation="Strict", **query)

    async def make(self, kind: str, spec: dict[str, Any] | None = None, name: str = "demo") -> str:
        """Create an object that must be taken; returns its path."""
        path = self.path(API_VERSION, KINDS[kind].plural)
        status, answer = await self.request("POST", path, self.manifest(kind, spec, name), fieldValidation="Strict")
        assert status == 201, answer["message"]
        return f"{path}/{name}"

    async def condition(
        self, path: str, true: Callable[[dict[str, str]], object], kind: str = "Ready"
    ) -> dict[str, str]:
        """Await that something is true of an object's condition; returns it."""

        async def found() -> dict[str, str] | None:
            _, obj = await self.request("GET", path)
            conditions = (obj.get("status") or {}).get("conditions") or []
            found.__name__ = f"{path} {conditions}"
            return next((one for one in conditions if one["type"] == kind and true(one)), None)

        result = await self.until(found)
        assert result is not None
        return result

    async def gone(self, path: str) -> None:
        """Await that an object is no more."""

        async def absent() -> bool:
            return (await self.request("GET", path))[0] == 404

        await self.until(absent)

    async def items(self, api_version: str, plural: str) -> list[dict[str, Any]]:
        """All objects of a kind in the namespace."""
        status, answer = await self.request("GET", self.path(api_version, plural))
        assert status == 200, answer
        found: list[dict[str, Any]] = answer["items"]
        return found

    async def children(self) -> list[str]:
        """What the operator has made in the namespace, as `Kind/name`."""
        found = []
        for kind, which in CHILDREN.items():
            selector = "app.kubernetes.io/managed-by=reasoner-operator"
            path = self.path(*which)
            _, answer = await self.request("GET", path, labelSelector=selector)
            found += [f"{kind}/{item['metadata']['name']}" for item in answer["items"]]
        return found

    async def until(self, check: Callable[[], Awaitable[T | None]], limit: float = 120) -> T:
        """Await that the check returns something true; returns it. On a busy machine the operator takes half a minute
        to start."""
        found = None
        try:
            async with asyncio.timeout(limit):
                while True:
                    if found := await check():
                        return found
                    await asyncio.sleep(0.1)
        except TimeoutError as error:
            name = getattr(check, "__name__", check)
            raise AssertionError(f"after {limit} s {name} still returns {found}") from error
