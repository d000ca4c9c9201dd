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
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from reasoner_local import infrastructure
from reasoner_local.client import (
    CLUSTER_ROLE_BINDINGS,
    ENDPOINTS,
    NODES,
    SERVICE_ACCOUNTS,
    SLICES,
    ApiError,
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
from reasoner_local.supervisor import Child, Supervised
from reasoner_operator.cluster import Access, Cluster
from reasoner_operator.transport import APPLY, JSON, Request

log = logging.getLogger(__name__)

NAME = "local"
ACCOUNT = ("kube-system", "reasoner-node")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
#: Seconds between two signs of life; controllers count a node lost after forty.
BEAT = 10.0
#: Seconds that pods are left when the node ends.
LAST_GRACE = 5.0
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


class StandIn:
    """The node and the embedded cluster's object store, teacher and web server."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        self._kubeconfig = kubeconfig
        self._folder = folder
        self._servers: list[Child] = []

    def environment(self) -> dict[str, str]:
        """Variables that lead S3 clients on this machine to the object store."""
        (address,) = (server.address for server in self._servers if server.name == "object-store")
        region = dict.fromkeys(("AWS_REGION", "AWS_DEFAULT_REGION"), infrastructure.REGION)
        return {"AWS_ENDPOINT_URL": address, **region, **infrastructure.CREDENTIALS}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[StandIn]:
        """The node at work until the block ends."""
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(OwnEndpoints(await _log_in(self._kubeconfig)))
            http = await stack.enter_async_context(aiohttp.ClientSession())
            facts = await self._facts(client.login, stack)
            hub = Hub(client)
            hosts = Hosts(hub, facts.hosts_file)
            node = Node(facts, Tools(hub, hosts, Recorder(client, "kubelet"), http))
            controllers: list[Controller] = [ServiceController(hub, facts.subnet), Proxy(hub), hosts]
            group = await stack.enter_async_context(asyncio.TaskGroup())
            tasks = [group.create_task(hub.run())]
            await hub.synced()
            await node.start()
            tasks.append(group.create_task(_beat(client)))
            for controller in controllers:
                controller.start()
            await self._serve(client, facts, stack)
            yield self
            await node.stop(LAST_GRACE)
            # What is left of its pods is the garbage collector's once there is no such node.
            await client.delete(NODES, await client.get(NODES, None, NAME))
            for controller in controllers:
                await controller.stop()
            for task in tasks:
                task.cancel()

    async def _facts(self, login: Login, stack: AsyncExitStack) -> NodeFacts:
        subnet = Subnet()
        stack.callback(subnet.close)
        facts = NodeFacts(NAME, uuid.uuid4().hex, self._folder, urlsplit(login.url).port or 443, subnet)
        facts.logs.mkdir(parents=True, exist_ok=True)
        facts.hosts_file.write_text("{}")
        stack.callback(kill_marked, facts.mark)
        return replace(facts, own_hosts=await can_set_apart(self._folder, facts.base_env()))

    async def _serve(self, client: Client, facts: NodeFacts, stack: AsyncExitStack) -> None:
        self._servers = infrastructure.children(facts)
        await infrastructure.announce(client, self._servers)
        for server in self._servers:
            kept = Supervised(server, lambda: None)
            await kept.start()
            stack.push_async_callback(kept.stop)
            await kept.ready()


async def _beat(client: Client) -> None:
    """Renew the node's lease."""
    while True:
        renewed = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": NAME, "leaseDurationSeconds": 40, "renewTime": renewed}
        try:
            await client.apply(LEASES, {"metadata": {"name": NAME, "namespace": "kube-node-lease"}, "spec": spec})
        except (ApiError, aiohttp.ClientError) as error:
            log.warning("no sign of life: %s", error)
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
    async with StandIn(given.kubeconfig, given.folder).running() as made:
        print(" ".join(f"{name}={value}" for name, value in made.environment().items()), flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
