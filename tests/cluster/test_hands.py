"""What people do to an object and its children by hand, and what becomes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from reasoner_api import API_VERSION
from support.objects import DIGEST
from support.real import Real

pytestmark = pytest.mark.usefixtures("operator")

GROUP: dict[str, Any] = {
    "dataset": {"uri": "s3://models/q", "digest": DIGEST},
    "verifier": {"rules": {}},
    "compute": {"nodes": 2, "nodeSelector": {"reasoner.dev/test": "no-node-has-this"}},
}


async def begun(real: Real, kind: str = "GRPORun", spec: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
    """An object whose Job has been made: its path, and the Job."""
    path = await real.make(kind, spec or GROUP)

    async def job() -> dict[str, Any] | None:
        return next(iter(await real.items("batch/v1", "jobs")), None)

    found = await real.until(job)
    assert found is not None
    return path, found


def of_job(real: Real, job: dict[str, Any], api_version: str, plural: str) -> str:
    return real.path(api_version, plural, job["metadata"]["name"])


def other_uid(real: Real, path: str, uid: str) -> Callable[[], Awaitable[dict[str, Any] | None]]:
    """Whether there is another object in the place of one."""

    async def again() -> dict[str, Any] | None:
        status, found = await real.request("GET", path)
        return found if status == 200 and found["metadata"]["uid"] != uid else None

    return again


async def test_a_job_that_is_deleted_is_made_again(real: Real) -> None:
    _, job = await begun(real)
    where = of_job(real, job, "batch/v1", "jobs")
    await real.request("DELETE", where, propagationPolicy="Background")
    again = await real.until(other_uid(real, where, job["metadata"]["uid"]))
    assert again is not None
    assert again["spec"]["template"]["spec"] == job["spec"]["template"]["spec"]


@pytest.mark.parametrize("plural", ["configmaps", "services"])
async def test_what_a_job_stands_on_is_made_again_as_it_was(real: Real, plural: str) -> None:
    _, job = await begun(real)
    where = of_job(real, job, "v1", plural)
    _, before = await real.request("GET", where)
    await real.request("DELETE", where)
    again = await real.until(other_uid(real, where, before["metadata"]["uid"]))
    assert again is not None
    assert again.get("data") == before.get("data")
    assert again["metadata"]["ownerReferences"] == before["metadata"]["ownerReferences"]
    _, same = await real.request("GET", of_job(real, job, "batch/v1", "jobs"))
    assert same["metadata"]["uid"] == job["metadata"]["uid"]


@pytest.mark.parametrize("change", [{"parallelism": 1}, {"suspend": True}])
async def test_a_job_that_is_edited_is_put_right(real: Real, change: dict[str, Any]) -> None:
    _, job = await begun(real)
    where = of_job(real, job, "batch/v1", "jobs")
    await real.merge(where, {"spec": change})

    async def right() -> bool:
        _, found = await real.request("GET", where)
        return (found["spec"]["parallelism"], found["spec"]["suspend"]) == (2, False)

    await real.until(right)


async def test_a_status_that_somebody_writes_is_put_right(real: Real) -> None:
    path, _ = await begun(real)
    before = await real.condition(path, lambda one: one["reason"] == "Unschedulable")
    lie = {"phase": "Succeeded", "conditions": [{**before, "status": "True", "reason": "Lie"}]}
    await real.merge(f"{path}/status", {"status": lie})
    ready = await real.condition(path, lambda one: one["reason"] == "Unschedulable")
    assert (ready["status"], ready["message"]) == ("False", before["message"])
    _, found = await real.request("GET", path)
    assert (found["status"]["phase"], len(found["status"]["conditions"])) == ("Pending", 3)


async def test_a_pause_by_the_spec_and_its_end(real: Real) -> None:
    path, job = await begun(real)
    await real.merge(path, {"spec": {"suspend": True}})
    await real.condition(path, lambda one: one["reason"] == "Suspended")

    async def no_pods() -> bool:
        return await real.items("v1", "pods") == []

    await real.until(no_pods)
    await real.merge(path, {"spec": {"suspend": False}})

    async def two_pods() -> bool:
        return len(await real.items("v1", "pods")) == 2

    await real.until(two_pods)
    _, same = await real.request("GET", of_job(real, job, "batch/v1", "jobs"))
    assert same["metadata"]["uid"] == job["metadata"]["uid"]


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({**GROUP, "suspend": True}, "Suspended"),
        (GROUP, "Unschedulable"),
        ({**GROUP, "dataset": {"curationJobRef": {"name": "nobody"}}}, "ReferenceNotFound"),
        ({**GROUP, "compute": {"profile": "nobody"}}, "UnknownProfile"),
    ],
    ids=["paused", "under way", "waiting", "stalled"],
)
async def test_an_object_goes_whatever_its_state_and_all_of_it(
    real: Real, spec: dict[str, Any], reason: str, policy: str
) -> None:
    path = await real.make("GRPORun", spec)
    await real.condition(path, lambda one: one["reason"] == reason)
    await real.request("DELETE", path, propagationPolicy=policy)
    await real.gone(path)

    async def nothing_left() -> bool:
        return await real.children() == []

    await real.until(nothing_left)


async def test_children_that_were_orphaned_hold_up_the_next_of_the_name_and_say_so(real: Real) -> None:
    path, job = await begun(real)
    await real.request("DELETE", path, propagationPolicy="Orphan")
    await real.gone(path)
    await real.make("GRPORun", GROUP)
    ready = await real.condition(path, lambda one: one["reason"] == "Replacing")
    assert f"Job/{job['metadata']['name']}" in ready["message"]
    assert "delete what stays" in ready["message"]
    for version, plural in (("batch/v1", "jobs"), ("v1", "configmaps"), ("v1", "services")):
        await real.request("DELETE", of_job(real, job, version, plural), propagationPolicy="Background")
    await real.condition(path, lambda one: one["reason"] == "Unschedulable")


async def test_a_broken_object_holds_up_no_other(real: Real) -> None:
    broken = {**GROUP, "compute": {"env": [{"name": "A", "value": 3}]}}
    for number in range(3):
        await real.make("GRPORun", broken, f"broken-{number}")
        await real.make("GRPORun", GROUP, f"good-{number}")
    for number in range(3):
        good, bad = (real.path(API_VERSION, "grporuns", f"{name}-{number}") for name in ("good", "broken"))
        await real.condition(good, lambda one: one["reason"] == "Unschedulable")
        await real.condition(bad, lambda one: one["status"] == "True", "Stalled")
