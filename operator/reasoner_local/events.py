"""Writes Kubernetes Events, counting repeats as the real recorder does. Used by the controllers and the node."""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass

import aiohttp

from reasoner_local.client import EVENTS, ApiError, Client, Obj, now

#: Events whose repeats are counted rather than written anew.
_REMEMBERED = 1000

log = logging.getLogger(__name__)


@dataclass
class Recorder:
    """Records Events in one component's name."""

    client: Client
    component: str

    def __post_init__(self) -> None:
        self._seen: dict[tuple[str, str, str], Obj] = {}

    async def normal(self, about: Obj, reason: str, message: str) -> None:
        """An Event of type Normal."""
        await self._record(about, "Normal", reason, message)

    async def warning(self, about: Obj, reason: str, message: str) -> None:
        """An Event of type Warning."""
        await self._record(about, "Warning", reason, message)

    async def _record(self, about: Obj, kind: str, reason: str, message: str) -> None:
        meta = about["metadata"]
        slot = (meta["uid"], reason, message)
        if len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        try:
            if before := self._seen.get(slot):
                change = {"count": before["count"] + 1, "lastTimestamp": now()}
                self._seen[slot] = await self.client.patch(EVENTS, before, change)
            else:
                self._seen[slot] = await self.client.create(EVENTS, self._event(about, kind, reason, message))
        except (ApiError, aiohttp.ClientError) as error:
            # An Event is a courtesy: the work that it tells of must go on, for example while a namespace ends.
            self._seen.pop(slot, None)
            log.info("event %s for %s not recorded: %s", reason, meta["name"], error)

    def _event(self, about: Obj, kind: str, reason: str, message: str) -> Obj:
        meta = about["metadata"]
        namespace = meta.get("namespace") or "default"
        stamp = now()
        return {
            "metadata": {"name": f"{meta['name']}.{uuid.uuid4().hex[:16]}", "namespace": namespace},
            "involvedObject": {
                "apiVersion": about.get("apiVersion"),
                "kind": about.get("kind"),
                "name": meta["name"],
                "namespace": meta.get("namespace", ""),
                "uid": meta["uid"],
                "resourceVersion": meta.get("resourceVersion"),
            },
            "type": kind,
            "reason": reason,
            "message": message[:1024],
            "source": {"component": self.component},
            "reportingComponent": self.component,
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
        }
