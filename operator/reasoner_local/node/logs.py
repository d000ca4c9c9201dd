"""Serves containers' logs to the API server, its `LogSource`. Set there by `cluster`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from reasoner_local.apiserver.logs import LogQuery
from reasoner_local.node.agent import Node
from reasoner_local.node.container import Container
from reasoner_local.node.log_index import IndexedLog

#: Seconds between looks at a log that is followed.
_INTERVAL = 0.25


class NodeLogs:
    """Reads the log files of the node's containers."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def stream(self, query: LogQuery) -> AsyncIterator[bytes]:
        """The log in pieces, as a kubelet gives it: of the last lines those that are new enough. Raises LookupError
        where there is none."""
        worker = self._node.worker(query.uid)
        container = worker.container(query.container) if worker else None
        if worker is None or container is None:
            raise LookupError(query.container)
        run = container.restarts - 1 if query.previous else container.restarts
        file = worker.context.log_file(container.name, run)
        if not file.is_file():
            raise LookupError(file.name)
        with contextlib.closing(IndexedLog(file)) as log:
            if query.tail is not None:
                log.skip_to_last(query.tail, over=not self._goes_on(container, run))
            while True:
                over = not self._goes_on(container, run)
                for lines in log.lines(over):
                    wanted = (line for line in lines if line.at >= query.since)
                    if piece := b"".join(line.stamped() if query.timestamps else line.text for line in wanted):
                        yield piece
                if over or not query.follow:
                    return
                await asyncio.sleep(_INTERVAL)

    def _goes_on(self, container: Container, run: int) -> bool:
        return container.restarts == run and "running" in container.state
