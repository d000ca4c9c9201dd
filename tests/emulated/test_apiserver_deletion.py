"""Deletion: propagation to dependents, grace periods of pods, namespaces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.apiserver import Api, serving_in_thread

CORE = "/api/v1/namespaces/default"
MAPS = f"{CORE}/configmaps"
PODS = f"{CORE}/pods"
JOBS = "/apis/batch/v1/namespaces/default/jobs"
POD_SPEC = {"containers": [{"name": "c", "image": "i"}], "terminationGracePeriodSeconds": 7}


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with serving_in_thread() as url:
        client = Api(url)
        yield client
        client.close()


def make(api: Api, name: str, *owners: dict[str, Any], path: str = MAPS, **meta: Any) -> dict[str, Any]:
    references = [
        {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": True,
        }
        for owner in owners
    ]
    response = api.post(path, {"metadata": {"name": name, "ownerReferences": references, **meta}})
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


def test_background_deletes_the_owner_first(api: Api) -> None:
    owner = make(api, "bg")
    make(api, "bg-child", owner, finalizers=["x.dev/hold"])
    assert api.delete(f"{MAPS}/bg").status_code == 200
    assert api.get(f"{MAPS}/bg").status_code == 404
    waiting = api.watch(MAPS, fieldSelector="metadata.name=bg-child", timeoutSeconds="5")
    assert any(event["object"]["metadata"].get("deletionTimestamp") for event in waiting)
    api.patch(f"{MAPS}/bg-child", {"metadata": {"finalizers": []}})
    assert api.get(f"{MAPS}/bg-child").status_code == 404


def test_foreground_deletes_the_dependents_first_through_all_levels(api: Api) -> None:
    owner = make(api, "fg")
    child = make(api, "fg-child", owner)
    make(api, "fg-grandchild", child, finalizers=["x.dev/hold"])
    api.delete(f"{MAPS}/fg", {"propagationPolicy": "Foreground"})
    held = api.get(f"{MAPS}/fg").json()["metadata"]
    assert held["finalizers"] == ["foregroundDeletion"] and held["deletionTimestamp"]
    waiting = api.watch(MAPS, fieldSelector="metadata.name=fg-grandchild", timeoutSeconds="5")
    assert any(event["object"]["metadata"].get("deletionTimestamp") for event in waiting)
    assert [api.get(f"{MAPS}/{name}").status_code for name in ("fg", "fg-child")] == [200, 200]
    api.patch(f"{MAPS}/fg-grandchild", {"metadata": {"finalizers": []}})
    for name in ("fg-child", "fg"):
        api.gone(f"{MAPS}/{name}")


def test_orphan_leaves_the_dependents_without_their_owner(api: Api) -> None:
    owner = make(api, "or")
    make(api, "or-child", owner)
    api.delete(f"{MAPS}/or", {"propagationPolicy": "Orphan"})
    assert api.get(f"{MAPS}/or-child").json()["metadata"].get("ownerReferences", []) == []


def test_a_dependent_of_two_stays_until_both_are_gone(api: Api) -> None:
    first, second = make(api, "two-a"), make(api, "two-b")
    make(api, "two-child", first, second)
    api.delete(f"{MAPS}/two-a")
    changes = api.watch(MAPS, fieldSelector="metadata.name=two-child", timeoutSeconds="5")
    left = next(event for event in changes if len(event["object"]["metadata"].get("ownerReferences", [])) == 1)
    assert left["object"]["metadata"]["ownerReferences"][0]["name"] == "two-b"
    api.delete(f"{MAPS}/two-b")
    api.gone(f"{MAPS}/two-child")


def test_a_dependent_of_nobody_is_collected(api: Api) -> None:
    ghost = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ghost", "uid": "no-such-uid"}}
    make(api, "stray", ghost)
    api.gone(f"{MAPS}/stray")


def test_jobs_leave_their_pods_unless_told_otherwise(api: Api) -> None:
    """The default of the API, which surprises: kubectl and controllers always name a policy."""
    spec = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}
    for name, query, survives in (("left", {}, True), ("swept", {"propagationPolicy": "Background"}, False)):
        job = api.post(JOBS, {"metadata": {"name": name}, "spec": spec}).json()
        make(api, f"{name}-pod", job)
        response = api.delete(f"{JOBS}/{name}", **query)
        assert ("Warning" in response.headers) == survives
        if survives:
            assert api.get(f"{MAPS}/{name}-pod").status_code == 200
        else:
            api.gone(f"{MAPS}/{name}-pod")


def test_a_pod_on_a_node_is_left_its_grace_period(api: Api) -> None:
    path = f"{PODS}/graceful"
    api.post(PODS, {"metadata": {"name": "graceful"}, "spec": {**POD_SPEC, "nodeName": "n"}})
    api.patch(f"{path}/status", {"status": {"phase": "Running"}})
    found = api.delete(path).json()["metadata"]
    assert found["deletionGracePeriodSeconds"] == 7 and found["deletionTimestamp"]
    # A shorter period counts, a longer one does not.
    assert api.delete(path, {"gracePeriodSeconds": 60}).json()["metadata"]["deletionGracePeriodSeconds"] == 7
    assert api.delete(path, {"gracePeriodSeconds": 2}).json()["metadata"]["deletionGracePeriodSeconds"] == 2
    api.delete(path, {"gracePeriodSeconds": 0})
    assert api.get(path).status_code == 404


def test_a_pods_finalizer_does_not_end_its_grace_period(api: Api) -> None:
    path = f"{PODS}/tracked"
    body = {"metadata": {"name": "tracked", "finalizers": ["x.dev/track"]}, "spec": {**POD_SPEC, "nodeName": "n"}}
    api.post(PODS, body)
    api.delete(path)
    api.patch(path, {"metadata": {"finalizers": []}})
    assert api.get(path).status_code == 200
    api.delete(path, {"gracePeriodSeconds": 0})
    assert api.get(path).status_code == 404


@pytest.mark.parametrize("state", ["without a node", "that has ended"])
def test_a_pod_that_nobody_runs_goes_at_once(api: Api, state: str) -> None:
    name = "idle" if state == "without a node" else "ended"
    node = {} if name == "idle" else {"nodeName": "n"}
    api.post(PODS, {"metadata": {"name": name}, "spec": {**POD_SPEC, **node}})
    if name == "ended":
        api.patch(f"{PODS}/{name}/status", {"status": {"phase": "Succeeded"}})
    api.delete(f"{PODS}/{name}")
    assert api.get(f"{PODS}/{name}").status_code == 404


def test_a_namespace_goes_when_it_is_empty(api: Api) -> None:
    api.post("/api/v1/namespaces", {"metadata": {"name": "full"}})
    path = "/api/v1/namespaces/full/configmaps"
    make(api, "easy", path=path)
    make(api, "held", path=path, finalizers=["x.dev/hold"])
    assert api.delete("/api/v1/namespaces/full").json()["status"]["phase"] == "Terminating"
    refused = api.post(path, {"metadata": {"name": "late"}})
    assert refused.status_code == 403 and "because it is being terminated" in refused.text
    api.gone(f"{path}/easy")
    assert api.get("/api/v1/namespaces/full").status_code == 200
    api.patch(f"{path}/held", {"metadata": {"finalizers": []}})
    api.gone("/api/v1/namespaces/full")
    assert api.post("/api/v1/namespaces", {"metadata": {"name": "full"}}).status_code == 201
