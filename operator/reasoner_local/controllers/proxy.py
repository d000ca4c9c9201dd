"""What kube-proxy does: TCP connections to a Service's cluster address go on to its ready pods in turn.
Started by `cluster`.

A port is listened on only while a pod stands behind it, so that a Service without one refuses connections."""

from __future__ import annotations

import asyncio
import logging
from typing import TypeAlias

from reasoner_local.client import SERVICES, SLICES, Obj
from reasoner_local.controllers import endpoints
from reasoner_local.controllers.base import Controller
from reasoner_local.informer import Hub, Key

Address: TypeAlias = tuple[str, int]
_CHUNK = 1 << 18

log = logging.getLogger(__name__)


class Forwarder:
    """One listening port."""

    def __init__(self) -> None:
        self.targets: list[Address] = []
        self._server: asyncio.Server | None = None
        self._turn = 0
        self._links: set[asyncio.Task[None]] = set()

    async def open(self, address: Address) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._accept, *address)

    async def close(self) -> None:
        """Stop listening and cut what is connected."""
        if self._server is not None:
            self._server.close()
        for link in self._links:
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.create_task(self._link(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self._turn += 1
            target = self.targets[self._turn % len(self.targets)]
            far_reader, far_writer = await asyncio.open_connection(*target)
        except (OSError, ZeroDivisionError) as error:
            log.info("connection to a Service refused: %s", error)
            writer.transport.abort()
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, far_writer))
                group.create_task(_pump(far_reader, writer))
        finally:
            for end in (writer, far_writer):
                end.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until either end goes; a half-closed connection stays half open."""
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()


class Proxy(Controller):
    """Keeps the forwarders of all Services."""

    component = "kube-proxy"

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self.services = self.follow(SERVICES)
        self.slices = self.follow(SLICES, lambda piece: (endpoints.service_of(piece),))
        self._open: dict[Key, dict[Address, Forwarder]] = {}

    async def reconcile(self, key: Key) -> float | None:
        """Open, redirect and close the forwarders of a Service."""
        wanted = self._wanted(key)
        held = self._open.setdefault(key, {})
        for address in held.keys() - wanted.keys():
            await held.pop(address).close()
        for address, targets in wanted.items():
            if address not in held:
                forwarder = Forwarder()
                try:
                    await forwarder.open(address)
                except OSError as error:
                    service = self.services.get(key)
                    if service is not None:
                        await self.events.warning(service, "FailedToListen", f"{address[0]}:{address[1]}: {error}")
                    return 5.0
                held[address] = forwarder
            held[address].targets = targets
        return None

    def _wanted(self, key: Key) -> dict[Address, list[Address]]:
        service = self.services.get(key)
        host = (service or {"spec": {}})["spec"].get("clusterIP")
        if service is None or host in (None, "", "None"):
            return {}
        pieces = [piece for piece in self.slices if endpoints.service_of(piece) == key]
        wanted = {}
        for port in service["spec"].get("ports") or []:
            if targets := [target for piece in pieces for target in _targets(piece, port)]:
                wanted[host, int(port["port"])] = targets
        return wanted

    async def stop(self) -> None:
        """Close every port."""
        await super().stop()
        for forwarders in self._open.values():
            for forwarder in forwarders.values():
                await forwarder.close()


def _targets(piece: Obj, port: Obj) -> list[Address]:
    number = next((p["port"] for p in piece.get("ports") or [] if p.get("name", "") == port.get("name", "")), None)
    if number is None:
        return []
    ready = [endpoint for endpoint in piece.get("endpoints") or [] if endpoints.is_ready(endpoint)]
    return [(address, int(number)) for endpoint in ready for address in endpoint["addresses"]]
