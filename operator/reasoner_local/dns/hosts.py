"""Keeps the names of Services and of pods behind headless Services where pods look them up: a file that Python's
shim reads, and each pod's /etc/hosts. Started by `cluster`."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

from reasoner_local.client import SERVICES, SLICES
from reasoner_local.controllers import endpoints
from reasoner_local.controllers.base import Controller
from reasoner_local.dns.hosts_file import DOMAIN, HostsFile
from reasoner_local.informer import Hub, Key

#: Folder to put on the PYTHONPATH of pods.
SHIM = Path(__file__).parent / "shim"


class Hosts(Controller):
    """Keeps the files current."""

    component = "dns"

    def __init__(self, hub: Hub, file: Path) -> None:
        super().__init__(hub)
        self._file = file
        self._written = ""
        self._pods: dict[str, HostsFile] = {}
        self.services = self.follow(SERVICES, lambda _: (("", "hosts"),))
        self.slices = self.follow(SLICES, lambda _: (("", "hosts"),))

    def attach(self, uid: str, file: HostsFile) -> None:
        """Write a pod's file, and keep it current from now on."""
        self._pods[uid] = file
        file.show(self._names())

    def detach(self, uid: str) -> None:
        """Leave a pod's file alone."""
        self._pods.pop(uid, None)

    async def reconcile(self, key: Key) -> float | None:
        """Write the files anew if a name changed."""
        names = self._names()
        for file in self._pods.values():
            file.show(names)
        text = json.dumps(names, indent=1, sort_keys=True)
        if text != self._written:
            draft = self._file.with_suffix(".new")
            draft.write_text(text)
            draft.replace(self._file)
            self._written = text
        return None

    def _names(self) -> dict[str, list[str]]:
        names: dict[str, list[str]] = defaultdict(list)
        headless: set[Key] = set()
        for service in self.services:
            meta, address = service["metadata"], service["spec"].get("clusterIP")
            if address == "None":
                headless.add((meta["namespace"], meta["name"]))
            elif address:
                names[f"{meta['name']}.{meta['namespace']}.{DOMAIN}"] = [address]
        for piece in self.slices:
            namespace, name = endpoints.service_of(piece)
            for endpoint in piece.get("endpoints") or []:
                if (namespace, name) not in headless or not endpoints.is_ready(endpoint):
                    continue
                names[f"{name}.{namespace}.{DOMAIN}"] += endpoint["addresses"]
                if host := endpoint.get("hostname"):
                    names[f"{host}.{name}.{namespace}.{DOMAIN}"] += endpoint["addresses"]
        return names
