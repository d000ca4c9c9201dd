"""A namespace of its own on the test cluster that KUBECONFIG names: `pytest --cluster tests/cluster`."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.real import Real, named_cluster


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
async def operator(kubeconfig: Path, real: Real) -> AsyncIterator[Any]:
    """The operator as a process of its own, for the test's namespace alone."""
    process = await asyncio.create_subprocess_exec(
        "reasoner", "operator", "--kubeconfig", str(kubeconfig), "--namespace", real.namespace
    )
    try:
        yield process
    finally:
        process.terminate()
        async with asyncio.timeout(20):
            code = await process.wait()
    assert code == 0
