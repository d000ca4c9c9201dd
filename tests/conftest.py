"""Options and fixtures for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite-manifests", action="store_true", help="write the expected manifests anew; review the diff"
    )
    parser.addoption(
        "--cluster", action="store_true", help="also run tests/cluster, against the test cluster that KUBECONFIG names"
    )
    parser.addoption(
        "--node",
        action="store_true",
        help="the cluster has no nodes: run the samples on one of local processes",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The default run knows nothing of clusters, and a run on a cluster uses the nodes that it has."""
    options = {ROOT / "tests" / "cluster": "--cluster", ROOT / "tests" / "cluster" / "test_samples.py": "--node"}
    option = options.get(collection_path)
    return True if option is not None and not config.getoption(option) else None


@pytest.fixture
def root() -> Path:
    """The root of the checkout."""
    return ROOT
