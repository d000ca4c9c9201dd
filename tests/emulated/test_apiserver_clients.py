"""The clients that the project stands on, against the embedded API server: kopf and the official client's halves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import kopf
import kubernetes
import kubernetes.client
import kubernetes.dynamic
import kubernetes.watch
import pytest
from kubernetes.aio import client as aio_client
from kubernetes.aio import config as aio_config
from kubernetes.aio import dynamic as aio_dynamic
from kubernetes.aio import watch as aio_watch

from reasoner_local.apiserver import ApiServer
from support.apiserver import (
    CRDS,
    OPEN_SCHEMA,
    custom_resource_definition,
    serving,
    serving_in_thread,
    write_kubeconfig,
)

GROUP = "clients.dev"
CHORES = f"/apis/{GROUP}/v1/namespaces/default/chores"
CRD = custom_resource_definition(GROUP, "Chore", OPEN_SCHEMA)
POD = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox", "command": ["true"]}]}


def chore(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/v1", "kind": "Chore", "metadata": {"name": name}, "spec": spec or {"a": 1}}


def job(name: str) -> dict[str, Any]:
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": {"spec": POD}}}


@pytest.fixture
def blocking(tmp_path: Path) -> Iterator[kubernetes.client.ApiClient]:
    """The official client's blocking half, on a server in another thread."""
    with serving_in_thread() as url:
        kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", url)
        with kubernetes.config.new_client_from_config(str(kubeconfig)) as client:
            yield client


def test_the_blocking_typed_client(blocking: kubernetes.client.ApiClient) -> None:
    core, batch = kubernetes.client.CoreV1Api(blocking), kubernetes.client.BatchV1Api(blocking)
    crds = kubernetes.client.ApiextensionsV1Api(blocking)
    custom = kubernetes.client.CustomObjectsApi(blocking)
    crds.create_custom_resource_definition(CRD)
    assert crds.read_custom_resource_definition(f"chores.{GROUP}").status.conditions[0].status == "True"
    made = batch.create_namespaced_job("default", job("typed"))
    assert made.spec.selector.match_labels["batch.kubernetes.io/controller-uid"] == made.metadata.uid
    batch.patch_namespaced_job_status("typed", "default", {"status": {"active": 1}})
    assert batch.read_namespaced_job("typed", "default").status.active == 1
    secret = kubernetes.client.V1Secret(metadata={"name": "s"}, string_data={"a": "b"})
    assert core.create_namespaced_secret("default", secret).data == {"a": "Yg=="}
    where = (GROUP, "v1", "default", "chores")
    custom.create_namespaced_custom_object(*where, chore("typed"))
    custom.patch_namespaced_custom_object_status(*where, "typed", {"status": {"phase": "Done"}})
    found = custom.get_namespaced_custom_object(*where, "typed")
    assert (found["spec"], found["status"]) == ({"a": 1}, {"phase": "Done"})
    with pytest.raises(kubernetes.client.ApiException) as caught:
        core.read_namespaced_secret("ghost", "default")
    assert caught.value.status == 404
    assert core.read_namespace("default").status.phase == "Active"


def test_the_blocking_watch(blocking: kubernetes.client.ApiClient) -> None:
    core = kubernetes.client.CoreV1Api(blocking)
    start = core.list_namespaced_config_map("default").metadata.resource_version

    def change() -> None:
        core.create_namespaced_config_map("default", {"metadata": {"name": "w"}, "data": {"a": "1"}})
        core.patch_namespaced_config_map("w", "default", {"data": {"a": "2"}})
        core.delete_namespaced_config_map("w", "default")

    thread = threading.Thread(target=change)
    thread.start()
    seen = []
    for event in kubernetes.watch.Watch().stream(
        core.list_namespaced_config_map, "default", resource_version=start, timeout_seconds=10
    ):
        seen.append((event["type"], event["object"].data["a"]))
        if event["type"] == "DELETED":
            break
    thread.join()
    assert seen == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")]


def test_the_blocking_dynamic_client(blocking: kubernetes.client.ApiClient) -> None:
    kubernetes.client.ApiextensionsV1Api(blocking).create_custom_resource_definition(CRD)
    dynamic = kubernetes.dynamic.DynamicClient(blocking)
    chores = dynamic.resources.get(api_version=f"{GROUP}/v1", kind="Chore")
    applied = chores.server_side_apply(body=chore("d", a=1), namespace="default", field_manager="me")
    assert applied.metadata.managedFields[0].operation == "Apply"
    assert chores.get(name="d", namespace="default").spec.a == 1
    chores.delete(name="d", namespace="default")
    assert chores.get(namespace="default").items == []


def test_the_blocking_dynamic_watch(blocking: kubernetes.client.ApiClient) -> None:
    kubernetes.client.ApiextensionsV1Api(blocking).create_custom_resource_definition(CRD)
    chores = kubernetes.dynamic.DynamicClient(blocking).resources.get(api_version=f"{GROUP}/v1", kind="Chore")
    for number in (1, 2):
        chores.server_side_apply(body=chore("w", a=number), namespace="default", field_manager="me")
    seen = []
    for event in chores.watch(namespace="default", timeout=10):
        seen.append((event["type"], event["object"].spec.a))
        if event["type"] == "ADDED":
            chores.delete(name="w", namespace="default")
        else:
            break
    assert seen == [("ADDED", 2), ("DELETED", 2)]


def test_the_blocking_typed_client_applies_and_reads_pages(blocking: kubernetes.client.ApiClient) -> None:
    core = kubernetes.client.CoreV1Api(blocking)

    def apply(name: str, manager: str, **data: str) -> Any:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
        kind = "application/apply-patch+yaml"
        return core.patch_namespaced_config_map(name, "default", body, field_manager=manager, _content_type=kind)

    for name in "abc":
        apply(name, "first", x="1", y="1")
    with pytest.raises(kubernetes.client.ApiException) as caught:
        apply("a", "second", x="2")
    assert caught.value.status == 409 and 'conflict with \\"first\\"' in str(caught.value.body)
    assert apply("a", "first", y="2").data == {"y": "2"}
    first = core.list_namespaced_config_map("default", limit=2)
    core.delete_namespaced_config_map("c", "default")
    rest = core.list_namespaced_config_map("default", limit=2, _continue=first.metadata._continue)
    assert [item.metadata.name for part in (first, rest) for item in part.items] == ["a", "b", "c"]


@pytest.fixture
async def loose(tmp_path: Path) -> AsyncIterator[tuple[ApiServer, aio_client.ApiClient]]:
    """The official client's asyncio half, in the server's own event loop."""
    async with serving() as (server, url):
        kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", url)
        async with await aio_config.new_client_from_config(str(kubeconfig)) as client:
            yield server, client


async def test_the_asyncio_typed_client(loose: tuple[ApiServer, aio_client.ApiClient]) -> None:
    _, client = loose
    core, batch = aio_client.CoreV1Api(client), aio_client.BatchV1Api(client)
    made = await batch.create_namespaced_job("default", job("typed"))
    start = (await core.list_namespaced_pod("default")).metadata.resource_version
    body = {"metadata": {"name": "p", "labels": made.spec.template.metadata.labels}, "spec": POD}
    await core.create_namespaced_pod("default", body)
    async with aio_watch.Watch() as watch:
        stream = watch.stream(
            core.list_namespaced_pod,
            "default",
            resource_version=start,
            label_selector="job-name=typed",
            timeout_seconds=10,
        )
        async for event in stream:
            assert (event["type"], event["object"].metadata.name) == ("ADDED", "p")
            break
    lease = {"metadata": {"name": "l"}, "spec": {"holderIdentity": "me", "renewTime": "2026-01-01T00:00:00.000000Z"}}
    coordination = aio_client.CoordinationV1Api(client)
    assert (await coordination.create_namespaced_lease("default", lease)).spec.holder_identity == "me"
    await batch.delete_namespaced_job("typed", "default", propagation_policy="Foreground")
    with pytest.raises(aio_client.ApiException) as caught:
        await batch.read_namespaced_job("typed", "default")
    assert caught.value.status == 404


async def test_the_asyncio_dynamic_client(loose: tuple[ApiServer, aio_client.ApiClient]) -> None:
    _, client = loose
    await aio_client.ApiextensionsV1Api(client).create_custom_resource_definition(CRD)
    dynamic = await aio_dynamic.DynamicClient(client)
    chores = await dynamic.resources.get(api_version=f"{GROUP}/v1", kind="Chore")
    await chores.server_side_apply(body=chore("d", a=1, b=2), namespace="default", field_manager="me")
    again = await chores.server_side_apply(body=chore("d", a=1), namespace="default", field_manager="me")
    assert again.spec.to_dict() == {"a": 1}
    await chores.status.patch(
        body={"status": {"ok": True}}, name="d", namespace="default", content_type="application/merge-patch+json"
    )
    assert (await chores.get(name="d", namespace="default")).status.ok is True


async def test_the_asyncio_dynamic_watch(loose: tuple[ApiServer, aio_client.ApiClient]) -> None:
    _, client = loose
    await aio_client.ApiextensionsV1Api(client).create_custom_resource_definition(CRD)
    chores = await (await aio_dynamic.DynamicClient(client)).resources.get(api_version=f"{GROUP}/v1", kind="Chore")
    await chores.create(body=chore("w", a=1), namespace="default")
    seen = []
    async with aio_watch.Watch() as watcher:
        async for event in chores.watch(namespace="default", timeout=10, watcher=watcher):
            seen.append((event["type"], event["object"].spec.a))
            if event["type"] == "MODIFIED":
                watcher.stop()
                continue
            merge = "application/merge-patch+json"
            await chores.patch(body={"spec": {"a": 2}}, name="w", namespace="default", content_type=merge)
    assert seen == [("ADDED", 1), ("MODIFIED", 2)]


def operator(url: str, total: int, finished: asyncio.Event) -> kopf.OperatorRegistry:
    """A minimal operator: a Job for every chore, a word in its status, a finalizer while it lives."""
    registry = kopf.OperatorRegistry()
    made: set[str] = set()

    @kopf.on.login(registry=registry)
    def login(**arguments: Any) -> Any:
        return kopf.login_with_kubeconfig(**arguments)

    @kopf.on.startup(registry=registry)
    def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.persistence.finalizer = f"{GROUP}/held"

    @kopf.on.create(GROUP, "v1", "chores", registry=registry)
    async def create(name: str, namespace: str, body: kopf.Body, patch: kopf.Patch, **_: Any) -> None:
        child = job(name)
        kopf.adopt(child, owner=body)
        async with httpx.AsyncClient(base_url=url) as http:
            answer = await http.post(f"/apis/batch/v1/namespaces/{namespace}/jobs", json=child)
        if answer.status_code not in (201, 409):
            raise kopf.TemporaryError(answer.text, delay=1)
        patch.status["phase"] = "Made"
        made.add(name)
        if len(made) == total:
            finished.set()

    @kopf.on.delete(GROUP, "v1", "chores", registry=registry)
    def delete(**_: Any) -> None:
        """Nothing to do: the Job is collected by its owner reference."""

    del login, configure, create, delete
    return registry


async def test_a_kopf_operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    total = 50
    async with serving() as (server, url), httpx.AsyncClient(base_url=url, timeout=30) as http:
        kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", url)
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        assert (await http.post(CRDS, json=CRD)).status_code == 201
        finished, ready, stop = asyncio.Event(), asyncio.Event(), asyncio.Event()
        running = asyncio.create_task(
            kopf.operator(
                registry=operator(url, total, finished),
                namespaces=["default"],
                standalone=True,
                ready_flag=ready,
                stop_flag=stop,
            )
        )
        try:
            await asyncio.wait_for(ready.wait(), 20)
            for number in range(total):
                assert (await http.post(CHORES, json=chore(f"c{number}"))).status_code == 201
            await asyncio.wait_for(finished.wait(), 60)
            await http.delete(CHORES)
            await asyncio.wait_for(until_empty(server), 60)
        finally:
            stop.set()
            await asyncio.wait_for(running, 30)


async def until_empty(server: ApiServer) -> None:
    """Wait until every chore and every Job is gone, by watching them."""
    for key in ((GROUP, "chores"), ("batch", "jobs")):
        watcher = server.store.watch(key)
        while server.store.all(key):
            await watcher.get()
        server.store.unwatch(key, watcher)
