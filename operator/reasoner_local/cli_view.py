"""What `reasoner local status` shows: the cluster's own processes and the pods, and whether they are well.
Used by `cli`."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from reasoner_local.client import PODS, ApiError, Client, Obj
from reasoner_local.state import ClusterState, Part

_LIMIT = 2.0


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    address: str
    pid: str
    health: str
    log: str = ""
    well: bool = True

    def shown_health(self) -> str:
        """The health in its colour."""
        return f"[{'green' if self.well else 'red'}]{self.health}[/]"


def part_rows(told: ClusterState) -> list[Row]:
    """The cluster's own processes. Logs are named from the state folder."""
    rows = []
    for part in told.parts:
        health = _health(part)
        log = f"logs/{Path(part.log).name}"
        rows.append(Row(part.name, part.address, str(part.pid or ""), health, log, health == "ok"))
    return rows


def _health(part: Part) -> str:
    if not part.pid or not Path(f"/proc/{part.pid}").exists():
        return "not running"
    where = urlsplit(part.address)
    if where.hostname and where.port:
        try:
            socket.create_connection((where.hostname, where.port), _LIMIT).close()
        except OSError as error:
            return f"does not answer: {error.strerror or error}"
    return "ok"


def pod_rows(kubeconfig: Path) -> list[Row]:
    """The pods' containers, of all namespaces."""
    try:
        pods = asyncio.run(_pods(kubeconfig))
    except (ApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
        return [Row("pods", "", "", f"cannot be listed: {error}", well=False)]
    return [row for pod in pods for row in _container_rows(pod)]


async def _pods(kubeconfig: Path) -> list[Obj]:
    async with asyncio.timeout(_LIMIT), Client.of(kubeconfig) as client:
        return (await client.list(PODS))[0]


def _container_rows(pod: Obj) -> list[Row]:
    meta, status = pod["metadata"], pod.get("status") or {}
    rows = []
    for container in status.get("containerStatuses") or []:
        state = next(iter(container["state"]), "waiting")
        detail = container["state"].get(state) or {}
        health = detail.get("reason") or state
        pid = container.get("containerID", "").removeprefix("process://") if state == "running" else ""
        bad = state == "waiting" and health not in ("ContainerCreating", "PodInitializing")
        failed = state == "terminated" and detail.get("exitCode") != 0
        name = f"{meta['namespace']}/{meta['name']}"
        rows.append(Row(name, status.get("podIP", ""), pid, health, well=not (bad or failed)))
    return rows
