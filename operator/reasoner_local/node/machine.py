"""The Node object: what the machine is and has, or pretends to have. Used by `agent`."""

from __future__ import annotations

import os
import platform

from reasoner_local import conditions
from reasoner_local.client import NODES, Obj, now
from reasoner_local.informer import Hub
from reasoner_local.node.context import NodeFacts

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


async def register(facts: NodeFacts, hub: Hub) -> None:
    """Make the Node object, or bring it up to date. Its lease is not renewed: it ends with the cluster."""
    node = await hub.client.find(NODES, None, facts.name)
    if node is None:
        node = await hub.create(NODES, {"metadata": {"name": facts.name, "labels": _labels(facts)}})
    await hub.patch(NODES, node, {"status": _status(facts)}, "status")


def _labels(facts: NodeFacts) -> dict[str, str]:
    arch = _architecture()
    own = {"kubernetes.io/hostname": facts.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": arch}
    return {**own, **facts.labels}


def _architecture() -> str:
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def _status(facts: NodeFacts) -> Obj:
    room, stamp = _room(facts), now()
    ready = conditions.made("Ready", True, "KubeletReady", "kubelet is posting ready status")
    return {
        "capacity": room,
        "allocatable": room,
        "conditions": [{**ready, "lastHeartbeatTime": stamp, "lastTransitionTime": stamp}],
        "addresses": [
            {"type": "InternalIP", "address": facts.subnet.node},
            {"type": "Hostname", "address": facts.name},
        ],
        "nodeInfo": {
            "operatingSystem": "linux",
            "architecture": _architecture(),
            "kernelVersion": platform.release(),
            "osImage": "local processes",
            "containerRuntimeVersion": f"process://{platform.python_version()}",
            "kubeletVersion": "v1.32.0+reasoner",
        },
    }


def _room(facts: NodeFacts) -> dict[str, str]:
    asked = facts.capacity
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024
    room = {
        "cpu": f"{asked.cpus:g}" if asked.cpus is not None else str(os.cpu_count() or 1),
        "memory": asked.memory or f"{memory}Ki",
        "pods": "110",
    }
    return {**room, "nvidia.com/gpu": str(asked.gpus)} if asked.gpus else room
