"""One leader at a time, on the embedded API server: the lease of `operator --lease`, with times of a second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reasoner_local.apiserver import ApiServer
from reasoner_operator.cluster import Access, Cluster
from reasoner_operator.lease import API_VERSION, Lease, LeaseLost, Timing
from support.apiserver import serving, write_kubeconfig

QUICK = Timing(duration=1, deadline=0.6, retry=0.1)


@dataclass
class World:
    """The server, and candidates for the lease `default/operator`."""

    server: ApiServer
    cluster: Cluster

    def candidate(self, name: str) -> Lease:
        return Lease(self.cluster, "default", "operator", name, QUICK)

    async def spec(self) -> dict[str, Any]:
        found = await self.cluster.get(API_VERSION, "Lease", "default", "operator")
        assert found is not None
        spec: dict[str, Any] = found["spec"]
        return spec


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with (
        serving() as (server, url),
        Cluster(Access(kubeconfig=write_kubeconfig(tmp_path / "kubeconfig", url))) as cluster,
    ):
        yield World(server, cluster)


@asynccontextmanager
async def kept(lease: Lease) -> AsyncIterator[asyncio.Task[None]]:
    """The lease, acquired and renewed until the block ends."""
    await lease.acquire()
    task = asyncio.create_task(lease.keep())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_of_many_candidates_at_once_one_leads(world: World) -> None:
    tasks = [asyncio.create_task(world.candidate(f"r{number}").acquire(), name=f"r{number}") for number in range(5)]
    done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert {task.get_name() for task in done} == {(await world.spec())["holderIdentity"]}


async def test_nobody_takes_over_while_the_leader_renews_and_somebody_does_when_it_is_gone(world: World) -> None:
    loop = asyncio.get_running_loop()
    async with kept(world.candidate("first")):
        waiting = asyncio.create_task(world.candidate("second").acquire())
        done, _ = await asyncio.wait([waiting], timeout=2.5 * QUICK.duration)
        assert not done
        killed = loop.time()
    # Killed rather than ended: nothing released.
    async with asyncio.timeout(5):
        await waiting
    assert loop.time() - killed >= QUICK.duration - QUICK.retry
    spec = await world.spec()
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("second", 1)


async def test_a_released_lease_is_taken_at_once(world: World) -> None:
    first = world.candidate("first")
    async with kept(first):
        waiting = asyncio.create_task(world.candidate("second").acquire())
    await first.release()
    async with asyncio.timeout(QUICK.duration / 2):
        await waiting
    assert (await world.spec())["holderIdentity"] == "second"


async def test_whoever_cannot_renew_gives_up_before_others_may_take_over(world: World) -> None:
    loop = asyncio.get_running_loop()
    async with kept(world.candidate("first")) as keeping:
        away = loop.time()
        await world.server.stop()
        with pytest.raises(LeaseLost, match="default/operator was not renewed"):
            await keeping
        assert loop.time() - away < QUICK.duration


async def test_whoever_finds_another_holder_gives_up(world: World) -> None:
    async with kept(world.candidate("first")) as keeping:
        usurped = {"apiVersion": API_VERSION, "kind": "Lease", "metadata": {"name": "operator", "namespace": "default"}}
        holder = {"holderIdentity": "other", "leaseDurationSeconds": 60}
        await world.cluster.apply({**usurped, "spec": holder})
        with pytest.raises(LeaseLost, match="by it other leads"):
            await keeping


async def test_a_lease_of_somebody_else_is_not_released(world: World) -> None:
    async with kept(world.candidate("first")):
        bystander = world.candidate("second")
        await bystander.release()
        assert (await world.spec())["holderIdentity"] == "first"
