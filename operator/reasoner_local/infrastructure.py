"""What the embedded cluster holds from its start: object store, teacher and web server with their Services, and
the Secrets to reach them. Used by `cluster`."""

from __future__ import annotations

import base64
import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from reasoner_local.client import CRDS, ENDPOINTS, NAMESPACES, SECRETS, SERVICES, SLICES, Client, Obj
from reasoner_local.controllers.endpoints import SERVICE_LABEL
from reasoner_local.network import free_port
from reasoner_local.node.context import NodeFacts
from reasoner_local.supervisor import Child

NAMESPACE = "reasoner-local"
REGION = "us-east-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "reasoner-local", "AWS_SECRET_ACCESS_KEY": "reasoner-local-secret"}
TEACHER_KEY = "reasoner-local-teacher"


@dataclass(frozen=True)
class Server:
    """An infrastructure server and its module."""

    name: str
    module: str
    port: int


SERVERS = (
    Server("object-store", "reasoner_local.objectstore", 9000),
    Server("teacher", "reasoner_local.teacher", 8080),
    Server("web", "reasoner_local.web", 8080),
)


def children(facts: NodeFacts) -> list[Child]:
    """The servers' processes."""
    found = []
    for position, server in enumerate(SERVERS, start=1):
        host = facts.subnet.infra(position)
        argv = [sys.executable, "-m", server.module, "--host", host, "--port", str(server.port)]
        log = facts.logs / f"{server.name}.log"
        found.append(Child(server.name, argv, facts.base_env(), facts.state_dir, log, host, server.port))
    return found


def operator(facts: NodeFacts, kubeconfig: Path) -> Child:
    """The operator's process, run as a user would run it; settings reach it by its own variables."""
    own = {name: value for name, value in os.environ.items() if name.startswith("REASONER_")}
    env = {**own, **facts.base_env(), "HOME": str(facts.state_dir)}
    command, port = Path(sys.executable).with_name("reasoner"), free_port()
    argv = [str(command), "operator", "--kubeconfig", str(kubeconfig), "--health-port", str(port)]
    # Pods have addresses of this machine: the operator reads their progress as it would inside a cluster.
    argv += ["--pod-access", "direct"]
    return Child("operator", argv, env, facts.state_dir, facts.logs / "operator.log", "127.0.0.1", port)


async def announce(client: Client, servers: list[Child]) -> None:
    """Make the servers' namespace, Services and Secrets."""
    await client.apply(NAMESPACES, {"metadata": {"name": NAMESPACE}})
    for server in servers:
        service, endpoints, piece = _service(server)
        await client.apply(SERVICES, service)
        await client.apply(ENDPOINTS, endpoints)
        await client.apply(SLICES, piece)
    await client.apply(SECRETS, _secret("object-store", CREDENTIALS))
    await client.apply(SECRETS, _secret("teacher", {"api-key": TEACHER_KEY}))


def _secret(name: str, data: dict[str, str]) -> Obj:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"metadata": {"name": name, "namespace": "default"}, "type": "Opaque", "data": encoded}


def _service(server: Child) -> tuple[Obj, Obj, Obj]:
    """A Service without selector, and the one address behind it."""
    meta: dict[str, Any] = {"name": server.name, "namespace": NAMESPACE}
    port = {"name": "http", "port": server.port, "protocol": "TCP"}
    service = {"metadata": meta, "spec": {"ports": [{**port, "targetPort": server.port}]}}
    endpoints = {"metadata": meta, "subsets": [{"addresses": [{"ip": server.host}], "ports": [port]}]}
    piece = {
        "metadata": {**meta, "labels": {SERVICE_LABEL: server.name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [server.host], "conditions": {"ready": True}}],
        "ports": [port],
    }
    return service, endpoints, piece


def definitions(folder: Path | None) -> list[Obj]:
    """The CustomResourceDefinitions: from a folder of YAML files, by default those of the checkout, else made
    from the models."""
    if folder is None:
        spec = importlib.util.find_spec("reasoner_api")
        if spec is None or spec.origin is None:
            raise RuntimeError("the package reasoner_api is not installed")
        folder = Path(spec.origin).parent.parent
    found = [yaml.safe_load(file.read_text()) for file in sorted(folder.glob("*.reasoner.dev.yaml"))]
    if not found:
        from reasoner_api.crd import KINDS, custom_resource_definition

        found = [custom_resource_definition(kind) for kind in KINDS.values()]
    return found


async def install(client: Client, folder: Path | None) -> None:
    """Install the CustomResourceDefinitions."""
    for definition in definitions(folder):
        await client.apply(CRDS, definition)
