"""A node of local processes for a real control plane that has none (kube-apiserver, controllers and scheduler alone, as
envtest starts them): `python -m support.node --kubeconfig FILE --folder FOLDER`. Pods run on this machine, beside the
embedded cluster's object store, teacher and web server; it ends at SIGTERM.

The API server takes no loopback addresses as endpoints, so who stands behind a Service is noted here alone: start
kube-controller-manager with
`--controllers=*,-endpoints-controller,-endpointslice-controller,-endpointslice-mirroring-controller`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from reasoner_local import infrastructure
from reasoner_local.client import (
    CLUSTER_ROLE_BINDINGS,
    ENDPOINTS,
    SERVICE_ACCOUNTS,
    SLICES,
    Client,
    Obj,
    Resource,
)
from reasoner_local.controllers.base import Controller
from reasoner_local.controllers.proxy import Proxy
from reasoner_local.controllers.service import ServiceController
from reasoner_local.dns.hosts import Hosts
from reasoner_local.events import Recorder
from reasoner_local.informer import Hub
from reasoner_local.kubeconfig import Login
from reasoner_local.network import Subnet
from reasoner_local.node.agent import Node
from reasoner_local.node.context import NodeFacts, Tools
from reasoner_local.node.process import can_set_apart, kill_marked
from reasoner_local.supervisor import Supervised
from reasoner_operator.cluster import Access, Cluster
from reasoner_operator.transport import APPLY, JSON, Request

NAME = "local"
ACCOUNT = ("kube-system", "reasoner-node")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
#: Seconds between two signs of life; controllers count a node lost after forty.
BEAT = 10.0
#: Kinds that the API server is not told of.
OURS = (SLICES, ENDPOINTS)


class OwnEndpoints(Client):
    """A client whose Endpoints and EndpointSlices live in this process."""

    def __init__(self, login: Login) -> None:
        super().__init__(login)
        self._changes: dict[Resource, asyncio.Queue[tuple[str, Obj]]] = defaultdict(asyncio.Queue)
        self._version = 1

    def _noted(self, kind: Resource, body: Obj, word: str) -> Obj:
        self._version += 1
        named = {"uid": uuid.uuid4().hex, **body["metadata"], "resourceVersion": str(self._version)}
        found = {"apiVersion": kind.api_version, "kind": kind.kind, **body, "metadata": named}
        self._changes[kind].put_nowait((word, found))
        return found

    async def list(self, kind: Resource) -> tuple[list[Obj], str]:
        return ([], "1") if kind in OURS else await super().list(kind)

    async def watch(self, kind: Resource, version: str) -> AsyncIterator[tuple[str, Obj]]:
        if kind not in OURS:
            async for event in super().watch(kind, version):
                yield event
            return
        while True:
            yield await self._changes[kind].get()

    async def create(self, kind: Resource, body: Obj) -> Obj:
        return self._noted(kind, body, "ADDED") if kind in OURS else await super().create(kind, body)

    async def apply(self, kind: Resource, body: Obj) -> Obj:
        return self._noted(kind, body, "ADDED") if kind in OURS else await super().apply(kind, body)

    async def patch(self, kind: Resource, target: Obj, patch: Obj, sub: str = "") -> Obj:
        if kind in OURS:
            return self._noted(kind, {**target, **patch}, "MODIFIED")
        return await super().patch(kind, target, patch, sub)

    async def delete(self, kind: Resource, target: Obj, grace: int | None = None) -> Obj:
        return self._noted(kind, target, "DELETED") if kind in OURS else await super().delete(kind, target, grace)


async def _log_in(kubeconfig: Path) -> Login:
    """A token for an account of the node's own, which may do everything: the cluster is there to be tested on."""
    namespace, name = ACCOUNT
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    subjects = [{"kind": "ServiceAccount", "namespace": namespace, "name": name}]
    account: Obj = {"metadata": {"name": name, "namespace": namespace}}
    binding: Obj = {"metadata": {"name": name}, "roleRef": role, "subjects": subjects}
    async with Cluster(Access(kubeconfig=kubeconfig)) as cluster:
        ask, connection = cluster.transport.ask, await cluster.connection()
        for kind, body in ((SERVICE_ACCOUNTS, account), (CLUSTER_ROLE_BINDINGS, binding)):
            full = {"apiVersion": kind.api_version, "kind": kind.kind, **body}
            query = [("fieldManager", name), ("force", "true")]
            await ask(Request("PATCH", kind.path(body["metadata"].get("namespace"), name), query, (APPLY, full)))
        spec = {"spec": {"expirationSeconds": 86_400}}
        answer = await ask(Request("POST", SERVICE_ACCOUNTS.path(namespace, name, "token"), content=(JSON, spec)))
    authority = Path(connection.ca_path).read_text() if connection.ca_path else ""  # noqa: ASYNC240 - before the start
    return Login(connection.server, answer["status"]["token"], authority)


async def run(kubeconfig: Path, folder: Path, ready: asyncio.Event, stop: asyncio.Event) -> None:
    """The node, until it is told to stop."""
    async with AsyncExitStack() as stack:
        login = await _log_in(kubeconfig)
        client = await stack.enter_async_context(OwnEndpoints(login))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        subnet = Subnet()
        stack.callback(subnet.close)
        facts = NodeFacts(NAME, uuid.uuid4().hex, folder, urlsplit(login.url).port or 443, subnet)
        facts.logs.mkdir(parents=True, exist_ok=True)
        stack.callback(kill_marked, facts.mark)
        if await can_set_apart(folder, facts.base_env()):
            facts = replace(facts, own_hosts=True)
        hub = Hub(client)
        hosts = Hosts(hub, facts.hosts_file)
        node = Node(facts, Tools(hub, hosts, Recorder(client, "kubelet"), http))
        controllers: list[Controller] = [ServiceController(hub, subnet), Proxy(hub), hosts]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(hub.run())]
            await hub.synced()
            facts.hosts_file.write_text("{}")
            await node.start()
            tasks.append(group.create_task(_beat(client)))
            for controller in controllers:
                controller.start()
            servers = infrastructure.children(facts)
            await infrastructure.announce(client, servers)
            kept = [Supervised(server, lambda: None) for server in servers]
            for server in kept:
                await server.start()
            for server in kept:
                await server.ready()
            print("ready", {server.name: server.address for server in servers}, flush=True)
            ready.set()
            await stop.wait()
            await node.stop(5.0)
            for part in (*controllers, *kept):
                await part.stop()
            for task in tasks:
                task.cancel()


async def _beat(client: Client) -> None:
    """Renew the node's lease."""
    while True:
        renewed = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": NAME, "leaseDurationSeconds": 40, "renewTime": renewed}
        await client.apply(LEASES, {"metadata": {"name": NAME, "namespace": "kube-node-lease"}, "spec": spec})
        await asyncio.sleep(BEAT)


async def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run(given.kubeconfig, given.folder, asyncio.Event(), stop)


if __name__ == "__main__":
    asyncio.run(main())
