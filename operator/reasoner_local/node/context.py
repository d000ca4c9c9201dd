"""What the parts of the process node share: the node's own facts, and one pod's. Used throughout `node`."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from reasoner_local.client import Obj
from reasoner_local.dns.hosts import SHIM, Hosts
from reasoner_local.dns.hosts_file import search
from reasoner_local.events import Recorder
from reasoner_local.informer import Hub
from reasoner_local.network import Subnet
from reasoner_local.node.log_index import index_of
from reasoner_local.node.process import MARK, Launch

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class NotReady(Exception):
    """Something that the pod refers to is missing; it is looked for again."""


@dataclass(frozen=True)
class Capacity:
    """What the node pretends to have; None stands for what the machine has."""

    cpus: float | None = None
    memory: str | None = None
    gpus: int = 0


@dataclass(frozen=True)
class NodeFacts:
    """One node."""

    name: str
    mark: str
    state_dir: Path
    api_port: int
    subnet: Subnet
    capacity: Capacity = field(default_factory=Capacity)
    labels: dict[str, str] = field(default_factory=dict)
    #: Seconds before the second restart of a failing container; doubles from there.
    restart_backoff: float = 10.0
    #: Whether pods have an /etc/hosts of their own; else names resolve in their Python programs alone.
    own_hosts: bool = False

    @property
    def logs(self) -> Path:
        """Folder of all containers' logs."""
        return self.state_dir / "logs"

    @property
    def hosts_file(self) -> Path:
        """The cluster's names, for the pods' shim."""
        return self.state_dir / "hosts.json"

    def base_env(self) -> dict[str, str]:
        """Environment that every process of the cluster has: nothing of the user's own but these."""
        return {
            "PATH": f"{Path(sys.executable).parent}:{_SYSTEM_PATH}",
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(SHIM),
            "REASONER_DNS_HOSTS": str(self.hosts_file),
            "REASONER_DNS_SEARCH": " ".join(search("default")),
            MARK: self.mark,
        }


@dataclass
class Tools:
    """What the node works with."""

    hub: Hub
    hosts: Hosts
    events: Recorder
    http: aiohttp.ClientSession


@dataclass
class PodContext:
    """One pod on the node."""

    pod: Obj
    facts: NodeFacts
    tools: Tools
    ip: str

    @property
    def folder(self) -> Path:
        """The pod's own folder; short, because Unix sockets below it may have 107 letters."""
        return self.facts.state_dir / "pods" / str(self.pod["metadata"]["uid"])[:8]

    @property
    def home(self) -> Path:
        """Working directory and HOME of the pod's containers."""
        return self.folder / "home"

    @property
    def namespace(self) -> str:
        """The pod's namespace."""
        return str(self.pod["metadata"]["namespace"])

    @property
    def name(self) -> str:
        """The pod's name."""
        return str(self.pod["metadata"]["name"])

    @property
    def hostname(self) -> str:
        """The pod's host name."""
        return str(self.pod["spec"].get("hostname") or self.name)[:63]

    def volume(self, name: str) -> Path:
        """Real location of one of the pod's volumes."""
        spec: Obj = next(v for v in self.pod["spec"].get("volumes") or [] if v["name"] == name)
        if "hostPath" in spec:
            return Path(str(spec["hostPath"]["path"]))
        if "persistentVolumeClaim" in spec:
            claim = str(spec["persistentVolumeClaim"]["claimName"])
            return self.facts.state_dir / "volumes" / self.namespace / claim
        return self.folder / "volumes" / name

    @property
    def hosts_file(self) -> Path:
        """Real location of the pod's /etc/hosts."""
        return self.folder / "hosts"

    def launch(self, argv: list[str], env: dict[str, str], folder: Path, log: Path) -> Launch:
        """A program of one of the pod's containers."""
        hosts = str(self.hosts_file) if self.facts.own_hosts else ""
        return Launch(argv, env, str(folder), str(log), hosts, self.hostname, str(index_of(log)))

    def termination_file(self, container: str) -> Path:
        """Real location of a container's termination message."""
        return self.folder / "termination" / container

    def log_file(self, container: str, restart: int) -> Path:
        """Log of one run of a container."""
        uid = self.pod["metadata"]["uid"]
        return self.facts.logs / f"{self.namespace}_{self.name}_{uid[:8]}_{container}_{restart}.log"

    def paths(self, container: Obj) -> PathMap:
        """The container's mounts, for its command, arguments and environment."""
        places = {}
        for mount in container.get("volumeMounts") or []:
            places[mount["mountPath"]] = str(self.volume(mount["name"]) / mount.get("subPath", ""))
        message = container.get("terminationMessagePath", "/dev/termination-log")
        places[message] = str(self.termination_file(container["name"]))
        return PathMap(places)


class PathMap:
    """Rewrites paths inside a container to where they really lie."""

    def __init__(self, places: dict[str, str]) -> None:
        self._places = {mount.rstrip("/") or "/": real.rstrip("/") for mount, real in places.items()}
        longest = sorted(self._places, key=len, reverse=True)
        # A path begins where no word or path goes on (or behind file://), and ends where a segment does.
        body = "|".join(re.escape(mount) for mount in longest if mount != "/")
        self._pattern = re.compile(rf"(?:(?<=file://)|(?<![\w./-]))({body})(?![\w.-])")

    def rewrite(self, text: str) -> str:
        """The text with every mounted path made real."""
        return self._pattern.sub(lambda match: self._places[match[1]], text)
