"""Current local copies of kinds, fed by list and watch, shared by all controllers and the node of one cluster.

`Hub` also writes: what the API server answers to a write enters the copy at once, so a controller sees its own
writes at its next look and needs no expectations."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from typing import TypeAlias

import aiohttp

from reasoner_local.client import ApiError, Client, Obj, Resource

#: Namespace ("" for cluster-scoped) and name.
Key: TypeAlias = tuple[str, str]
#: Called with the object before (None when new) and after (None when gone) a change.
Handler: TypeAlias = Callable[[Obj | None, Obj | None], None]

log = logging.getLogger(__name__)


def key_of(obj: Obj) -> Key:
    """The object's key."""
    return obj["metadata"].get("namespace") or "", obj["metadata"]["name"]


def controller_of(obj: Obj) -> Obj | None:
    """The owner reference of the object's controller."""
    refs: list[Obj] = obj["metadata"].get("ownerReferences") or []
    return next((ref for ref in refs if ref.get("controller")), None)


def owner_ref(kind: Resource, owner: Obj) -> Obj:
    """An owner reference that names the owner as controller."""
    meta = owner["metadata"]
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


class Informer:
    """The current objects of one kind."""

    def __init__(self, client: Client, kind: Resource) -> None:
        self.kind = kind
        self.items: dict[Key, Obj] = {}
        self.handlers: list[Handler] = []
        self.synced = asyncio.Event()
        self._client = client
        #: Keys of the objects that each controller owns, by its uid.
        self._owned: dict[str, set[Key]] = defaultdict(set)
        #: Objects known to be gone, so that a late answer to a write does not bring one back.
        self._gone: deque[str] = deque(maxlen=2000)

    def __iter__(self) -> Iterator[Obj]:
        return iter(list(self.items.values()))

    def get(self, key: Key) -> Obj | None:
        """The object, or None."""
        return self.items.get(key)

    def owned_by(self, owner: Obj) -> list[Obj]:
        """Objects whose controller is the given one."""
        return [self.items[key] for key in sorted(self._owned.get(owner["metadata"]["uid"], ()))]

    def learn(self, obj: Obj) -> None:
        """Take in an object unless it is older than the copy."""
        key, meta = key_of(obj), obj["metadata"]
        old = self.items.get(key)
        if meta["uid"] in self._gone:
            return
        if old is not None and old["metadata"]["uid"] == meta["uid"]:
            if int(old["metadata"]["resourceVersion"]) >= int(meta["resourceVersion"]):
                return
        elif old is not None:
            self.forget(old)
            old = None
        self.items[key] = obj
        self._index(old, obj)
        self._tell(old, obj)

    def forget(self, obj: Obj) -> None:
        """Take note that an object is gone."""
        uid = obj["metadata"]["uid"]
        self._gone.append(uid)
        held = self.items.get(key_of(obj))
        if held is not None and held["metadata"]["uid"] == uid:
            del self.items[key_of(obj)]
            self._index(held, None)
            self._tell(obj, None)

    def _index(self, old: Obj | None, new: Obj | None) -> None:
        """Keep `_owned`: an object may be adopted or let go."""
        if old is not None and (ref := controller_of(old)):
            self._owned[ref["uid"]].discard(key_of(old))
            if not self._owned[ref["uid"]]:
                del self._owned[ref["uid"]]
        if new is not None and (ref := controller_of(new)):
            self._owned[ref["uid"]].add(key_of(new))

    def _tell(self, old: Obj | None, new: Obj | None) -> None:
        for handler in self.handlers:
            handler(old, new)

    async def run(self) -> None:
        """Follow the API server for ever."""
        while True:
            try:
                version = await self._relist()
                while True:
                    version = await self._follow(version)
            except ApiError as error:
                log.info("%s: listing again after %s", self.kind.plural, error)
            except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
                log.warning("%s: the API server does not answer: %r", self.kind.plural, error)
            await asyncio.sleep(1)

    async def _relist(self) -> str:
        items, version = await self._client.list(self.kind)
        present = {item["metadata"]["uid"] for item in items}
        for obj in self:
            if obj["metadata"]["uid"] not in present:
                self.forget(obj)
        for obj in items:
            self.learn(obj)
        self.synced.set()
        return version

    async def _follow(self, version: str) -> str:
        async for kind, obj in self._client.watch(self.kind, version):
            version = obj["metadata"]["resourceVersion"]
            if kind in ("ADDED", "MODIFIED"):
                self.learn(obj)
            elif kind == "DELETED":
                self.forget(obj)
        return version


class Hub:
    """All informers of a cluster, and the writes that keep them current."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._informers: dict[Resource, Informer] = {}

    def of(self, kind: Resource) -> Informer:
        """The informer of a kind."""
        if kind not in self._informers:
            self._informers[kind] = Informer(self.client, kind)
        return self._informers[kind]

    async def run(self) -> None:
        """Follow every kind asked for so far, for ever."""
        async with asyncio.TaskGroup() as group:
            for informer in self._informers.values():
                group.create_task(informer.run())

    async def synced(self) -> None:
        """Wait until every informer has listed once."""
        await asyncio.gather(*(informer.synced.wait() for informer in self._informers.values()))

    async def create(self, kind: Resource, body: Obj) -> Obj:
        """Create an object."""
        obj = await self.client.create(kind, body)
        self.of(kind).learn(obj)
        return obj

    async def patch(self, kind: Resource, target: Obj, patch: Obj, sub: str = "") -> Obj:
        """Merge patch."""
        obj = await self.client.patch(kind, target, patch, sub)
        self.of(kind).learn(obj)
        return obj

    async def delete(self, kind: Resource, target: Obj, grace: int | None = None) -> None:
        """Delete an object; one that is gone already, or replaced by a namesake, is no error."""
        try:
            answer = await self.client.delete(kind, target, grace)
        except ApiError as error:
            if error.code not in (404, 409):
                raise
            return
        meta = answer.get("metadata") or {}
        lingers = meta.get("finalizers") or meta.get("deletionGracePeriodSeconds")
        if answer.get("kind") == kind.kind and meta.get("deletionTimestamp") and lingers:
            self.of(kind).learn(answer)
        else:
            self.of(kind).forget(target)
