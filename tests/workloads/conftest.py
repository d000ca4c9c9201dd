"""Fixtures of the workloads' tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import house_rewards as house
from support import stand_ins


@pytest.fixture(scope="session")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the published stand-ins."""
    folder = tmp_path_factory.mktemp("seeds")
    stand_ins.publish(folder)
    return folder


@pytest.fixture(scope="session")
def house_rewards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with one that brings rewards."""
    return house.install(tmp_path_factory.mktemp("house"))
