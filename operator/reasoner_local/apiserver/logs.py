"""Container logs: what the process node gives the API server, and the `pods/NAME/log` subresource."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from aiohttp import web

from .errors import ApiError, bad_request
from .objects import Obj, dig, meta
from .request import flag

_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class LogQuery:
    """Which log is asked for. `tail` is a number of last lines, None for all; `previous` the run before this one;
    `limit` a number of bytes, None for all; `since` the time of the first line, nanoseconds since 1970; `timestamps`
    whether each line begins with its time."""

    namespace: str
    pod: str
    uid: str
    container: str
    follow: bool = False
    tail: int | None = None
    previous: bool = False
    limit: int | None = None
    since: int = 0
    timestamps: bool = False


class LogSource(Protocol):
    """Whoever runs the pods. Raises LookupError from the iterator when there is no such log."""

    def stream(self, query: LogQuery) -> AsyncIterator[bytes]:
        """The log, in pieces; with `follow` it ends when the container does."""
        ...


def _container(pod: Obj, asked: str) -> str:
    spec = pod.get("spec") or {}
    known = [one["name"] for kind in ("containers", "initContainers") for one in spec.get(kind) or []]
    main = [one["name"] for one in spec.get("containers") or []]
    name = meta(pod)["name"]
    if asked:
        if asked not in known:
            raise bad_request(f"container {asked} is not valid for pod {name}")
        return asked
    chosen = (meta(pod).get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
    if chosen in main:
        return str(chosen)
    if len(main) != 1:
        raise bad_request(f"a container name must be specified for pod {name}, choose one of: [{' '.join(main)}]")
    return str(main[0])


def _require_started(pod: Obj, container: str) -> None:
    statuses = (dig(pod, "status", "containerStatuses") or []) + (dig(pod, "status", "initContainerStatuses") or [])
    status = next((one for one in statuses if one.get("name") == container), None)
    waiting = dig(status, "state", "waiting")
    if (status is None or waiting is not None) and not dig(status, "lastState", "terminated"):
        if status is None and dig(pod, "status", "phase") not in (None, "Pending"):
            return
        reason = (waiting or {}).get("reason", "ContainerCreating")
        raise bad_request(f'container "{container}" in pod "{meta(pod)["name"]}" is waiting to start: {reason}')


def _count(request: web.Request, name: str, least: int) -> int | None:
    text = request.query.get(name)
    if text is None:
        return None
    if not text.removeprefix("-").isdigit():
        raise bad_request(f'unable to decode query: {name}: strconv.ParseInt: parsing "{text}": invalid syntax')
    if int(text) < least:
        wanted = "greater than 0" if least else "greater than or equal to 0"
        raise _invalid(f"{name}: Invalid value: {text}: must be {wanted}")
    return int(text)


def _since(request: web.Request) -> int:
    """The time of the first line that is asked for."""
    seconds, text = _count(request, "sinceSeconds", 1), request.query.get("sinceTime")
    if seconds is not None and text is not None:
        raise _invalid("sinceSeconds: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified")
    if seconds is not None:
        return time.time_ns() - seconds * _NANOSECONDS
    if text is None:
        return 0
    try:
        return int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z").timestamp()) * _NANOSECONDS
    except ValueError as error:
        raise bad_request(f'unable to decode query: sinceTime: parsing time "{text}" as RFC 3339: {error}') from error


def _invalid(why: str) -> ApiError:
    return ApiError(422, "Invalid", f"PodLogOptions is invalid: {why}")


def _query_of(pod: Obj, request: web.Request) -> LogQuery:
    return LogQuery(
        namespace=meta(pod)["namespace"],
        pod=meta(pod)["name"],
        uid=meta(pod)["uid"],
        container=_container(pod, request.query.get("container", "")),
        follow=flag(request, "follow"),
        tail=_count(request, "tailLines", 0),
        previous=flag(request, "previous"),
        limit=_count(request, "limitBytes", 1),
        since=_since(request),
        timestamps=flag(request, "timestamps"),
    )


async def _cut(pieces: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    """The first bytes, whatever follows."""
    async for piece in pieces:
        yield piece[:limit]
        limit -= len(piece)
        if limit <= 0:
            return


async def serve_log(source: LogSource | None, pod: Obj, request: web.Request) -> web.StreamResponse:
    """Answer GET pods/NAME/log. Raises 400 for a container that is unknown or has not started."""
    query = _query_of(pod, request)
    _require_started(pod, query.container)
    if source is None:
        raise ApiError(503, "ServiceUnavailable", "no node serves the logs of this pod")
    pieces = source.stream(query) if query.limit is None else _cut(source.stream(query), query.limit)
    try:
        first = await anext(pieces, b"")
    except LookupError as error:
        which = "previous terminated container" if query.previous else "container"
        raise bad_request(f'{which} "{query.container}" in pod "{query.pod}" not found') from error
    response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
    await response.prepare(request)
    await response.write(first)
    async for piece in pieces:
        await response.write(piece)
    return response
