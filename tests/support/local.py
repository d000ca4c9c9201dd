"""An embedded cluster to test with: makes objects, awaits what becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from reasoner_local.client import DEPLOYMENTS, EVENTS, JOBS, PODS, Client, Obj, Resource
from reasoner_local.cluster import LocalCluster, Options

NAMESPACE = "default"
T = TypeVar("T")


@dataclass
class World:
    """A running cluster and a client of it."""

    cluster: LocalCluster
    client: Client

    async def make(self, kind: Resource, name: str, **fields: Any) -> Obj:
        """Create an object in the default namespace."""
        meta = {"name": name, "namespace": NAMESPACE, **fields.pop("metadata", {})}
        return await self.client.create(kind, {"metadata": meta, **fields})

    async def pod(self, name: str, *containers: Obj, **spec: Any) -> Obj:
        """Create a pod that is not restarted unless said otherwise."""
        return await self.make(PODS, name, spec={"restartPolicy": "Never", "containers": list(containers), **spec})

    async def job(self, name: str, container: Obj, pod: Obj | None = None, **spec: Any) -> Obj:
        """Create a Job whose pods are not restarted unless said otherwise."""
        template = {"spec": {"restartPolicy": "Never", "containers": [container], **(pod or {})}}
        return await self.make(JOBS, name, spec={"template": template, **spec})

    async def deployment(self, name: str, container: Obj, **spec: Any) -> Obj:
        """Create a Deployment labelled `app=<name>`."""
        labels = {"app": name}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
        return await self.make(
            DEPLOYMENTS, name, spec={"selector": {"matchLabels": labels}, "template": template, **spec}
        )

    async def pods(self, prefix: str = "") -> list[Obj]:
        """The pods whose names begin so."""
        found, _ = await self.client.list(PODS)
        return [pod for pod in found if pod["metadata"]["name"].startswith(prefix)]

    async def until(self, kind: Resource, name: str, true: Callable[[Obj], object], limit: float = 20) -> Obj:
        """Await that something is true of an object; returns it."""
        seen: list[Obj | None] = [None]

        async def found() -> Obj | None:
            seen[0] = await self.client.find(kind, NAMESPACE if kind.namespaced else None, name)
            return seen[0] if seen[0] is not None and true(seen[0]) else None

        try:
            return await eventually(found, limit)
        except TimeoutError as error:
            told = seen[0] and seen[0].get("status")
            raise AssertionError(f"{kind.kind} {name} after {limit} s: {told}") from error

    async def gone(self, kind: Resource, name: str, limit: float = 20) -> None:
        """Await that an object is no more."""

        async def absent() -> bool:
            return await self.client.find(kind, NAMESPACE, name) is None

        await eventually(absent, limit)

    async def ended(self, name: str) -> Obj:
        """Await a pod's end."""
        return await self.until(PODS, name, lambda pod: phase(pod) in ("Succeeded", "Failed"))

    async def log(self, pod: str, **query: str) -> str:
        """A pod's log by the API."""
        path = PODS.path(NAMESPACE, pod, "log")
        async with self.client.session.get(path, params=query) as answer:
            return await answer.text()

    async def evict(self, pod: str) -> tuple[int, str]:
        """Ask for a pod's eviction: the answer's code, and why it was refused."""
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": NAMESPACE}}
        async with self.client.session.post(PODS.path(NAMESPACE, pod, "eviction"), json=body) as answer:
            causes = ((await answer.json()).get("details") or {}).get("causes") or [{"message": ""}]
            return answer.status, causes[0]["message"]

    async def reasons(self, name: str) -> set[str]:
        """Reasons of the Events about an object."""
        found, _ = await self.client.list(EVENTS)
        return {event["reason"] for event in found if event["involvedObject"]["name"] == name}


async def eventually(check: Callable[[], Awaitable[T | None]], limit: float = 10) -> T:
    """Await a truthy answer."""
    async with asyncio.timeout(limit):
        while not (answer := await check()):  # noqa: ASYNC110 - another process is waited for
            await asyncio.sleep(0.02)
        return answer


@asynccontextmanager
async def world(folder: Path, options: Options | None = None) -> AsyncIterator[World]:
    """A cluster without infrastructure, quick to retry."""
    quick = options or Options(job_backoff=0.1, restart_backoff=0.1)
    async with (
        LocalCluster(folder, infra=False, options=quick) as cluster,
        Client.of(cluster.kubeconfig) as client,
    ):
        yield World(cluster, client)


def python(code: str, name: str = "main", **fields: Any) -> Obj:
    """A container that runs a Python program."""
    return {"name": name, "image": "python", "command": ["python", "-c", code], **fields}


def shell(code: str, name: str = "main", **fields: Any) -> Obj:
    """A container that runs a shell script."""
    return {"name": name, "image": "busybox", "command": ["sh", "-c", code], **fields}


def count(obj: Obj, name: str) -> int:
    """A count in an object's status; nought where it is not there."""
    return int((obj.get("status") or {}).get(name, 0))


def phase(pod: Obj) -> str:
    """A pod's phase."""
    return str((pod.get("status") or {}).get("phase"))


def container_state(pod: Obj, position: int = 0) -> Obj:
    """The state of one of a pod's containers; empty before the node has taken the pod up."""
    statuses: list[Obj] = pod["status"].get("containerStatuses") or []
    return statuses[position]["state"] if statuses else {}


def condition(obj: Obj, kind: str) -> Obj:
    """An object's condition; empty where it has none of that type."""
    found: list[Obj] = (obj.get("status") or {}).get("conditions") or []
    return next((one for one in found if one["type"] == kind), {})


def true(obj: Obj, kind: str) -> bool:
    """Whether an object's condition is True."""
    return bool(condition(obj, kind).get("status") == "True")
