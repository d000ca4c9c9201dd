"""The operator's own fate: killed again and again, one of two replicas lost, the API server out of reach."""

from __future__ import annotations

import asyncio
import ssl
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from reasoner_api import API_VERSION
from reasoner_api.crd import KINDS
from reasoner_local import kubeconfig
from reasoner_operator.status import is_up_to_date
from support.objects import DIGEST
from support.real import Real
from support.release import Release
from support.weather import Weather

LEASE = ("coordination.k8s.io/v1", "leases", "reasoner-operator")
#: Objects that wait for no other, suspended: nothing depends on images.
ALONE: dict[str, dict[str, Any]] = {
    "CurationJob": {"suspend": True},
    "VerifierTraining": {"suspend": True, "dataset": {"uri": "s3://models/v", "digest": DIGEST}},
    "GRPORun": {
        "suspend": True,
        "dataset": {"uri": "s3://models/q", "digest": DIGEST},
        "verifier": {"rules": {}},
        "compute": {"nodes": 2},
    },
}
KILLS = 20


async def jobs(real: Real) -> dict[str, str]:
    """Uid of each Job, by the object that it is for."""
    found = await real.items("batch/v1", "jobs")
    return {job["metadata"]["ownerReferences"][0]["name"]: job["metadata"]["uid"] for job in found}


async def has_job(real: Real, name: str) -> bool:
    """Whether an object has its Job."""
    return name in await jobs(real)


async def told_of_all(real: Real, count: int) -> dict[str, str]:
    """Await that so many objects have their Job, and a status that speaks of it; returns the Jobs."""

    async def all_told() -> dict[str, str] | None:
        objects = [item for kind in KINDS.values() for item in await real.items(API_VERSION, kind.plural)]
        told = [item for item in objects if is_up_to_date(item) and "job" in item["status"]]
        found = await jobs(real)
        return found if len(told) == len(objects) == len(found) == count else None

    result = await real.until(all_told, 120)
    assert result is not None
    return result


@pytest.mark.timeout(1200)
async def test_an_operator_that_is_killed_again_and_again_makes_every_job_once(
    real: Real, release: Release, tmp_path: Path
) -> None:
    # As somebody would run one replica that elects nobody: the next one need not wait for a lease.
    alone = Release(real, {**release.values, "leaderElection": {"enabled": False}})
    made: dict[str, set[str]] = {}
    async with alone.operator(tmp_path, await release.kubeconfig(tmp_path)) as operator:
        for number in range(KILLS):
            kind = list(ALONE)[number % len(ALONE)]
            await real.make(kind, ALONE[kind], f"{kind.lower()}-{number}")
            # Before it has done anything, in the midst of it, and afterwards.
            if number % 3 == 1:
                await real.until(partial(has_job, real, f"{kind.lower()}-{number}"))
            elif number % 3 == 2:
                await told_of_all(real, number + 1)
            await operator.kill()
            for name, uid in (await jobs(real)).items():
                made.setdefault(name, set()).add(uid)
            await operator.start()
        # The last one must have begun its work, too.
        await real.make("CurationJob", ALONE["CurationJob"], "last")
        for name, uid in (await told_of_all(real, KILLS + 1)).items():
            made.setdefault(name, set()).add(uid)
    assert {len(uids) for uids in made.values()} == {1}
    events = await real.items("v1", "events")
    assert {item["type"] for item in events if item["involvedObject"]["kind"] in KINDS} == {"Normal"}


async def test_the_replica_that_stands_by_takes_over_when_the_other_is_lost(
    real: Real, release: Release, tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()

    async def holder() -> str:
        status, lease = await real.request("GET", real.path(*LEASE))
        return str(lease["spec"]["holderIdentity"]) if status == 200 else ""

    async with release.operator(folders[0]) as first:
        leader = await real.until(holder)
        async with release.operator(folders[1]) as second:
            await real.make("CurationJob", ALONE["CurationJob"], "before")
            await told_of_all(real, 1)
            await first.kill()
            await real.make("CurationJob", ALONE["CurationJob"], "after")
            found = await told_of_all(real, 2)
            assert await holder() not in ("", leader)
            assert second.process.returncode is None
    assert set(found) == {"before", "after"}
    # Who ended well let go of it.
    assert await holder() == ""


async def test_an_operator_that_does_not_reach_the_api_server_for_a_while_goes_on_afterwards(
    real: Real, release: Release, tmp_path: Path
) -> None:
    login = kubeconfig.read(await release.kubeconfig(tmp_path))
    weather = Weather(login.url, seed=1, trusted=ssl.create_default_context(cadata=login.authority))
    alone = Release(real, {**release.values, "leaderElection": {"enabled": False}})
    async with weather.served() as url:
        config = kubeconfig.write(tmp_path / "weather", kubeconfig.Login(url, login.token))
        async with alone.operator(tmp_path, config):
            await real.make("GRPORun", ALONE["GRPORun"], "before")
            await told_of_all(real, 1)
            weather.away = True
            await real.make("GRPORun", ALONE["GRPORun"], "meanwhile")
            await asyncio.sleep(15)
            assert set(await jobs(real)) == {"before"}
            weather.away = False
            await told_of_all(real, 2)


async def test_a_status_that_somebody_writes_is_put_right_at_once(real: Real, release: Release, tmp_path: Path) -> None:
    # Nothing else happens to an object that waits: not even the periodic look comes within the test.
    alone = Release(real, {**release.values, "leaderElection": {"enabled": False}, "resyncSeconds": 3600})
    async with alone.operator(tmp_path, await release.kubeconfig(tmp_path)):
        path = await real.make("GRPORun", {"dataset": {"curationJobRef": {"name": "nobody"}}})
        await real.condition(path, lambda one: one["reason"] == "ReferenceNotFound")
        await real.merge(f"{path}/status", {"status": {"phase": "Succeeded"}})

        async def waits() -> bool:
            _, found = await real.request("GET", path)
            return bool(found["status"]["phase"] == "Waiting")

        await real.until(waits)
