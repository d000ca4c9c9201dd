"""Watches: the changes of a resource type since a revision, as one JSON document a line."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from .encoding import dumps
from .errors import ApiError, bad_request, not_yet
from .list_options import check_watch, watch_version
from .objects import Obj, meta
from .request import flag
from .resources import Resource
from .selectors import Predicate
from .store import Event, Store, Watcher

_BOOKMARK_SECONDS = 30.0
_LONGEST = 1800.0


@dataclass(frozen=True)
class Selection:
    """What a watch is about, and how an object is written in it."""

    resource: Resource
    matches: Predicate
    render: Callable[[Obj], Obj]


def _line(kind: str, obj: Obj) -> bytes:
    return dumps({"type": kind, "object": obj}) + b"\n"


def _seconds(request: web.Request) -> float:
    """How long the client wants to watch."""
    text = request.query.get("timeoutSeconds") or str(_LONGEST)
    try:
        return float(text)
    except ValueError as error:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from error


class WatchStream:
    """One client's watch."""

    def __init__(self, store: Store, selection: Selection) -> None:
        self._store, self._selection = store, selection
        self._key = selection.resource.key
        self._since = 0

    def _change(self, event: Event) -> bytes:
        """The line for a change; empty when it is none to this client.

        An object that a change takes out of the selection is deleted as far as this client can see.
        """
        matches, render = self._selection.matches, self._selection.render
        was = event.old is not None and matches(event.old)
        now = matches(event.new)
        if event.revision <= self._since:
            # The client asked for what comes after a revision that was still to come.
            return b""
        if event.type == "DELETED":
            return _line("DELETED", render(event.new)) if was or now else b""
        if now:
            return _line("MODIFIED" if was else "ADDED", render(event.new))
        if was and event.old is not None:
            revision = {**meta(event.old), "resourceVersion": str(event.revision)}
            return _line("DELETED", render({**event.old, "metadata": revision}))
        return b""

    def _bookmark(self, *, initial: bool = False) -> bytes:
        resource = self._selection.resource
        found: Obj = {"resourceVersion": str(self._store.revision), "creationTimestamp": None}
        if initial:
            found["annotations"] = {"k8s.io/initial-events-end": "true"}
        mark = {"kind": resource.kind, "apiVersion": resource.group_version, "metadata": found}
        return _line("BOOKMARK", mark)

    def _start(self, request: web.Request) -> bytes:
        """Everything from before the watch: what there is, or what has happened since a revision."""
        since, initial = self._since, flag(request, "sendInitialEvents")
        if initial and since > self._store.revision:
            raise not_yet(since, self._store.revision)
        if initial or (not since and "sendInitialEvents" not in request.query):
            selection = self._selection
            lines = [
                _line("ADDED", selection.render(obj)) for obj in self._store.all(self._key) if selection.matches(obj)
            ]
            marked = initial and flag(request, "allowWatchBookmarks")
            return b"".join(lines) + (self._bookmark(initial=True) if marked else b"")
        return b"".join(self._change(event) for event in self._store.since(self._key, since)) if since else b""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Stream until the client leaves, its time is up or the server stops."""
        check_watch(request.query)
        self._since = watch_version(request.query)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        seconds, marks = _seconds(request), flag(request, "allowWatchBookmarks")
        # No await between the backlog and the subscription: nothing can fall between them.
        try:
            backlog = self._start(request)
        except ApiError as error:
            await response.prepare(request)
            await response.write(_line("ERROR", error.status()))
            return response
        watcher = self._store.watch(self._key)
        try:
            await response.prepare(request)
            await response.write(backlog)
            await self._follow(response, watcher, time.monotonic() + seconds, marks=marks)
        except ConnectionResetError:
            # The client has left without a word, as a killed one does.
            pass
        finally:
            self._store.unwatch(self._key, watcher)
        return response

    async def _follow(self, response: web.StreamResponse, watcher: Watcher, end: float, *, marks: bool) -> None:
        while (left := end - time.monotonic()) > 0:
            try:
                event = await asyncio.wait_for(watcher.get(), min(left, _BOOKMARK_SECONDS))
            except TimeoutError:
                if marks:
                    await response.write(self._bookmark())
                continue
            if event is None:
                return
            lines = [self._change(event)]
            while not watcher.empty():
                event = watcher.get_nowait()
                if event is None:
                    return
                lines.append(self._change(event))
            if data := b"".join(lines):
                await response.write(data)
