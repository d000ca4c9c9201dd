"""Gives Services their cluster addresses and keeps their EndpointSlices and Endpoints. Started by `cluster`."""

from __future__ import annotations

from collections.abc import Iterable

from reasoner_local import conditions
from reasoner_local.client import ENDPOINTS, PODS, SERVICES, SLICES, Obj
from reasoner_local.controllers import endpoints
from reasoner_local.controllers.base import Controller
from reasoner_local.informer import Hub, Key, key_of
from reasoner_local.network import Subnet


class ServiceController(Controller):
    """Serves Services."""

    component = "endpoint-slice-controller"

    def __init__(self, hub: Hub, subnet: Subnet) -> None:
        super().__init__(hub)
        self._subnet = subnet
        self.services = self.follow(SERVICES)
        self.pods = self.follow(PODS, self._services_of)
        self.slices = self.hub.of(SLICES)
        self.endpoints = self.hub.of(ENDPOINTS)
        self.services.handlers.append(self._released)

    def _services_of(self, pod: Obj) -> Iterable[Key]:
        for service in self.services:
            if endpoints.selects(service, pod):
                yield key_of(service)

    def _released(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and new is None and (address := old["spec"].get("clusterIP")):
            self._subnet.release(address)

    async def reconcile(self, key: Key) -> float | None:
        """One look at a Service."""
        service = self.services.get(key)
        if service is None or conditions.terminating(service) or service["spec"].get("type") == "ExternalName":
            return None
        if address := service["spec"].get("clusterIP"):
            self._subnet.take(address)
        else:
            address = self._subnet.service()
            spec = {"clusterIP": address, "clusterIPs": [address]}
            service = await self.hub.patch(SERVICES, service, {"spec": spec})
        if service["spec"].get("selector"):
            pods = [pod for pod in self.pods if endpoints.selects(service, pod)]
            await self._slice(service, endpoints.slices(service, pods))
            await self._legacy(service, endpoints.legacy(service, pods))
        return None

    async def _slice(self, service: Obj, wanted: dict[str, Obj]) -> None:
        held = {obj["metadata"]["name"]: obj for obj in self.slices.owned_by(service)}
        for name, body in wanted.items():
            if name not in held:
                await self.hub.create(SLICES, body)
            elif held[name].get("endpoints") != body["endpoints"]:
                await self.hub.patch(SLICES, held[name], {"endpoints": body["endpoints"]})
        for name in held.keys() - wanted.keys():
            await self.hub.delete(SLICES, held[name])

    async def _legacy(self, service: Obj, body: Obj) -> None:
        held = self.endpoints.get(key_of(service))
        if held is None:
            await self.hub.create(ENDPOINTS, body)
        elif (held.get("subsets") or []) != body["subsets"]:
            await self.hub.patch(ENDPOINTS, held, {"subsets": body["subsets"]})
