"""Nothing of a pod outlives it, however it ends. That nothing outlives the cluster: test_local_processes."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reasoner_local.client import PODS
from reasoner_local.node.process import marked
from reasoner_local.state import ClusterState
from support.local import World, container_state, eventually, phase, shell, world

#: Leaves a child in its own session, and a grandchild whose parent is gone.
STRAY = "setsid sleep 1000 & (setsid sleep 1001 &) ; "


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path / "cluster") as made:
        yield made


def state_of(local: World) -> ClusterState:
    told = local.cluster.state.read()
    assert told is not None
    return told


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


async def gone(mark: str) -> None:
    """Await the end of every process of a cluster."""

    async def none() -> bool:
        return not marked(mark)

    await eventually(none)


async def is_up(local: World, name: str) -> bool:
    return await local.log(name) == "up\n"


async def test_what_a_container_leaves_behind_dies_with_it(local: World) -> None:
    await local.pod("p", shell(STRAY + "exit 0"))
    await local.ended("p")
    assert marked(state_of(local).mark) == []


async def test_sigterm_comes_first_and_the_grace_period_is_kept(local: World) -> None:
    kind = "trap 'echo asked; exit 7' TERM; echo up; while true; do sleep 0.05; done"
    stubborn = "trap '' TERM; echo up; while true; do sleep 0.05; done"
    await local.pod("kind", shell(kind), terminationGracePeriodSeconds=20)
    await local.pod("stubborn", shell(STRAY + stubborn), terminationGracePeriodSeconds=1)
    for name in ("kind", "stubborn"):
        # A finalizer lets the pod's last status be seen.
        await local.client.patch(
            PODS, await local.client.get(PODS, "default", name), {"metadata": {"finalizers": ["test/hold"]}}
        )
        await eventually(lambda name=name: is_up(local, name))
        await local.client.delete(PODS, await local.client.get(PODS, "default", name))
    ends = {name: container_state(await local.ended(name))["terminated"] for name in ("kind", "stubborn")}
    assert {name: end["exitCode"] for name, end in ends.items()} == {"kind": 7, "stubborn": 137}
    assert await local.log("kind") == "up\nasked\n"
    for name in ("kind", "stubborn"):
        held = await local.client.get(PODS, "default", name)
        await local.client.patch(PODS, held, {"metadata": {"finalizers": None}})
    await gone(state_of(local).mark)


async def test_pre_stop_hook_runs_before_sigterm(local: World) -> None:
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "touch drained; sleep 0.2"]}}}
    script = "trap 'test -e drained && echo after the hook; exit 0' TERM; while true; do sleep 0.05; done"
    pod = await local.pod("p", shell(script, lifecycle=hook))
    pod = await local.until(PODS, "p", lambda pod: phase(pod) == "Running")
    await local.client.delete(PODS, pod)
    await local.gone(PODS, "p")
    log = next(local.cluster.logs_dir.glob("default_p_*.log"))
    assert log.read_text() == "after the hook\n"


async def test_pod_deleted_by_force_leaves_nothing(local: World) -> None:
    pod = await local.pod("p", shell(STRAY + "sleep 1002"))
    pod = await local.until(PODS, "p", lambda pod: phase(pod) == "Running")
    await local.client.delete(PODS, pod, grace=0)
    await gone(state_of(local).mark)
    folder = local.cluster.state.path / "pods" / pod["metadata"]["uid"][:8]

    async def cleared() -> bool:
        return not folder.exists()

    await eventually(cleared)


async def test_reaper_killed_by_force_takes_its_container_along(local: World) -> None:
    await local.pod("p", shell(STRAY + "exec sleep 1003"))
    pod = await local.until(PODS, "p", lambda pod: phase(pod) == "Running")
    main = int(pod["status"]["containerStatuses"][0]["containerID"].removeprefix("process://"))
    os.kill(parent_of(main), signal.SIGKILL)
    pod = await local.ended("p")
    assert container_state(pod)["terminated"]["exitCode"] == 137
    assert marked(state_of(local).mark) == []
