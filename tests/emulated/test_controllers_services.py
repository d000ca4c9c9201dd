"""Deployments, ReplicaSets, Services, names and the scheduler, as a cluster has them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from reasoner_local.client import DEPLOYMENTS, ENDPOINTS, NODES, PODS, REPLICASETS, SERVICES, SLICES, Obj
from reasoner_local.cluster import Options
from reasoner_local.node.context import Capacity
from reasoner_local.node.process import can_set_apart
from support.local import World, condition, count, eventually, phase, python, shell, true, world

#: Answers with its own name, once it is allowed to.
SERVER = """
import http.server, os, pathlib
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/" or pathlib.Path("ready").exists() else 503)
        self.end_headers()
        self.wfile.write(os.environ["HOSTNAME"].encode())
http.server.HTTPServer((os.environ["POD_IP"], 8000), Handler).serve_forever()
"""
POD_IP = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
PORTS = [{"name": "http", "containerPort": 8000}]
LISTENS = {"tcpSocket": {"port": "http"}, "periodSeconds": 1}


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[World]:
    quick = Options(capacity=Capacity(cpus=4, memory="8Gi", gpus=2), job_backoff=0.1, restart_backoff=0.1)
    async with world(tmp_path / "cluster", quick) as made:
        yield made


def server(**fields: object) -> Obj:
    return python(SERVER, env=[POD_IP], ports=PORTS, **{"readinessProbe": LISTENS, **fields})


def settled(deployment: Obj) -> bool:
    """What `kubectl rollout status` waits for."""
    status, spec = deployment.get("status") or {}, deployment["spec"]
    counts = (status.get(name, 0) for name in ("updatedReplicas", "replicas", "availableReplicas"))
    current = status.get("observedGeneration") == deployment["metadata"]["generation"]
    return current and set(counts) == {spec["replicas"]}


async def ask(url: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.text()


async def test_deployment_rolls_out_scales_and_rolls_over(local: World) -> None:
    await local.deployment("web", server(), replicas=2)
    first = await local.until(DEPLOYMENTS, "web", settled)
    assert condition(first, "Available")["reason"] == "MinimumReplicasAvailable"
    assert condition(first, "Progressing")["reason"] == "NewReplicaSetAvailable"
    old = {pod["metadata"]["labels"]["pod-template-hash"] for pod in await local.pods("web-")}
    assert len(old) == 1

    await local.client.patch(DEPLOYMENTS, first, {"spec": {"replicas": 3}})
    await local.until(DEPLOYMENTS, "web", settled)
    assert len(await local.pods("web-")) == 3

    least: list[int] = []
    rolled = await local.client.get(DEPLOYMENTS, "default", "web")
    template = rolled["spec"]["template"]
    template["metadata"]["annotations"] = {"version": "2"}
    await local.client.patch(DEPLOYMENTS, rolled, {"spec": {"template": template}})

    async def rolled_over() -> bool:
        seen = await local.client.get(DEPLOYMENTS, "default", "web")
        least.append(count(seen, "availableReplicas"))
        return settled(seen)

    await eventually(rolled_over, 30)
    await local.until(DEPLOYMENTS, "web", lambda seen: condition(seen, "Progressing")["reason"].startswith("New"))
    assert min(least) >= 3, "a quarter of three pods, rounded down, may be unavailable: none"
    sets, _ = await local.client.list(REPLICASETS)
    revisions = {one["metadata"]["annotations"]["deployment.kubernetes.io/revision"]: one for one in sets}
    assert {key: one["spec"]["replicas"] for key, one in revisions.items()} == {"1": 0, "2": 3}
    assert "ScalingReplicaSet" in await local.reasons("web")


async def test_deployment_without_ready_pods_is_not_available(local: World) -> None:
    probe = {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1}
    await local.deployment("web", server(readinessProbe=probe), replicas=1)
    await local.until(PODS, (await first_pod(local, "web-"))["metadata"]["name"], lambda pod: phase(pod) == "Running")
    seen = await local.until(DEPLOYMENTS, "web", lambda seen: count(seen, "unavailableReplicas") == 1)
    assert condition(seen, "Available")["reason"] == "MinimumReplicasUnavailable"
    assert condition(seen, "Progressing")["reason"] == "ReplicaSetUpdated"


async def first_pod(local: World, prefix: str) -> Obj:
    async def found() -> Obj | None:
        pods = await local.pods(prefix)
        return pods[0] if pods else None

    return await eventually(found)


async def test_deployment_that_does_not_progress_in_time(local: World) -> None:
    never = {"exec": {"command": ["false"]}}
    await local.deployment("web", shell("exec sleep 1000", readinessProbe=never), replicas=1, progressDeadlineSeconds=1)
    seen = await local.until(DEPLOYMENTS, "web", lambda seen: condition(seen, "Progressing").get("status") == "False")
    assert condition(seen, "Progressing")["reason"] == "ProgressDeadlineExceeded"


async def test_recreate_ends_the_old_pods_first(local: World) -> None:
    await local.deployment("web", server(), replicas=1, strategy={"type": "Recreate"})
    first = await local.until(DEPLOYMENTS, "web", settled)
    (old,) = await local.pods("web-")
    template = first["spec"]["template"]
    template["metadata"]["annotations"] = {"version": "2"}
    await local.client.patch(DEPLOYMENTS, first, {"spec": {"template": template}})
    await local.gone(PODS, old["metadata"]["name"])
    await local.until(DEPLOYMENTS, "web", settled)
    (new,) = await local.pods("web-")
    assert new["metadata"]["creationTimestamp"] >= old["metadata"]["creationTimestamp"]


async def test_service_forwards_to_ready_pods_in_turn(local: World) -> None:
    spec = {"selector": {"app": "web"}, "ports": [{"port": 8080, "targetPort": "http"}]}
    await local.make(SERVICES, "web", spec=spec)
    service = await local.until(SERVICES, "web", lambda one: one["spec"].get("clusterIP"))
    url = f"http://{service['spec']['clusterIP']}:8080/"
    with pytest.raises(aiohttp.ClientConnectorError):
        await ask(url)
    await local.deployment("web", server(), replicas=2)
    await local.until(DEPLOYMENTS, "web", settled)
    names = {pod["metadata"]["name"] for pod in await local.pods("web-")}

    async def both() -> bool:
        return {await ask(url), await ask(url)} == names

    await eventually(both)
    endpoints = await local.client.get(ENDPOINTS, "default", "web")
    ips = {pod["status"]["podIP"] for pod in await local.pods("web-")}
    assert {address["ip"] for address in endpoints["subsets"][0]["addresses"]} == ips


#: The shorter forms of a pod's name in its own namespace.
ALIASES = ["first.group", "first.group.default", "first.group.default.svc"]


async def test_names_resolve_in_pods(local: World) -> None:
    spec = {"selector": {"app": "web"}, "ports": [{"port": 8080, "targetPort": "http"}]}
    await local.make(SERVICES, "web", spec=spec)
    headless = {"clusterIP": "None", "selector": {"job-name": "group"}, "publishNotReadyAddresses": True}
    await local.make(SERVICES, "group", spec=headless)
    await local.deployment("web", server(), replicas=1)
    await local.until(DEPLOYMENTS, "web", settled)
    code = """
import socket, time, urllib.request
for name in ("web", "web.default", "web.default.svc", "web.default.svc.cluster.local"):
    print(urllib.request.urlopen(f"http://{name}:8080/").read().decode())
def resolved(name):
    try:
        return socket.gethostbyname(name)
    except socket.gaierror:
        return ""
while not (resolved("group-0.group") and resolved("group-1.group")):
    time.sleep(0.05)
print(sorted(entry[4][0] for entry in socket.getaddrinfo("group", 1, type=socket.SOCK_STREAM)))
print(socket.gethostname(), socket.gethostbyname(socket.gethostname()), resolved("nobody.default.svc.cluster.local"))
print(socket.gethostbyname("localhost"))
time.sleep(1)
"""
    fields = {"completionMode": "Indexed", "completions": 2, "parallelism": 2}
    await local.job("group", python(code), {"subdomain": "group"}, **fields)
    pods = {pod["spec"]["hostname"]: await local.ended(pod["metadata"]["name"]) for pod in await group(local)}
    ips = sorted(pod["status"]["podIP"] for pod in pods.values())
    (web,) = await local.pods("web-")
    for host, pod in pods.items():
        lines = (await local.log(pod["metadata"]["name"])).splitlines()
        assert lines[:4] == [web["metadata"]["name"]] * 4
        assert lines[4:] == [str(ips), f"{host} {pod['status']['podIP']} ", "127.0.0.1"]


async def test_names_resolve_in_programs_other_than_python_where_namespaces_are_permitted(
    local: World, tmp_path: Path
) -> None:
    permitted = await can_set_apart(tmp_path, {"PATH": os.environ["PATH"]})
    spec = {"selector": {"app": "web"}, "ports": [{"port": 8080, "targetPort": "http"}]}
    web = await local.make(SERVICES, "web", spec=spec)
    await local.make(SERVICES, "group", spec={"clusterIP": "None", "selector": {"app": "late"}})
    known = "hostname; getent hosts web web.default $(hostname) | cut -d' ' -f1"
    script = f"{known}; until getent hosts first.group; do sleep 0.05; done" if permitted else known
    await local.pod("asking", shell(script))
    await local.until(PODS, "asking", lambda pod: phase(pod) == "Running")
    spec = {"hostname": "first", "subdomain": "group", "terminationGracePeriodSeconds": 0}
    spec |= {"containers": [shell("sleep 60")]}
    await local.make(PODS, "late", metadata={"labels": {"app": "late"}}, spec=spec)
    asking, late = await local.ended("asking"), await local.client.get(PODS, "default", "late")
    lines = (await local.log("asking")).splitlines()
    if permitted:
        address = (await local.client.get(SERVICES, "default", web["metadata"]["name"]))["spec"]["clusterIP"]
        assert lines[:4] == ["asking", address, address, asking["status"]["podIP"]]
        assert lines[4].split() == [late["status"]["podIP"], "first.group.default.svc.cluster.local", *ALIASES]
    assert phase(asking) == "Succeeded" or not permitted


async def group(local: World) -> list[Obj]:
    async def both() -> list[Obj] | None:
        pods = await local.pods("group-")
        return pods if len(pods) == 2 else None

    return await eventually(both)


async def test_headless_service_lists_its_pods(local: World) -> None:
    await local.make(SERVICES, "web", spec={"clusterIP": "None", "selector": {"app": "web"}})
    await local.deployment("web", server(), replicas=2)
    await local.until(DEPLOYMENTS, "web", settled)

    async def listed() -> bool:
        pieces, _ = await local.client.list(SLICES)
        ready = [one for piece in pieces for one in piece["endpoints"] if one["conditions"]["ready"]]
        return len(ready) == 2

    await eventually(listed)


@pytest.mark.parametrize(("resource", "amount"), [("nvidia.com/gpu", "2"), ("cpu", "2500m"), ("memory", "5Gi")])
async def test_pod_that_does_not_fit_waits_until_it_does(local: World, resource: str, amount: str) -> None:
    large = {"resources": {"limits": {resource: amount}}}
    first = await local.pod("first", shell("exec sleep 1000", **large), terminationGracePeriodSeconds=1)
    await local.until(PODS, "first", lambda pod: phase(pod) == "Running")
    await local.pod("second", shell("true", **large))
    waiting = await local.until(PODS, "second", lambda pod: condition(pod, "PodScheduled"))
    refused = condition(waiting, "PodScheduled")
    assert (refused["status"], refused["reason"]) == ("False", "Unschedulable")
    assert refused["message"].startswith(f"0/1 nodes are available: 1 Insufficient {resource}.")
    assert "FailedScheduling" in await local.reasons("second")
    await local.client.delete(PODS, first)
    assert phase(await local.ended("second")) == "Succeeded"


async def test_pod_for_another_kind_of_node_waits(local: World) -> None:
    await local.pod("p", shell("true"), nodeSelector={"gpu": "h100"})
    pod = await local.until(PODS, "p", lambda pod: condition(pod, "PodScheduled"))
    assert "didn't match Pod's node affinity/selector" in condition(pod, "PodScheduled")["message"]


async def test_node_tells_what_it_pretends_to_have(local: World) -> None:
    node = await local.until(NODES, "local", lambda node: true(node, "Ready"))
    assert node["status"]["allocatable"] == {"cpu": "4", "memory": "8Gi", "pods": "110", "nvidia.com/gpu": "2"}


async def test_many_pods_at_once(local: World) -> None:
    await asyncio.gather(*(local.pod(f"p{number}", shell("echo x")) for number in range(30)))
    pods = await asyncio.gather(*(local.ended(f"p{number}") for number in range(30)))
    assert {phase(pod) for pod in pods} == {"Succeeded"}
    assert len({pod["status"]["podIP"] for pod in pods}) == 30
