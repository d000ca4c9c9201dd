"""The garbage collector: dependents go with their owners, contents with their namespace, objects with their CRD.

A listener of the store. Work is queued and done in the next turn of the event loop, never inside a write.
"""

import asyncio
from collections.abc import Callable

from .deletion import CRD_CLEANUP, CRDS, FOREGROUND, NAMESPACES, DeleteOptions, may_go
from .objects import Obj, is_terminating, meta, owners_of
from .resources import ResourceKey
from .store import Event
from .writes import Writes


def _awaits_dependents(obj: Obj) -> bool:
    return is_terminating(obj) and FOREGROUND in (meta(obj).get("finalizers") or [])


class GarbageCollector:
    """Follows owner references, namespaces and CRDs."""

    def __init__(self, writes: Writes) -> None:
        self._writes, self._store, self._registry = writes, writes.store, writes.registry
        self._todo: dict[tuple[Callable[[str], None], str], None] = {}
        self._store.listeners.append(self.on_event)

    def on_event(self, event: Event) -> None:
        """Queue what a change calls for."""
        new, old, uid = event.new, event.old, meta(event.new)["uid"]
        gone = event.type == "DELETED"
        if gone or (_awaits_dependents(new) and not (old and _awaits_dependents(old))):
            for _, dependent in self._store.owned_by(uid):
                self._queue(self._collect, meta(dependent)["uid"])
            self._queue(self._finish_foreground, uid)
        owners = owners_of(old or new)
        if not gone and owners_of(new) != (owners_of(old) if old else []):
            self._queue(self._collect, uid)
        if owners and (gone or owners_of(new) != owners):
            for owner in owners:
                self._queue(self._finish_foreground, owner["uid"])
        self._on_container(event, gone)

    def _on_container(self, event: Event, gone: bool) -> None:
        """Namespaces and CRDs: what is in them goes first, they go when nothing is left."""
        if event.key == NAMESPACES and is_terminating(event.new) and not gone:
            self._queue(self._empty_namespace, meta(event.new)["name"])
        elif event.key == CRDS and is_terminating(event.new) and not gone:
            self._queue(self._empty_crd, meta(event.new)["name"])
        elif gone:
            namespace = meta(event.new).get("namespace", "")
            place = self._store.get(NAMESPACES, ("", namespace))
            if place is not None and is_terminating(place):
                self._queue(self._empty_namespace, namespace)
            crd = self._store.get(CRDS, ("", f"{event.key[1]}.{event.key[0]}"))
            if crd is not None and is_terminating(crd):
                self._queue(self._empty_crd, meta(crd)["name"])

    def _queue(self, task: Callable[[str], None], subject: str) -> None:
        if not self._todo:
            asyncio.get_running_loop().call_soon(self._drain)
        self._todo[task, subject] = None

    def _drain(self) -> None:
        todo, self._todo = list(self._todo), {}
        for task, subject in todo:
            task(subject)

    def _collect(self, uid: str) -> None:
        """Delete the object if no owner of it is left, or if they all wait for it to go."""
        found = self._store.by_uid(uid)
        if found is None or not owners_of(found[1]):
            return
        key, obj = found
        resource = self._registry.stored(key)
        solid, waiting, absent = self._owners(obj)
        if solid:
            if waiting or absent:
                self._writes.drop_owners(resource, obj, waiting | absent)
        elif not is_terminating(obj):
            nested = bool(waiting) and bool(self._store.owned_by(uid))
            self._writes.delete(resource, obj, DeleteOptions("Foreground" if nested else "Background"))

    def _owners(self, obj: Obj) -> tuple[set[str], set[str], set[str]]:
        """The uids of the owners that stay, that wait for their dependents, and that do not exist."""
        solid, waiting, absent = set[str](), set[str](), set[str]()
        for owner in owners_of(obj):
            found = self._store.by_uid(owner["uid"])
            place = meta(found[1]).get("namespace") if found else None
            if found is None or place not in (None, meta(obj).get("namespace")):
                absent.add(owner["uid"])
            elif _awaits_dependents(found[1]):
                waiting.add(owner["uid"])
            else:
                solid.add(owner["uid"])
        return solid, waiting, absent

    def _finish_foreground(self, uid: str) -> None:
        """Let an owner go once no dependent that blocks it is left."""
        found = self._store.by_uid(uid)
        if found is None or not _awaits_dependents(found[1]):
            return
        for _, dependent in self._store.owned_by(uid):
            if any(ref["uid"] == uid and ref.get("blockOwnerDeletion") for ref in owners_of(dependent)):
                return
        self._writes.drop_finalizer(self._registry.stored(found[0]), found[1], FOREGROUND)

    def _delete_all(self, objects: list[tuple[ResourceKey, Obj]]) -> None:
        for key, obj in objects:
            if not is_terminating(obj):
                self._writes.delete(self._registry.stored(key), obj, DeleteOptions("Background"))

    def _empty_namespace(self, name: str) -> None:
        place = self._store.get(NAMESPACES, ("", name))
        if place is None:
            return
        self._delete_all(self._store.in_namespace(name))
        if self._store.in_namespace(name):
            return
        emptied: Obj = {**place, "spec": {**place.get("spec", {}), "finalizers": []}}
        if may_go(emptied):
            self._store.remove(NAMESPACES, emptied)
        elif emptied != place:
            self._store.put(NAMESPACES, emptied)

    def _empty_crd(self, name: str) -> None:
        crd = self._store.get(CRDS, ("", name))
        if crd is None:
            return
        key = (crd["spec"]["group"], crd["spec"]["names"]["plural"])
        self._delete_all([(key, obj) for obj in self._store.all(key)])
        if not self._store.all(key):
            self._writes.drop_finalizer(self._registry.stored(CRDS), crd, CRD_CLEANUP)
