"""What a cluster refuses (quotas, limits, security policies, places on nodes), and what the status then says of it."""

from __future__ import annotations

from typing import Any

import pytest

from support.objects import DIGEST
from support.real import Real

pytestmark = pytest.mark.usefixtures("operator")

#: An object of each kind that waits for no other.
ALONE: dict[str, dict[str, Any]] = {
    "CurationJob": {"shards": 1},
    "VerifierTraining": {"dataset": {"uri": "s3://models/v", "digest": DIGEST}},
    "GRPORun": {"dataset": {"uri": "s3://models/q", "digest": DIGEST}, "verifier": {"rules": {}}},
}


def policy(level: str) -> dict[str, Any]:
    return {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": level}}}


def quota(**hard: str) -> dict[str, Any]:
    names = {"pods": "pods", "jobs": "count/jobs.batch"}
    return {"metadata": {"name": "team"}, "spec": {"hard": {names[key]: value for key, value in hard.items()}}}


async def put(real: Real, plural: str, body: dict[str, Any]) -> None:
    status, answer = await real.request("POST", real.path("v1", plural), body)
    assert status == 201, answer

    async def counted() -> bool:
        _, found = await real.request("GET", real.path("v1", plural, body["metadata"]["name"]))
        return plural != "resourcequotas" or bool(found.get("status", {}).get("hard"))

    await real.until(counted)


@pytest.mark.parametrize("kind", ALONE)
async def test_pods_are_made_where_the_strictest_policy_is_enforced(real: Real, kind: str) -> None:
    await real.merge(f"/api/v1/namespaces/{real.namespace}", policy("restricted"))
    await real.make(kind, ALONE[kind])

    async def has_pod() -> bool:
        return bool(await real.items("v1", "pods"))

    await real.until(has_pod)


async def test_a_pod_that_a_security_policy_refuses_shows_in_the_status(real: Real) -> None:
    await real.merge(f"/api/v1/namespaces/{real.namespace}", policy("baseline"))
    volumes = {"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}
    path = await real.make("CurationJob", {**ALONE["CurationJob"], "compute": volumes})
    ready = await real.condition(path, lambda one: one["reason"] == "FailedCreate")
    assert 'violates PodSecurity "baseline' in ready["message"]
    assert "hostPath volumes" in ready["message"]


async def test_a_run_that_a_quota_refuses_says_so_and_goes_on_when_there_is_room(real: Real) -> None:
    await put(real, "resourcequotas", quota(pods="0"))
    path = await real.make("CurationJob", ALONE["CurationJob"])
    ready = await real.condition(path, lambda one: one["reason"] == "FailedCreate")
    assert "exceeded quota: team" in ready["message"]
    reconciling = await real.condition(path, lambda one: True, "Reconciling")
    assert reconciling["status"] == "True", "a quota may free itself"
    await real.merge(real.path("v1", "resourcequotas", "team"), quota(pods="9"))
    # The Job controller tries again after ten seconds, then twenty, ...
    await real.condition(path, lambda one: one["reason"] != "FailedCreate")


async def test_a_job_that_a_quota_refuses_stalls_and_is_made_when_there_is_room(real: Real) -> None:
    await put(real, "resourcequotas", quota(jobs="0"))
    path = await real.make("CurationJob", ALONE["CurationJob"])
    stalled = await real.condition(path, lambda one: one["status"] == "True", "Stalled")
    assert stalled["reason"] == "Refused"
    assert "exceeded quota: team" in stalled["message"]
    await real.merge(real.path("v1", "resourcequotas", "team"), quota(jobs="9"))
    await real.condition(path, lambda one: one["status"] == "False", "Stalled")


async def test_a_pod_beyond_the_limits_of_its_namespace_shows_in_the_status(real: Real) -> None:
    limits = [{"type": "Container", "max": {"cpu": "100m"}, "default": {"cpu": "50m"}}]
    await put(real, "limitranges", {"metadata": {"name": "small"}, "spec": {"limits": limits}})
    resources = {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}}
    path = await real.make("CurationJob", {**ALONE["CurationJob"], "compute": resources})
    ready = await real.condition(path, lambda one: one["reason"] == "FailedCreate")
    assert "maximum cpu usage per Container is 100m" in ready["message"]


async def test_a_pod_that_fits_no_node_shows_in_the_status_and_in_an_event(real: Real) -> None:
    nowhere = {"nodeSelector": {"reasoner.dev/test": "no-node-has-this"}}
    path = await real.make("GRPORun", {**ALONE["GRPORun"], "compute": nowhere})
    ready = await real.condition(path, lambda one: one["reason"] == "Unschedulable")
    assert "available" in ready["message"]

    async def told() -> list[dict[str, Any]]:
        about = [item for item in await real.items("v1", "events") if item["involvedObject"]["name"] == "demo"]
        return [item for item in about if item["reason"] == "Unschedulable"]

    (event,) = await real.until(told)
    assert (event["type"], event["message"]) == ("Warning", ready["message"])


async def test_a_profile_that_is_not_there_is_named_with_those_that_are(real: Real) -> None:
    path = await real.make("CurationJob", {"compute": {"profile": "h200"}})
    stalled = await real.condition(path, lambda one: one["status"] == "True", "Stalled")
    assert stalled["reason"] == "UnknownProfile"
    assert "h200" in stalled["message"]


async def test_a_variable_that_the_cluster_refuses_shows_in_the_status(real: Real) -> None:
    path = await real.make("CurationJob", {"compute": {"env": [{"name": "A", "value": 3}]}})
    stalled = await real.condition(path, lambda one: one["status"] == "True", "Stalled")
    assert '.env[name="A"].value: expected string' in stalled["message"]
