"""The operator as a process of its own, behind an API server that is busy, drops connections, loses answers, ends its
watches and goes away: every object still gets its Job, once, and none is forgotten."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reasoner_api import API_VERSION
from reasoner_api.crd import KINDS, custom_resource_definition
from reasoner_operator.cluster import Access, Cluster
from reasoner_operator.seen import Target
from reasoner_operator.status import is_up_to_date
from reasoner_operator.transport import JSON, Request
from support.apiserver import CRDS, serving, write_kubeconfig
from support.local import eventually
from support.objects import DIGEST, SPECS
from support.weather import ENDS, FAULTS, Weather

#: Suspended, as nobody plays the Job controller here; and standing on nothing that another object makes.
ALONE: dict[str, dict[str, Any]] = {
    "CurationJob": {},
    "VerifierTraining": {"dataset": {"uri": "s3://models/v", "digest": DIGEST}},
    "GRPORun": {"dataset": {"uri": "s3://models/q", "digest": DIGEST}, "verifier": {"rules": {}}},
}
OBJECTS = [(kind, f"{kind.lower()}-{number}") for kind in KINDS for number in range(3)]


@dataclass
class World:
    """The API server as it is (`cluster`), and the weather that the operator meets."""

    cluster: Cluster
    weather: Weather

    async def create(self, kind: str, name: str) -> None:
        metadata = {"name": name, "namespace": "default"}
        spec = {**SPECS[kind], **ALONE[kind], "suspend": True}
        await self.cluster.apply({"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec})

    async def settled(self) -> list[str] | None:
        """The Jobs, once every object speaks of its present spec and of its Job."""
        for kind in KINDS:
            for obj in await self.cluster.find(API_VERSION, kind, "default"):
                if not is_up_to_date(obj) or "job" not in obj["status"]:
                    return None
        return sorted(job["metadata"]["uid"] for job in await self.cluster.find("batch/v1", "Job", "default"))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with serving() as (_, url), Cluster(Access(kubeconfig=write_kubeconfig(tmp_path / "admin", url))) as cluster:
        for kind in KINDS.values():
            await cluster.transport.ask(Request("POST", CRDS, content=(JSON, custom_resource_definition(kind))))
        weather = Weather(url, seed=3)
        async with weather.served() as bad, _operator(write_kubeconfig(tmp_path / "operator", bad)):
            yield World(cluster, weather)


@asynccontextmanager
async def _operator(kubeconfig: Path) -> AsyncIterator[None]:
    command = [sys.executable, "-m", "reasoner_operator.cli", "operator", "--kubeconfig", str(kubeconfig)]
    process = await asyncio.create_subprocess_exec(*command)
    try:
        yield
        assert process.returncode is None, "the operator has given up"
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def test_every_object_gets_its_job_once_whatever_the_weather(world: World) -> None:
    for kind, name in OBJECTS:
        await world.create(kind, name)

    async def all_made() -> list[str] | None:
        jobs = await world.settled()
        return jobs if jobs and len(jobs) == len(OBJECTS) else None

    jobs = await eventually(all_made, 60)
    # Nobody gets through for a while; what happens meanwhile is found afterwards.
    world.weather.away = True
    kind, name = OBJECTS[0]
    await world.cluster.delete("default", Target(API_VERSION, kind, name))
    await world.create(kind, "late")
    refused = world.weather.met["hung up"]

    async def noticed() -> bool:
        return world.weather.met["hung up"] > refused + 10

    await eventually(noticed, 60)
    world.weather.away = False

    async def late_made() -> list[str] | None:
        found = await all_made()
        return found if found != jobs else None

    later = await eventually(late_made, 60)
    assert len(set(later) - set(jobs)) == 1, "a Job was made anew"
    assert {*FAULTS, *ENDS} <= set(world.weather.met)
