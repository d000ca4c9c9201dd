"""Writes the names of Services and of pods behind headless Services to the file that the pods' shim reads.
Started by `cluster`."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

from reasoner_local.client import SERVICES, SLICES
from reasoner_local.controllers import endpoints
from reasoner_local.controllers.base import Controller
from reasoner_local.informer import Hub, Key

#: Folder to put on the PYTHONPATH of pods.
SHIM = Path(__file__).parent / "shim"
DOMAIN = "svc.cluster.local"


def search(namespace: str) -> str:
    """The search domains of a pod in that namespace."""
    return f"{namespace}.{DOMAIN} {DOMAIN} cluster.local"


class Hosts(Controller):
    """Keeps the hosts file current."""

    component = "dns"

    def __init__(self, hub: Hub, file: Path) -> None:
        super().__init__(hub)
        self._file = file
        self._written = ""
        self.services = self.follow(SERVICES, lambda _: (("", "hosts"),))
        self.slices = self.follow(SLICES, lambda _: (("", "hosts"),))

    async def reconcile(self, key: Key) -> float | None:
        """Write the file anew if a name changed."""
        text = json.dumps(self._names(), indent=1, sort_keys=True)
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
