"""Asks running pods how far they are. Used by `reconcile`."""

from __future__ import annotations

import asyncio
import logging
from typing import Literal

import aiohttp
from pydantic import ValidationError

from reasoner_api.report import RunReport
from reasoner_api.task import REPORT_PORT
from reasoner_operator.answers import Unavailable
from reasoner_operator.paths import path_of
from reasoner_operator.seen import Object
from reasoner_operator.transport import Request, Transport

log = logging.getLogger(__name__)

#: How pods are reached: `direct` at their address (from inside the cluster), `proxy` through the API server.
Way = Literal["direct", "proxy"]
#: Seconds for one answer.
TIMEOUT = 3
#: Pods asked at one time, of all objects together.
AT_ONCE = 32


class Pods:
    """Running pods, for their progress. Use as an async context manager."""

    def __init__(self, transport: Transport, way: Way) -> None:
        self._transport = transport
        self._way = way
        self._asking = asyncio.Semaphore(AT_ONCE)
        #: Whether the log has said that progress cannot be read.
        self._told = False

    async def __aenter__(self) -> Pods:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def progress(self, pod: Object) -> RunReport | None:
        """What a running pod answers on `/progress`; None while it does not."""
        address = pod.get("status", {}).get("podIP")
        if not address:
            return None
        async with self._asking:
            if self._way == "proxy":
                return await self._through_the_api_server(pod["metadata"])
            host = f"[{address}]" if ":" in address else address
            return await self._at(f"http://{host}:{REPORT_PORT}/progress")

    async def _through_the_api_server(self, pod: Object) -> RunReport | None:
        path = path_of("v1", "Pod", pod["namespace"], f"{pod['name']}:{REPORT_PORT}") + "/proxy/progress"
        try:
            async with asyncio.timeout(TIMEOUT):
                status, body = await self._transport.request(Request("GET", path))
        except (Unavailable, TimeoutError):
            return None
        if status == 403 and not self._told:
            self._told = True
            log.warning("runs will show no progress: it takes the right to get pods/proxy, or --pod-access=direct")
        return _report(body) if status == 200 else None

    async def _at(self, url: str) -> RunReport | None:
        try:
            async with self._session.get(url) as response:
                return _report(await response.read()) if response.status == 200 else None
        except (aiohttp.ClientError, TimeoutError):
            # Not listening yet, or just gone: the next reading will tell.
            return None


def _report(body: bytes) -> RunReport | None:
    try:
        return RunReport.model_validate_json(body)
    except ValidationError:
        return None
