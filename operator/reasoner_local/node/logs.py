"""Serves containers' logs to the API server, its `LogSource`. Set there by `cluster`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from reasoner_local.apiserver.logs import LogQuery
from reasoner_local.node.agent import Node

_CHUNK = 1 << 16
#: Seconds between looks at a log that is followed.
_INTERVAL = 0.25


class NodeLogs:
    """Reads the log files of the node's containers."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def stream(self, query: LogQuery) -> AsyncIterator[bytes]:
        """The log in pieces. Raises LookupError where there is none."""
        worker = self._node.worker(query.uid)
        container = worker.container(query.container) if worker else None
        if worker is None or container is None:
            raise LookupError(query.container)
        run = container.restarts - 1 if query.previous else container.restarts
        file = worker.context.log_file(container.name, run)
        if not file.is_file():
            raise LookupError(file.name)
        with file.open("rb") as log:
            _seek(log, file, query.tail)
            while True:
                over = not query.follow or container.restarts != run or "running" not in container.state
                while piece := log.read(_CHUNK):
                    yield piece
                if over:
                    return
                await asyncio.sleep(_INTERVAL)


def _seek(log: BinaryIO, file: Path, lines: int | None) -> None:
    """Go to where the last lines begin."""
    if lines is None:
        return
    end = position = file.stat().st_size
    tail = b""
    while position > 0 and tail[:-1].count(b"\n") < lines:
        step = min(_CHUNK, position)
        position -= step
        log.seek(position)
        tail = log.read(step) + tail
    wanted = tail.splitlines(keepends=True)[-lines:] if lines else []
    log.seek(end - sum(map(len, wanted)))
