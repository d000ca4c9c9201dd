"""The three samples on a real control plane, to their end: its own controllers and scheduler, a node of local
processes, the operator with the chart's rights. Run with `--node`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from reasoner_api import API_VERSION
from reasoner_api.crd import KINDS
from reasoner_local import seed
from support.node import StandIn
from support.real import Real
from support.release import Release
from support.samples import samples

#: Seconds within which the three runs must end, on two busy cores.
LIMIT = 1500


@pytest.mark.timeout(2 * LIMIT)
async def test_the_samples_succeed(real: Real, kubeconfig: Path, root: Path, tmp_path: Path) -> None:
    # Where the node's Secrets are.
    default = Real(real.cluster, "default")
    values = {
        "watchNamespaces": [default.namespace],
        "rbac": {"scan": False, "aggregate": False},
        "crds": {"install": False},
    }
    async with (
        StandIn(kubeconfig, tmp_path / "node").running() as node,
        Release(real, values).rights() as release,
        release.operator(tmp_path),
    ):
        await sow(node)
        paths = []
        for manifest in samples(root):
            path = default.path(API_VERSION, KINDS[manifest["kind"]].plural, manifest["metadata"]["name"])
            status, answer = await real.request("PATCH", path, manifest, fieldValidation="Strict")
            assert status == 201, answer
            paths.append(path)
        done = await default.until(lambda: succeeded(default, paths), LIMIT)
        curation, verifier, grpo = (done[kind] for kind in KINDS)
        assert curation["status"]["stages"][0] == {"name": "source", "in": 40, "out": 40, "dropped": {}}
        assert 0 <= verifier["status"]["agreement"] <= 1
        assert grpo["status"]["step"] == grpo["status"]["maxSteps"] == 2
        assert grpo["status"]["lineage"]["verifier"] == verifier["status"]["artifacts"]["model"]["digest"]
        jobs = await default.items("batch/v1", "jobs")
        assert [job["status"].get("failed", 0) for job in jobs] == [0, 0, 0], "a pod had to be made again"
        for path in paths:
            await real.request("DELETE", path)
        await default.until(lambda: nothing_left(default))


async def sow(node: StandIn) -> None:
    """Put what the samples begin with on the node's object store."""
    # Few steps of pre-training: the policy need not know anything.
    command = [*seed.command(), "--steps", "5"]
    process = await asyncio.create_subprocess_exec(*command, env=seed.environment(node.environment()))
    assert await process.wait() == 0


async def succeeded(default: Real, paths: list[str]) -> dict[str, dict[str, Any]] | None:
    """The objects by kind, once all are Ready; none may have failed."""
    found = [(await default.request("GET", path))[1] for path in paths]
    phases = [obj.get("status", {}).get("phase") for obj in found]
    assert "Failed" not in phases, [obj["status"]["conditions"] for obj in found]
    return {obj["kind"]: obj for obj in found} if phases == ["Succeeded"] * len(paths) else None


async def nothing_left(default: Real) -> bool:
    """Whether all children are gone."""
    return await default.children() == []
