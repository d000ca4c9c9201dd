"""Watches the children of all objects and tells whose they are. Run by `main`.

kopf would watch every pod of the cluster and hold each in memory: here the API server picks ours out, and sends
their metadata alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from reasoner_api.crd import KINDS
from reasoner_operator.answers import ApiError
from reasoner_operator.cluster import Cluster
from reasoner_operator.naming import LABEL_KIND, LABEL_MANAGED_BY, LABEL_NAME, MANAGER
from reasoner_operator.seen import Key, Object

log = logging.getLogger(__name__)

#: Seconds before a watch that has failed is begun anew; doubled each time, up to the last.
RETRY_FIRST = 1.0
RETRY_LAST = 10.0
SELECTOR = f"{LABEL_MANAGED_BY}={MANAGER}"


async def watch_children(
    cluster: Cluster,
    children: tuple[tuple[str, str, str], ...],
    namespaces: tuple[str, ...],
    enqueue: Callable[[Key], None],
) -> None:
    """Call `enqueue` with the parent of each child that is there, changes or goes, until cancelled. `children`:
    (group, version, plural); all namespaces where none is named."""
    async with asyncio.TaskGroup() as tasks:
        for group, version, plural in children:
            root = f"/apis/{group}/{version}" if group else f"/api/{version}"
            for scope in [f"/namespaces/{name}" for name in namespaces] or [""]:
                tasks.create_task(_watch(cluster, f"{root}{scope}/{plural}", enqueue))


async def _watch(cluster: Cluster, path: str, enqueue: Callable[[Key], None]) -> None:
    delay = RETRY_FIRST
    while True:
        try:
            async for metadata in cluster.metadata(path, SELECTOR):
                delay = RETRY_FIRST
                if key := parent(metadata):
                    enqueue(key)
        except ApiError as error:
            log.warning("%s; again in %.0f s", error, delay)
            await asyncio.sleep(delay)
            delay = min(2 * delay, RETRY_LAST)


def parent(metadata: Object) -> Key | None:
    """The object that a child was made for, by its labels."""
    labels = metadata.get("labels", {})
    if labels.get(LABEL_KIND) not in KINDS or LABEL_NAME not in labels:
        return None
    return Key(labels[LABEL_KIND], metadata["namespace"], labels[LABEL_NAME])
