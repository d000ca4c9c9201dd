"""The three samples, applied at once to the embedded cluster, while the operator is killed again and again. The
training is cut to a few steps: what is learnt is the demo's and the benchmarks' business."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from reasoner_api.crd import KINDS
from reasoner_local import seed
from reasoner_local.client import CONFIGMAPS, DEPLOYMENTS, JOBS, PODS, SERVICES, Client, Obj, Resource
from reasoner_local.cluster import LocalCluster
from support.local import condition, eventually, true
from support.samples import samples

RESOURCES = {kind.name: Resource("reasoner.dev", "v1alpha1", kind.plural, kind.name) for kind in KINDS.values()}
CHILDREN = (JOBS, PODS, CONFIGMAPS, SERVICES, DEPLOYMENTS)
#: Seconds within which the three runs must end, on two busy cores.
LIMIT = 420


@dataclass
class World:
    """The cluster, and the operator that a test may kill."""

    cluster: LocalCluster
    client: Client
    operator: Operator

    async def objects(self) -> list[Obj]:
        return [obj for kind in RESOURCES.values() for obj in (await self.client.list(kind))[0]]

    async def children(self) -> list[str]:
        """Everything that the operator has made, in the default namespace."""
        found = []
        for kind in CHILDREN:
            items, _ = await self.client.list(kind)
            ours = [item for item in items if "reasoner.dev/kind" in item["metadata"].get("labels", {})]
            found += [f"{kind.kind}/{item['metadata']['name']}" for item in ours]
        return found


class Operator:
    """The operator as a process of its own, with no more rights than the chart gives it."""

    def __init__(self, kubeconfig: Path, log: Path) -> None:
        self._command = [sys.executable, "-m", "reasoner_operator.cli", "operator", "--kubeconfig", str(kubeconfig)]
        self._command += ["--pod-access", "direct"]
        self._log = log.open("ab")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=self._log, stderr=self._log)

    def kill(self) -> None:
        assert self._process is not None
        assert self._process.poll() is None, "the operator has ended by itself"
        self._process.kill()
        self._process.wait()

    def peak_memory(self) -> int:
        """Peak resident memory, MiB."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) // 1024

    @contextmanager
    def running(self) -> Iterator[Operator]:
        self.start()
        try:
            yield self
        finally:
            if self._process is not None and self._process.poll() is None:
                self.kill()
            self._log.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with _world(tmp_path) as made:
        yield made


@asynccontextmanager
async def _world(folder: Path) -> AsyncIterator[World]:
    async with LocalCluster(folder / "cluster") as cluster, Client.of(cluster.kubeconfig) as client:
        # Few steps of pre-training: the policy need not know anything.
        process = await asyncio.create_subprocess_exec(
            *seed.command(), "--steps", "5", env=seed.environment(cluster.environment())
        )
        assert await process.wait() == 0
        with Operator(cluster.state.operator_kubeconfig, folder / "operator.log").running() as operator:
            yield World(cluster, client, operator)


@pytest.mark.timeout(600)
async def test_the_samples_succeed_though_the_operator_is_killed_again_and_again(world: World, root: Path) -> None:
    manifests = samples(root)
    for manifest in manifests:
        await world.client.apply(RESOURCES[manifest["kind"]], manifest)
    made: set[str] = set()
    chance = random.Random(7)
    next_kill = 0.0
    clock = asyncio.get_running_loop().time

    async def done() -> bool:
        nonlocal next_kill
        objects = await world.objects()
        jobs, _ = await world.client.list(JOBS)
        made.update(job["metadata"]["uid"] for job in jobs)
        stuck = [obj["status"]["conditions"] for obj in objects if true(obj, "Stalled")]
        assert not stuck, stuck
        if clock() > next_kill:
            if next_kill:
                world.operator.kill()
                world.operator.start()
            next_kill = clock() + chance.uniform(3, 9)
        return all(true(obj, "Ready") for obj in objects)

    await eventually(done, LIMIT)

    curation, verifier, grpo = await world.objects()
    assert len(made) == 3, "a Job was made twice"
    assert [obj["status"]["phase"] for obj in (curation, verifier, grpo)] == ["Succeeded"] * 3
    assert curation["status"]["stages"][0] == {"name": "source", "in": 40, "out": 40, "dropped": {}}
    assert 0 <= verifier["status"]["agreement"] <= 1
    assert grpo["status"]["step"] == grpo["status"]["maxSteps"] == 2
    assert {"rewardBefore", "rewardAfter", "lastCheckpoint"} <= grpo["status"].keys()
    assert grpo["status"]["lineage"]["verifier"] == verifier["status"]["artifacts"]["model"]["digest"]
    assert condition(grpo, "Ready")["observedGeneration"] == grpo["metadata"]["generation"]
    assert world.operator.peak_memory() < 200

    for obj in (curation, verifier, grpo):
        for item in obj["status"]["artifacts"].values():
            await _verify(world, item["uri"])

    for manifest in manifests:
        await world.client.delete(RESOURCES[manifest["kind"]], await _find(world, manifest))

    async def gone() -> bool:
        return await world.children() == []

    await eventually(gone, 30)


async def _find(world: World, manifest: Obj) -> Obj:
    return await world.client.get(RESOURCES[manifest["kind"]], "default", manifest["metadata"]["name"])


async def _verify(world: World, uri: str) -> None:
    command = (sys.executable, "-m", "reasoner_operator.cli", "verify", uri)
    environment = seed.environment(world.cluster.environment())
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.DEVNULL)
    assert await process.wait() == 0, uri


@pytest.fixture
def no_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that permits none, as many containers: in pods, names resolve in Python programs alone."""

    async def refused(*_: object) -> bool:
        return False

    monkeypatch.setattr("reasoner_local.cluster.can_set_apart", refused)


@pytest.mark.timeout(600)
async def test_trainings_of_two_pods_each_form_their_process_groups_and_succeed(
    no_namespaces: None, world: World, root: Path
) -> None:
    # After one another: the pods of the embedded cluster share the machine's ports, and torch listens on all addresses.
    for manifest in _on_two_pods(samples(root)):
        kind = RESOURCES[manifest["kind"]]
        await world.client.apply(kind, manifest)
        is_killed = manifest["kind"] == "GRPORun"
        if is_killed:
            await _kill_one_of_two(world)

        async def succeeded(manifest: Obj = manifest) -> bool:
            status = (await _find(world, manifest)).get("status", {})
            assert status.get("phase") not in ("Failed", "Waiting"), status
            return bool(status.get("phase") == "Succeeded")

        await eventually(succeeded, LIMIT)
        jobs = [job for job in (await world.client.list(JOBS))[0] if manifest["metadata"]["name"] in str(job)]
        assert [job["status"].get("succeeded") for job in jobs] == [2]
        # The pod that was killed is counted; the other, which lost its peer, is made again for nothing.
        assert [job["status"].get("failed", 0) for job in jobs] == [int(is_killed)]
        await world.client.delete(kind, await _find(world, manifest))


async def _kill_one_of_two(world: World) -> None:
    """Kill the second pod's launcher when there is a checkpoint to go on from."""

    async def is_under_way() -> Obj | None:
        pods = {pod["spec"]["hostname"][-2:]: pod for pod in (await world.client.list(PODS))[0]}
        if pods.keys() == {"-0", "-1"}:
            async with world.client.session.get(PODS.path("default", pods["-0"]["metadata"]["name"], "log")) as log:
                return pods["-1"] if "checkpoint of step 1 is at" in await log.text() else None
        return None

    victim = await eventually(is_under_way, LIMIT)
    os.kill(int(victim["status"]["containerStatuses"][0]["containerID"].removeprefix("process://")), signal.SIGKILL)


def _on_two_pods(manifests: list[Obj]) -> Iterator[Obj]:
    """The two trainings, each by two pods and apart from the other: nothing is served. The GRPORun is long enough for
    what befalls it."""
    changes = {
        "VerifierTraining": {"serving": {"enabled": False}},
        "GRPORun": {"verifier": {"rules": {}}, "grpo": {"maxSteps": 4}},
    }
    for manifest in manifests:
        if change := changes.get(manifest["kind"]):
            spec = manifest["spec"]
            merged = {field: {**spec[field], **value} for field, value in change.items() if field != "verifier"}
            compute = {**spec["compute"], "nodes": 2}
            yield {**manifest, "spec": {**spec, **change, **merged, "compute": compute}}
