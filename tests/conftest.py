"""Options and fixtures for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite-manifests", action="store_true", help="write the expected manifests anew; review the diff"
    )


@pytest.fixture
def root() -> Path:
    """The root of the checkout."""
    return ROOT
