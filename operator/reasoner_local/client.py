"""A small client of the Kubernetes API: plain HTTP and watches, nothing that only the embedded API server
knows. Used by the controllers, the process node and `cluster`."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import aiohttp

from reasoner_local import kubeconfig
from reasoner_local.kubeconfig import Login

#: A Kubernetes object, as decoded from JSON.
Obj: TypeAlias = dict[str, Any]

MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
_MANAGER = "reasoner-local"
#: A watched object arrives as one line; etcd would refuse anything beyond 1.5 MiB.
_LINE_LIMIT = 1 << 22


@dataclass(frozen=True)
class Resource:
    """One kind, and where it lives in the API."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """`group/version`, or the version alone for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str = "", sub: str = "") -> str:
        """URL path of the collection, an object or a subresource."""
        parts = [f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts += [self.plural, name, sub]
        return "/".join(part for part in parts if part)


NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
CLUSTER_ROLES = Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDINGS = Resource(
    "rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False
)
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
PODS = Resource("", "v1", "pods", "Pod")
SERVICES = Resource("", "v1", "services", "Service")
SECRETS = Resource("", "v1", "secrets", "Secret")
CONFIGMAPS = Resource("", "v1", "configmaps", "ConfigMap")
EVENTS = Resource("", "v1", "events", "Event")
ENDPOINTS = Resource("", "v1", "endpoints", "Endpoints")
SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
JOBS = Resource("batch", "v1", "jobs", "Job")
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
REPLICASETS = Resource("apps", "v1", "replicasets", "ReplicaSet")
BUDGETS = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False)


class ApiError(Exception):
    """An answer of the API server other than success."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason


def now() -> str:
    """The current time, as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_since(stamp: str) -> float:
    """Age in seconds of a Kubernetes timestamp."""
    return (datetime.now(UTC) - datetime.fromisoformat(stamp)).total_seconds()


class Client:
    """Reads and writes objects; an asynchronous context manager."""

    def __init__(self, login: Login) -> None:
        self.login = login
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    def of(cls, file: Path) -> Client:
        """A client for whoever a kubeconfig of ours names."""
        return cls(kubeconfig.read(file))

    async def __aenter__(self) -> Client:
        authority, token = self.login.authority, self.login.token
        trusted = ssl.create_default_context(cadata=authority) if authority else True
        self._session = aiohttp.ClientSession(
            self.login.url,
            headers={"User-Agent": f"{_MANAGER}/v1", **({"Authorization": f"Bearer {token}"} if token else {})},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            connector=aiohttp.TCPConnector(limit=0, ssl=trusted),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        """The open HTTP session."""
        if self._session is None:
            raise RuntimeError("the client is used outside its context")
        return self._session

    async def get(self, kind: Resource, namespace: str | None, name: str) -> Obj:
        """One object; raises ApiError 404 where there is none."""
        return await self._call("GET", kind.path(namespace, name))

    async def find(self, kind: Resource, namespace: str | None, name: str) -> Obj | None:
        """One object, or None."""
        try:
            return await self.get(kind, namespace, name)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    async def list(self, kind: Resource) -> tuple[list[Obj], str]:
        """All objects of a kind, and the resource version to watch from."""
        page = await self._call("GET", kind.path())
        items = [{"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in page["items"]]
        return items, page["metadata"]["resourceVersion"]

    async def create(self, kind: Resource, body: Obj) -> Obj:
        """Create an object as given."""
        body = {"apiVersion": kind.api_version, "kind": kind.kind, **body}
        return await self._call("POST", kind.path(body["metadata"].get("namespace")), body)

    async def patch(self, kind: Resource, target: Obj, patch: Obj, sub: str = "") -> Obj:
        """Merge patch of an object or subresource: lists are replaced whole."""
        meta = target["metadata"]
        return await self._call("PATCH", kind.path(meta.get("namespace"), meta["name"], sub), patch, MERGE)

    async def apply(self, kind: Resource, body: Obj) -> Obj:
        """Server-side apply."""
        body = {"apiVersion": kind.api_version, "kind": kind.kind, **body}
        meta = body["metadata"]
        return await self._call("PATCH", kind.path(meta.get("namespace"), meta["name"]), body, APPLY)

    async def delete(self, kind: Resource, target: Obj, grace: int | None = None) -> Obj:
        """Delete exactly this object (its uid is a precondition), dependents in the background."""
        meta = target["metadata"]
        options: Obj = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": meta["uid"]},
        }
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        return await self._call("DELETE", kind.path(meta.get("namespace"), meta["name"]), options)

    async def token(self, namespace: str, account: str, seconds: int) -> str:
        """A token of a service account that lives so long."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [], "expirationSeconds": seconds},
        }
        answer = await self._call("POST", SERVICE_ACCOUNTS.path(namespace, account, "token"), body)
        return str(answer["status"]["token"])

    async def watch(self, kind: Resource, version: str) -> AsyncIterator[tuple[str, Obj]]:
        """Changes since a resource version, until the server ends the watch."""
        params = {"watch": "true", "resourceVersion": version, "allowWatchBookmarks": "true"}
        async with self.session.get(kind.path(), params=params, read_bufsize=_LINE_LIMIT) as answer:
            await _check(answer)
            async for line in answer.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    status = event["object"]
                    raise ApiError(status.get("code", 500), status.get("reason", ""), status.get("message", ""))
                yield event["type"], event["object"]

    async def _call(self, method: str, path: str, body: Obj | None = None, content: str = "application/json") -> Obj:
        params = {} if method in ("GET", "DELETE") else {"fieldManager": _MANAGER}
        if content == APPLY:
            params["force"] = "true"
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content, "Accept": "application/json"}
        async with self.session.request(method, path, params=params, data=data, headers=headers) as answer:
            await _check(answer)
            result: Obj = await answer.json()
            return result


async def _check(answer: aiohttp.ClientResponse) -> None:
    if answer.status < 400:
        return
    text = await answer.text()
    try:
        status = json.loads(text)
    except ValueError:
        status = {}
    raise ApiError(answer.status, status.get("reason", ""), status.get("message", text[:500]))
