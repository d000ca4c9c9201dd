"""The reconciler against the embedded API server: real HTTP, real admission, children played by the tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reasoner_api import API_VERSION
from reasoner_api.crd import KINDS, custom_resource_definition
from reasoner_api.report import RunReport
from reasoner_api.status import Artifact
from reasoner_local import permissions
from reasoner_local.apiserver import ApiServer
from reasoner_local.client import Client
from reasoner_local.kubeconfig import Login
from reasoner_operator import reconcile
from reasoner_operator.answers import Refused, Unavailable
from reasoner_operator.children import watch_children
from reasoner_operator.cluster import Access, Cluster
from reasoner_operator.handlers import CHILDREN
from reasoner_operator.plan import plan
from reasoner_operator.reconcile import Reconciler
from reasoner_operator.seen import Key, Patch, Target
from reasoner_operator.settings import Settings
from reasoner_operator.transport import Request
from support.apiserver import write_kubeconfig
from support.objects import DIGEST, NOW, SPECS

CRD = "apiextensions.k8s.io/v1"


@dataclass
class World:
    """An API server with the CRDs, and a reconciler at work on it, with no more rights than the chart gives it."""

    server: ApiServer
    cluster: Cluster
    reconciler: Reconciler
    #: Keys that the reconciler asked to have looked at again, in order.
    woken: list[Key]

    async def create(self, kind: str, name: str = "demo", spec: dict[str, Any] | None = None) -> Key:
        manifest = {
            "apiVersion": API_VERSION,
            "kind": kind,
            "metadata": {"name": name, "namespace": "default"},
            "spec": {**SPECS[kind], **(spec or {})},
        }
        await self.cluster.apply(manifest)
        return Key(kind, "default", name)

    async def get(self, key: Key) -> dict[str, Any]:
        found = await self.cluster.get(API_VERSION, key.kind, key.namespace, key.name)
        assert found is not None
        return found

    async def jobs(self) -> list[dict[str, Any]]:
        return await self.cluster.find("batch/v1", "Job", "default")

    async def finish(self, job: dict[str, Any], report: RunReport) -> None:
        """Play the Job controller and the kubelet: one pod that has ended with this report."""
        name = job["metadata"]["name"]
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job["metadata"]["uid"]}
        template = job["spec"]["template"]
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"{name}-0",
                "namespace": "default",
                "labels": template["metadata"]["labels"],
                "ownerReferences": [{**owner, "controller": True}],
            },
            "spec": template["spec"],
        }
        await self.cluster.apply(pod)
        ended = {"exitCode": 0, "message": report.termination_message()}
        await self.status(
            "v1",
            "Pod",
            pod["metadata"]["name"],
            {"containerStatuses": [{"name": "main", "state": {"terminated": ended}}]},
        )
        kind = "Complete" if report.state == "Succeeded" else "Failed"
        condition = {"type": kind, "status": "True", "lastTransitionTime": "2026-01-02T03:04:05Z"}
        await self.status("batch/v1", "Job", name, {"conditions": [condition]})

    async def status(self, api_version: str, kind: str, name: str, status: dict[str, Any]) -> None:
        obj = await self.cluster.get(api_version, kind, "default", name)
        assert obj is not None
        await self.cluster.report(obj, status)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    server = ApiServer(admin_token="admin")
    url = await server.start()
    async with Client(Login(url, "admin")) as client:
        token = await permissions.grant(client)
    admin, own = (Access(kubeconfig=write_kubeconfig(tmp_path / name, url, name)) for name in ("admin", token))
    async with Cluster(admin) as cluster, Cluster(own) as operators:
        for kind in KINDS.values():
            await _install(cluster, custom_resource_definition(kind))
        woken: list[Key] = []
        yield World(server, cluster, Reconciler(operators, Settings(), wake=woken.append), woken)
    await server.stop()


async def _install(cluster: Cluster, crd: dict[str, Any]) -> None:
    path = f"/apis/{CRD}/customresourcedefinitions"
    status, body = await cluster.transport.request(Request("POST", path, content=("application/json", crd)))
    assert status == 201, body


async def test_a_fresh_object_gets_its_children_once(world: World) -> None:
    key = await world.create("CurationJob")
    for _ in range(3):
        await world.reconciler.reconcile(key)
    (job,) = await world.jobs()
    (config_map,) = await world.cluster.find("v1", "ConfigMap", "default")
    assert config_map["metadata"]["name"] == job["metadata"]["name"]
    obj = await world.get(key)
    assert obj["status"]["job"] == job["metadata"]["name"]
    assert obj["status"]["observedGeneration"] == obj["metadata"]["generation"]


async def test_the_admitted_spec_is_what_the_models_say(world: World) -> None:
    """The API server's defaults and pydantic's are the same: else the operator would plan for another spec."""
    for kind in KINDS.values():
        key = await world.create(kind.name)
        obj = await world.get(key)
        assert kind.spec.model_validate(obj["spec"]) == kind.spec.model_validate(SPECS[kind.name])


async def test_an_unchanged_status_is_not_written_again(world: World) -> None:
    key = await world.create("CurationJob")
    for _ in range(2):
        await world.reconciler.reconcile(key)
    before = (await world.get(key))["metadata"]["resourceVersion"]
    await world.reconciler.reconcile(key)
    assert (await world.get(key))["metadata"]["resourceVersion"] == before


async def test_a_new_operator_leaves_the_running_job_alone(world: World) -> None:
    key = await world.create("CurationJob")
    await world.reconciler.reconcile(key)
    (before,) = await world.jobs()
    settings = Settings.model_validate({"images": {"curation": "registry.example.com/curation:2"}})
    await Reconciler(world.cluster, settings).reconcile(key)
    (after,) = await world.jobs()
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


async def test_all_three_can_be_applied_at_once_in_any_order(world: World) -> None:
    grpo = await world.create("GRPORun")
    verifier = await world.create("VerifierTraining", "judge")
    curation = await world.create("CurationJob", "questions")
    assert await world.reconciler.reconcile(grpo) is None
    assert (await world.get(grpo))["status"]["phase"] == "Waiting"
    await world.reconciler.reconcile(verifier)
    assert world.reconciler.waits.of(curation) == {grpo, verifier}

    await world.reconciler.reconcile(curation)
    artifacts = {
        "dataset": Artifact(uri="s3://q", digest=DIGEST, rows=9),
        "verifier_data": Artifact(uri="s3://v", digest=DIGEST, rows=72),
    }
    (job,) = await world.jobs()
    await world.finish(job, RunReport(state="Succeeded", complete=True, artifacts=artifacts))
    await world.reconciler.reconcile(curation)
    assert (await world.get(curation))["status"]["phase"] == "Succeeded"
    assert set(world.woken[-2:]) == {grpo, verifier}

    await world.reconciler.reconcile(verifier)
    job = next(item for item in await world.jobs() if item["metadata"]["name"].startswith("judge-"))
    model = {"model": Artifact(uri="s3://m", digest=DIGEST)}
    await world.finish(job, RunReport(state="Succeeded", complete=True, metrics={"agreement": 0.9}, artifacts=model))
    await world.reconciler.reconcile(verifier)
    assert (await world.get(verifier))["status"]["phase"] == "Deploying"
    server = f"judge-verifier-{'a' * 8}"
    deployment = await world.cluster.get("apps/v1", "Deployment", "default", server)
    assert deployment is not None
    observed = {"readyReplicas": 1, "observedGeneration": deployment["metadata"]["generation"]}
    observed |= {"replicas": 1, "updatedReplicas": 1}
    await world.status("apps/v1", "Deployment", server, observed)
    await world.reconciler.reconcile(verifier)
    assert (await world.get(verifier))["status"]["endpoint"] == f"http://{server}.default.svc:8000/v1"

    await world.reconciler.reconcile(grpo)
    assert world.reconciler.waits.of(verifier) == frozenset()
    run = await world.get(grpo)
    assert (run["status"]["phase"], run["status"]["lineage"]) == ("Pending", {"verifier": DIGEST})
    assert len(await world.jobs()) == 3


async def test_what_the_api_server_refuses_becomes_the_status(world: World) -> None:
    key = await world.create("CurationJob")
    seen = await world.reconciler.see(key)
    assert seen is not None
    wanted = plan(seen, Settings(), NOW).apply[0]
    # Our ConfigMap with other data stands in the way, and cannot be changed.
    await world.cluster.apply({**wanted, "data": {"other": "data"}})
    again = await world.reconciler.reconcile(key)
    ready = (await world.get(key))["status"]["conditions"][0]
    assert ready["reason"] == "Refused"
    assert "immutable" in ready["message"]
    assert again == world.reconciler.settings.resync_seconds


async def test_an_object_of_the_same_name_that_is_not_ours_is_not_taken_over(world: World) -> None:
    key = await world.create("CurationJob")
    seen = await world.reconciler.see(key)
    assert seen is not None
    name = {"name": plan(seen, Settings(), NOW).apply[0]["metadata"]["name"], "namespace": "default"}
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": name, "data": {"other": "data"}}
    await world.cluster.apply(theirs)
    await world.reconciler.reconcile(key)
    ready = (await world.get(key))["status"]["conditions"][0]
    assert (ready["reason"], await world.jobs()) == ("Refused", [])
    assert f"ConfigMap {name['name']} exists already" in ready["message"]
    (found,) = await world.cluster.find("v1", "ConfigMap", "default")
    assert found["data"] == {"other": "data"}


async def test_an_object_that_is_gone_or_going_is_left_alone(world: World) -> None:
    assert await world.reconciler.reconcile(Key("GRPORun", "default", "nobody")) is None
    assert await world.jobs() == []


async def test_a_status_meant_for_a_deleted_object_is_not_written_to_its_successor(world: World) -> None:
    key = await world.create("CurationJob")
    old = await world.get(key)
    await world.cluster.delete("default", Target(API_VERSION, "CurationJob", "demo"))
    await world.create("CurationJob")
    with pytest.raises(Unavailable, match="UID"):
        await world.cluster.report(old, {"phase": "Succeeded"})
    assert "status" not in await world.get(key)


async def test_an_edit_of_an_immutable_field_is_refused_with_its_name(world: World) -> None:
    key = await world.create("CurationJob")
    body = {"spec": {"filters": {"candidates": 4, "maxCorrect": 3}}}
    with pytest.raises(Refused, match=r"spec\.filters: .*filters is immutable"):
        await world.cluster.patch("default", Patch(API_VERSION, "CurationJob", "demo", body))
    await world.cluster.patch("default", Patch(API_VERSION, "CurationJob", "demo", {"spec": {"suspend": True}}))
    assert (await world.get(key))["spec"]["suspend"] is True


@pytest.mark.parametrize(
    ("kind", "spec", "says"),
    [
        ("CurationJob", {"shards": 0}, r"spec\.shards.*greater than or equal to 1"),
        ("CurationJob", {"parallelism": 9}, "parallelism may not be greater than shards"),
        ("CurationJob", {"filters": {"candidates": 4}}, "maxCorrect may not be greater than candidates"),
        ("CurationJob", {"storage": {"uri": "http://x"}}, r"spec\.storage\.uri"),
        ("VerifierTraining", {"dataset": {}}, "set exactly one of curationJobRef and uri"),
        ("GRPORun", {"verifier": {"rules": {}, "endpoint": "http://x", "model": "m"}}, "set exactly one of"),
        ("GRPORun", {"verifier": {"endpoint": "http://x"}}, "endpoint and model go together"),
        ("GRPORun", {"grpo": {"lossType": "gspo"}}, r'spec\.grpo\.lossType.*supported values: "bnpo", "grpo"'),
        ("GRPORun", {"grpo": {"scaleRewards": "no"}}, r"spec\.grpo\.scaleRewards"),
        ("GRPORun", {"grpo": {"seed": -1}}, r"spec\.grpo\.seed"),
        ("GRPORun", {"grpo": {"delta": 1.2}}, r"spec\.grpo: .*delta must be above 1 \+ epsilon"),
    ],
)
async def test_a_bad_spec_is_refused_with_the_reason(world: World, kind: str, spec: dict[str, Any], says: str) -> None:
    with pytest.raises(Refused, match=says):
        await world.create(kind, spec=spec)


async def test_a_server_that_is_away_is_worth_another_try(world: World) -> None:
    await world.server.stop()
    with pytest.raises(Unavailable):
        await world.reconciler.reconcile(Key("GRPORun", "default", "demo"))


async def test_a_bug_shows_in_the_object_that_trips_over_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def buggy(*_: object) -> None:
        raise ZeroDivisionError("odd")

    key = await world.create("CurationJob")
    monkeypatch.setattr(reconcile, "plan", buggy)
    with pytest.raises(ZeroDivisionError):
        await world.reconciler.reconcile(key)
    ready = (await world.get(key))["status"]["conditions"][0]
    assert ready["reason"] == "InternalError"
    assert "ZeroDivisionError: odd" in ready["message"]
    monkeypatch.undo()
    await world.reconciler.reconcile(key)
    assert (await world.get(key))["status"]["conditions"][0]["reason"] == "JobCreated"


async def test_what_cannot_be_applied_now_shows_in_the_status(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(manifest: object) -> None:
        raise Unavailable("500: failed calling webhook")

    key = await world.create("CurationJob")
    monkeypatch.setattr(world.reconciler.cluster, "apply", away)
    with pytest.raises(Unavailable):
        await world.reconciler.reconcile(key)
    conditions = (await world.get(key))["status"]["conditions"]
    assert [item["status"] for item in conditions] == ["False", "True", "False"]
    assert (conditions[0]["reason"], "failed calling webhook" in conditions[0]["message"]) == ("Retrying", True)


async def test_an_event_that_is_refused_holds_nothing_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A namespace that is being deleted takes no new Events, while its objects are still there."""

    async def terminating(*_: object) -> None:
        raise Refused("because it is being terminated")

    key = await world.create("CurationJob")
    monkeypatch.setattr(world.reconciler.cluster, "record", terminating)
    await world.reconciler.reconcile(key)
    assert (await world.get(key))["status"]["conditions"][0]["reason"] == "JobCreated"


async def test_an_object_that_becomes_ready_while_it_is_read_wakes_the_reader(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await world.create("GRPORun")
    questions = Key("CurationJob", "default", "questions")
    read, waiting = world.cluster.get, []

    async def get(api_version: str, kind: str, namespace: str, name: str) -> Any:
        if kind == "CurationJob":
            waiting.append(world.reconciler.waits.of(questions))
        return await read(api_version, kind, namespace, name)

    monkeypatch.setattr(world.reconciler.cluster, "get", get)
    await world.reconciler.reconcile(run)
    assert waiting == [{run}]
    monkeypatch.undo()
    await world.cluster.delete("default", Target(API_VERSION, "GRPORun", "demo"))
    await world.reconciler.reconcile(run)
    assert len(world.reconciler.waits) == 0


async def test_the_job_is_read_before_its_pods(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other way about, a Job could be seen complete and its pods as they were before their end."""
    key = await world.create("CurationJob")
    find, done = world.cluster.find, []

    async def recorded(api_version: str, kind: str, *more: Any) -> Any:
        if kind == "Pod":
            assert done == ["Job"]
        found = await find(api_version, kind, *more)
        done.append(kind)
        return found

    monkeypatch.setattr(world.reconciler.cluster, "find", recorded)
    await world.reconciler.reconcile(key)
    assert "Pod" in done


async def test_a_childs_parent_is_told_of_it_and_of_nobody_elses(world: World) -> None:
    key = await world.create("CurationJob")
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs", "namespace": "default"}}
    await world.cluster.apply(theirs)
    told: asyncio.Queue[Key] = asyncio.Queue()
    watched = (("batch", "v1", "jobs"), ("", "v1", "configmaps"))
    task = asyncio.create_task(watch_children(world.cluster, watched, (), told.put_nowait))
    try:
        await world.reconciler.reconcile(key)
        # The Job's and the ConfigMap's making, and the Job's going.
        assert {await told.get(), await told.get()} == {key}
        (job,) = await world.jobs()
        await world.cluster.delete("default", Target("batch/v1", "Job", job["metadata"]["name"]))
        assert await told.get() == key
        assert told.empty()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_children_that_are_there_already_are_told_of(world: World) -> None:
    key = await world.create("CurationJob")
    await world.reconciler.reconcile(key)
    told: asyncio.Queue[Key] = asyncio.Queue()
    task = asyncio.create_task(watch_children(world.cluster, CHILDREN, ("default",), told.put_nowait))
    try:
        assert await told.get() == key
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_list_that_is_null_is_empty(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Kubernetes 1.36 writes an empty list of metadata."""

    async def null(*_: object, **__: object) -> tuple[int, bytes]:
        return 200, b'{"kind": "PartialObjectMetadataList", "metadata": {"resourceVersion": "1"}, "items": null}'

    monkeypatch.setattr(world.cluster.transport, "request", null)
    assert await world.jobs() == []
    # The watch that follows is the server's own: version 1 is long past, which it says as an event.
    with pytest.raises(Unavailable, match="too old resource version"):
        await anext(world.cluster.metadata("/api/v1/pods", ""))
