"""The embedded cluster in one process tree: API server, controllers, process node and, on request, object store,
teacher, web server and operator. Used by the CLI, the demo and tests:

    async with LocalCluster(state_dir=folder) as cluster:
        ... cluster.kubeconfig, cluster.url ...
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import shutil
import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import aiohttp

from reasoner_local import infrastructure, kubeconfig, permissions, tls
from reasoner_local.apiserver import ApiServer
from reasoner_local.client import Client
from reasoner_local.controllers.base import Controller
from reasoner_local.controllers.deployment import DeploymentController
from reasoner_local.controllers.disruption import DisruptionController
from reasoner_local.controllers.job import JobController
from reasoner_local.controllers.proxy import Proxy
from reasoner_local.controllers.replicaset import ReplicaSetController
from reasoner_local.controllers.scheduler import Scheduler
from reasoner_local.controllers.service import ServiceController
from reasoner_local.dns.hosts import Hosts
from reasoner_local.events import Recorder
from reasoner_local.informer import Hub
from reasoner_local.kubeconfig import Login
from reasoner_local.network import Subnet
from reasoner_local.node.agent import Node
from reasoner_local.node.context import Capacity, NodeFacts, Tools
from reasoner_local.node.logs import NodeLogs
from reasoner_local.node.process import can_set_apart, kill_marked
from reasoner_local.state import ClusterState, Part, StateDir
from reasoner_local.supervisor import Child, Supervised

log = logging.getLogger(__name__)

NODE = "local"
#: Seconds that pods are left when the whole cluster ends.
_LAST_GRACE = 5.0


@dataclass(frozen=True)
class Options:
    """Settings that few need: what the node pretends to have, and how patient the controllers are (seconds)."""

    capacity: Capacity = field(default_factory=Capacity)
    node_labels: dict[str, str] = field(default_factory=dict)
    job_backoff: float = 10.0
    restart_backoff: float = 10.0
    crds: Path | None = None
    """Folder of the CustomResourceDefinitions; None for the project's own."""


class LocalCluster:
    """An embedded cluster; an asynchronous context manager. The state folder keeps logs after its end."""

    def __init__(
        self, state_dir: Path | str, infra: bool = True, operator: bool = False, options: Options | None = None
    ) -> None:
        self.state = StateDir(Path(state_dir))
        self.url = ""
        self._infra = infra
        self._operator = operator
        self._options = options or Options()
        self._stack = AsyncExitStack()
        self._children: list[Supervised] = []
        self._told = ClusterState(mark=uuid.uuid4().hex, pid=os.getpid())
        self._following: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether everything has started."""
        return self._told.ready

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of the cluster."""
        return self.state.kubeconfig

    @property
    def logs_dir(self) -> Path:
        """Logs of pods and of the cluster's own processes."""
        return self.state.logs

    def environment(self) -> dict[str, str]:
        """Variables that lead kubectl and S3 clients on this machine to the cluster."""
        found = {"KUBECONFIG": str(self.kubeconfig)}
        stores = [one.child.address for one in self._children if one.child.name == "object-store"]
        for address in stores:
            found |= {"AWS_ENDPOINT_URL": address, "AWS_REGION": infrastructure.REGION}
            found |= {"AWS_DEFAULT_REGION": infrastructure.REGION, **infrastructure.CREDENTIALS}
        return found

    async def __aenter__(self) -> LocalCluster:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def failed(self) -> None:
        """Wait for ever, unless the cluster breaks: then raise why."""
        if self._following is not None:
            await asyncio.shield(self._following)

    async def _start(self) -> None:
        """Start from the ground up; what was started ends in the opposite order."""
        self.state.lock()
        self._stack.callback(self.state.unlock)
        self._recover()
        self._stack.callback(self._sweep)
        subnet = Subnet()
        self._stack.callback(subnet.close)
        server, admin = await self._serve()
        client = await self._stack.enter_async_context(Client(admin))
        http = await self._stack.enter_async_context(aiohttp.ClientSession())
        facts = await self._facts(subnet)
        hub = Hub(client)
        hosts = Hosts(hub, facts.hosts_file)
        node = Node(facts, Tools(hub, hosts, Recorder(client, "kubelet"), http))
        server.logs = NodeLogs(node)
        await self._control(hub, node, hosts)
        kubeconfig.write(self.kubeconfig, admin)
        if self._infra:
            await self._serve_infrastructure(client, facts)
        await infrastructure.install(client, self._options.crds)
        own = self.state.operator_kubeconfig
        kubeconfig.write(own, replace(admin, token=await permissions.grant(client)))
        if self._operator:
            await self._supervise([infrastructure.operator(facts, own)])
        self._told.ready = True
        self._tell()

    def _recover(self) -> None:
        """Clear up after a cluster that ended without doing so."""
        before = self.state.read()
        if before is not None and (left := kill_marked(before.mark)):
            log.warning("killed %d processes that an earlier cluster left", len(left))
        shutil.rmtree(self.state.path / "pods", ignore_errors=True)
        self.state.logs.mkdir(parents=True, exist_ok=True)
        self._told.url = before.url if before is not None else ""
        self._tell()

    def _sweep(self) -> None:
        if left := kill_marked(self._told.mark):
            log.warning("killed %d processes that had outlived their pods", len(left))

    async def _serve(self) -> tuple[ApiServer, Login]:
        """Serve on the port of last time if it is free, so that open shells and dashboards find it again. Returns the
        server, and the administrator's way in."""
        token, served = secrets.token_urlsafe(), tls.certificate("127.0.0.1", "localhost")
        server = ApiServer(admin_token=token)
        self._stack.push_async_callback(server.stop)
        port = urlsplit(self._told.url).port or 0
        try:
            self.url = await server.start(port=port, tls=served.context)
        except OSError:
            self.url = await server.start(tls=served.context)
        self._told.url = self.url
        return server, Login(self.url, token, served.authority)

    async def _facts(self, subnet: Subnet) -> NodeFacts:
        options = self._options
        facts = NodeFacts(
            name=NODE,
            mark=self._told.mark,
            state_dir=self.state.path,
            api_port=urlsplit(self.url).port or 443,
            subnet=subnet,
            capacity=options.capacity,
            labels=options.node_labels,
            restart_backoff=options.restart_backoff,
        )
        if await can_set_apart(self.state.path, facts.base_env()):
            return replace(facts, own_hosts=True)
        log.warning("no namespaces are permitted here: in pods, the cluster's names resolve in Python programs alone")
        return facts

    async def _control(self, hub: Hub, node: Node, hosts: Hosts) -> None:
        """Start controllers and node. The node ends last, when nobody replaces its pods any more."""
        controllers: list[Controller] = [
            Scheduler(hub, NODE),
            JobController(hub, self._options.job_backoff),
            DeploymentController(hub),
            ReplicaSetController(hub),
            ServiceController(hub, node.facts.subnet),
            Proxy(hub),
            DisruptionController(hub),
            hosts,
        ]
        self._following = asyncio.create_task(hub.run(), name="informers")
        self._stack.push_async_callback(self._unfollow)
        await hub.synced()
        node.facts.hosts_file.write_text("{}")
        await node.start()
        self._stack.push_async_callback(node.stop, _LAST_GRACE)
        for controller in controllers:
            controller.start()
            self._stack.push_async_callback(controller.stop)

    async def _unfollow(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])

    async def _serve_infrastructure(self, client: Client, facts: NodeFacts) -> None:
        servers = infrastructure.children(facts)
        await infrastructure.announce(client, servers)
        await self._supervise(servers)

    async def _supervise(self, children: list[Child]) -> None:
        started = [Supervised(child, self._tell) for child in children]
        self._children += started
        self._stack.push_async_callback(_stop_all, started)
        await asyncio.gather(*(one.start() for one in started))
        await asyncio.gather(*(one.ready() for one in started))

    def _tell(self) -> None:
        parts = [Part("api-server", self._told.url, self._told.pid, str(self.logs_dir / "cluster.log"))]
        parts += [Part(one.child.name, one.child.address, one.pid, str(one.child.log)) for one in self._children]
        self._told.parts = parts
        self._told.environment = self.environment()
        self.state.write(self._told)


async def _stop_all(children: list[Supervised]) -> None:
    await asyncio.gather(*(child.stop() for child in children))
