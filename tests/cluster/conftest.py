"""A namespace of its own on the test cluster that KUBECONFIG names: `pytest --cluster tests/cluster`."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from support.real import Real, named_cluster
from support.release import Operator, Release


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    """The kubeconfig, if it names a cluster that is there to be tested on."""
    return named_cluster()[0]


@pytest.fixture
async def real(kubeconfig: Path, root: Path) -> AsyncIterator[Real]:
    """The cluster with the CRDs and a fresh namespace, which is deleted afterwards."""
    async with Real.connect(kubeconfig, f"reasoner-test-{uuid.uuid4().hex[:8]}") as found:
        for path in sorted((root / "crds").glob("*.yaml")):
            await found.install(yaml.safe_load(path.read_text()))
        await found.create_namespace()
        try:
            yield found
        finally:
            await found.delete_namespace()


@pytest.fixture
async def release(real: Real) -> AsyncIterator[Release]:
    """The chart's rights for the test's namespace alone: nothing at cluster level, and times that suit a test."""
    values = {
        "watchNamespaces": [real.namespace],
        "rbac": {"scan": False, "aggregate": False},
        "crds": {"install": False},
        "resyncSeconds": 3,
        "progressSeconds": 0.5,
    }
    async with Release(real, values).rights() as made:
        yield made


@pytest.fixture
async def operator(release: Release, tmp_path: Path) -> AsyncIterator[Operator]:
    """The operator at work in the test's namespace, with the chart's rights."""
    async with release.operator(tmp_path) as made:
        yield made
