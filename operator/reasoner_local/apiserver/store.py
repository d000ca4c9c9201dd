"""Objects in memory, one global revision, and the history from which watches are fed.

Every change is synchronous, so in one event loop it is atomic. A write costs the same however many objects there
are. `writes` is the only writer; `watch` and the garbage collector listen.
"""

import asyncio
import itertools
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from .errors import expired
from .objects import Key, Obj, key_of, labels_of, meta, owners_of
from .resources import ResourceKey

# Name and value.
Label = tuple[str, str]

HISTORY = 10_000


@dataclass(frozen=True)
class Event:
    """One change. `old` is what the object was, None when it was added; `new` is its last state when deleted."""

    revision: int
    type: str
    key: ResourceKey
    old: Obj | None
    new: Obj


Watcher = asyncio.Queue[Event | None]


class Store:
    """All objects of all resource types, by type, namespace and name, by uid, by owner and by label."""

    def __init__(self) -> None:
        # By the clock, so that it goes up over the server's restarts too: who asks for what followed a revision of an
        # earlier server's is told that it is gone, instead of waiting for it to come.
        self.revision = self._first = time.time_ns() // 1000
        self._objects: defaultdict[ResourceKey, dict[Key, Obj]] = defaultdict(dict)
        self._history: defaultdict[ResourceKey, deque[Event]] = defaultdict(lambda: deque(maxlen=HISTORY))
        self._by_uid: dict[str, tuple[ResourceKey, Key]] = {}
        self._owned: defaultdict[str, dict[str, tuple[ResourceKey, Key]]] = defaultdict(dict)
        self._labelled: defaultdict[ResourceKey, dict[Label, set[Key]]] = defaultdict(dict)
        self._watchers: defaultdict[ResourceKey, set[Watcher]] = defaultdict(set)
        self.listeners: list[Callable[[Event], None]] = []

    def get(self, resource: ResourceKey, key: Key) -> Obj | None:
        """The object of that namespace ("" when it has none) and name."""
        return self._objects[resource].get(key)

    def all(self, resource: ResourceKey) -> list[Obj]:
        """Every object of a type, in the order of namespace and name, as a real server lists."""
        objects = self._objects[resource]
        return [objects[key] for key in sorted(objects)]

    def labelled(self, resource: ResourceKey, labels: Iterable[Label]) -> list[Obj]:
        """Every object of a type that has one of these labels, the rarest, in the order of `all`: a superset of those
        that have them all, found without looking at the others."""
        found = self._labelled[resource]
        keys = min((found.get(label, set()) for label in labels), key=len)
        return [self._objects[resource][key] for key in sorted(keys)]

    def in_namespace(self, namespace: str) -> list[tuple[ResourceKey, Obj]]:
        """Everything that lies in a namespace."""
        return [
            (resource, obj)
            for resource, objects in self._objects.items()
            for (where, _), obj in objects.items()
            if where == namespace
        ]

    def by_uid(self, uid: str) -> tuple[ResourceKey, Obj] | None:
        """The object with that uid, wherever it lies."""
        place = self._by_uid.get(uid)
        return (place[0], self._objects[place[0]][place[1]]) if place else None

    def owned_by(self, uid: str) -> list[tuple[ResourceKey, Obj]]:
        """Every object with an owner reference to that uid."""
        return [(place[0], self._objects[place[0]][place[1]]) for place in self._owned.get(uid, {}).values()]

    def put(self, resource: ResourceKey, obj: Obj) -> Obj:
        """Add or replace an object. Returns it as stored, with its new resourceVersion."""
        old = self._objects[resource].get(key_of(obj))
        return self._record("MODIFIED" if old else "ADDED", resource, old, obj)

    def remove(self, resource: ResourceKey, obj: Obj) -> Obj:
        """Remove an object. Returns its last state, with the resourceVersion of the removal."""
        old = self._objects[resource][key_of(obj)]
        return self._record("DELETED", resource, old, obj)

    def _record(self, kind: str, resource: ResourceKey, old: Obj | None, new: Obj) -> Obj:
        self.revision += 1
        new = {**new, "metadata": {**new["metadata"], "resourceVersion": str(self.revision)}}
        self._index(kind, resource, old, new)
        event = Event(self.revision, kind, resource, old, new)
        self._history[resource].append(event)
        for watcher in self._watchers[resource]:
            watcher.put_nowait(event)
        for listener in self.listeners:
            listener(event)
        return new

    def _index(self, kind: str, resource: ResourceKey, old: Obj | None, new: Obj) -> None:
        key, uid = key_of(new), meta(new)["uid"]
        self._index_labels(resource, key, labels_of(old) if old else {}, {} if kind == "DELETED" else labels_of(new))
        for owner in owners_of(old) if old else ():
            owned = self._owned[owner["uid"]]
            owned.pop(uid, None)
            if not owned:
                del self._owned[owner["uid"]]
        if kind == "DELETED":
            del self._objects[resource][key]
            self._by_uid.pop(uid, None)
            return
        self._objects[resource][key] = new
        self._by_uid[uid] = (resource, key)
        for owner in owners_of(new):
            self._owned[owner["uid"]][uid] = (resource, key)

    def _index_labels(self, resource: ResourceKey, key: Key, old: Mapping[str, str], new: Mapping[str, str]) -> None:
        if old == new:
            return
        index = self._labelled[resource]
        for label in old.items():
            index[label].discard(key)
            if not index[label]:
                del index[label]
        for label in new.items():
            index.setdefault(label, set()).add(key)

    def since(self, resource: ResourceKey, revision: int) -> Iterator[Event]:
        """Every change after a revision. Raises a 410 when that is further back than the history goes."""
        if revision < self.oldest(resource):
            raise expired(revision, self.oldest(resource))
        return reversed(self._newer(resource, revision))

    def oldest(self, resource: ResourceKey) -> int:
        """The revision that the history goes back to."""
        history = self._history[resource]
        return history[0].revision - 1 if len(history) == HISTORY else self._first

    def _newer(self, resource: ResourceKey, revision: int) -> list[Event]:
        """Every change after a revision, newest first."""
        history = self._history[resource]
        return list(itertools.takewhile(lambda event: event.revision > revision, reversed(history)))

    def at(self, resource: ResourceKey, revision: int) -> list[Obj]:
        """Every object of a type as it was at a revision that the history goes back to, in the order of `all`."""
        objects = dict(self._objects[resource])
        for event in self._newer(resource, revision):
            if event.old is None:
                del objects[key_of(event.new)]
            else:
                objects[key_of(event.old)] = event.old
        return [objects[key] for key in sorted(objects)]

    def watch(self, resource: ResourceKey) -> Watcher:
        """A queue that gets every change from now on, and None when the server stops."""
        watcher: Watcher = asyncio.Queue()
        self._watchers[resource].add(watcher)
        return watcher

    def unwatch(self, resource: ResourceKey, watcher: Watcher) -> None:
        """Feed that queue no more."""
        self._watchers[resource].discard(watcher)

    def close(self) -> None:
        """End every watch."""
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.put_nowait(None)
