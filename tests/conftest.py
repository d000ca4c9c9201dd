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


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The default run knows nothing of clusters."""
    return True if collection_path == ROOT / "tests" / "cluster" and not config.getoption("--cluster") else None


@pytest.fixture
def root() -> Path:
    """The root of the checkout."""
    return ROOT
