"""The control loop that every controller of the embedded cluster is built on: level-based, serial for each
object, retried with back-off."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable

from reasoner_local.client import ApiError, Obj, Resource
from reasoner_local.events import Recorder
from reasoner_local.informer import Hub, Informer, Key, controller_of, key_of

log = logging.getLogger(__name__)


def owner_keys(kind: Resource) -> Callable[[Obj], Iterable[Key]]:
    """For `Controller.follow`: the key of the object's controller, where that is of the given kind."""

    def keys(obj: Obj) -> Iterable[Key]:
        ref = controller_of(obj)
        if ref is not None and ref["kind"] == kind.kind:
            yield obj["metadata"].get("namespace") or "", ref["name"]

    return keys


class Controller(ABC):
    """Calls `reconcile` for each key that was enqueued, never twice at once for the same key."""

    #: Component name in Events.
    component = "controller"

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.events = Recorder(hub.client, self.component)
        self._tasks: dict[Key, asyncio.Task[float | None]] = {}
        self._again: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: Counter[Key] = Counter()
        self._stopped = False
        self._followed: list[tuple[Informer, Callable[[Obj], Iterable[Key]]]] = []

    def follow(self, kind: Resource, keys: Callable[[Obj], Iterable[Key]] = lambda obj: (key_of(obj),)) -> Informer:
        """Enqueue `keys(obj)` whenever an object of the kind changes, once started."""
        informer = self.hub.of(kind)
        self._followed.append((informer, keys))
        return informer

    def start(self) -> None:
        """Begin; every informer must have synced, or objects would seem to lack what they own."""
        for informer, keys in self._followed:

            def changed(old: Obj | None, new: Obj | None, keys: Callable[[Obj], Iterable[Key]] = keys) -> None:
                for obj in (old, new):
                    for key in keys(obj) if obj else ():
                        self.enqueue(key)

            informer.handlers.append(changed)
            for obj in informer:
                changed(None, obj)

    @abstractmethod
    async def reconcile(self, key: Key) -> float | None:
        """Bring the object nearer to its spec. Returns seconds after which to look again, if it must."""

    def enqueue(self, key: Key) -> None:
        """Have the key reconciled soon."""
        if self._stopped:
            return
        if key in self._tasks:
            self._again.add(key)
            return
        if timer := self._timers.pop(key, None):
            timer.cancel()
        task = asyncio.create_task(self.reconcile(key), name=f"{self.component} {'/'.join(key)}")
        self._tasks[key] = task
        task.add_done_callback(lambda done: self._finished(key, done))

    def enqueue_later(self, key: Key, delay: float) -> None:
        """Have the key reconciled after some seconds, unless it is before."""
        if self._stopped:
            return
        if timer := self._timers.pop(key, None):
            timer.cancel()
        self._timers[key] = asyncio.get_running_loop().call_later(delay, self.enqueue, key)

    def _finished(self, key: Key, task: asyncio.Task[float | None]) -> None:
        del self._tasks[key]
        if task.cancelled():
            return
        if error := task.exception():
            self._failures[key] += 1
            known = isinstance(error, ApiError)
            level = logging.INFO if known else logging.ERROR
            log.log(level, "%s: %s: %r", self.component, "/".join(key), error, exc_info=None if known else error)
            self.enqueue_later(key, min(0.05 * 2 ** self._failures[key], 30.0))
            return
        self._failures.pop(key, None)
        delay = task.result()
        if delay is not None:
            self.enqueue_later(key, max(delay, 0.01))
        if key in self._again:
            self._again.discard(key)
            self.enqueue(key)

    async def stop(self) -> None:
        """Stop reconciling."""
        self._stopped = True
        for timer in self._timers.values():
            timer.cancel()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
