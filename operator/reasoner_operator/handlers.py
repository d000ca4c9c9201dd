"""Every kopf decorator, and no decision: events become keys in the queue. Registered by `main`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

import kopf

from reasoner_api import GROUP, VERSION
from reasoner_api.crd import KINDS
from reasoner_operator.seen import Key, key_of
from reasoner_operator.told import Told
from reasoner_operator.transport import Connection

#: Children whose events concern their parent (`children` watches them).
CHILDREN = (
    ("batch", "v1", "jobs"),
    ("", "v1", "pods"),
    ("apps", "v1", "deployments"),
    ("", "v1", "configmaps"),
    ("", "v1", "services"),
)


def register(
    registry: kopf.OperatorRegistry,
    enqueue: Callable[[Key], None],
    told: Told,
    connect: Callable[[], Awaitable[Connection]],
) -> None:
    """Watch the three kinds; `enqueue` is called with the key that an event concerns, unless all that it shows is what
    the operator has `told` itself. `connect` lends kopf the client's own way to the API server, so that a kubeconfig
    works for both or for neither.

    Only raw events are handled: they need neither finalizers nor annotations, and an object can be deleted while
    the operator is away.
    """

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(**asdict(await connect()))

    for kind in KINDS.values():
        # Async, though it awaits nothing: kopf would call it from another thread, and the queue belongs to the loop.
        @kopf.on.event(GROUP, VERSION, kind.plural, registry=registry, id=f"{kind.plural}-changed")
        async def changed(type: str | None, body: kopf.Body, **_: Any) -> None:
            if type != "MODIFIED" or not told.is_all_of(body):
                enqueue(key_of(body))
