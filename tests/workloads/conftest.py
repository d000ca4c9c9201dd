"""Fixtures of the workloads' tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reasoner_workloads.common.store import Store, open_store
from support import house_rewards as house
from support import stand_ins
from support.hostile import Listener, listener
from support.object_store import object_store


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


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """An object store."""
    with object_store() as url:
        yield url


@pytest.fixture
def inside() -> Iterator[Listener]:
    """A port inside, which nobody may have reached at the test's end."""
    with listener() as found:
        yield found
        assert not found.reached


@pytest.fixture(params=["a folder", "S3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store of each kind."""
    if request.param == "a folder":
        return open_store(tmp_path.as_uri())
    url: str = request.getfixturevalue("endpoint")
    return open_store(f"s3://reasoner/{tmp_path.name}", endpoint=url)
