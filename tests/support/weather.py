"""Bad weather between a client and the API server: a proxy that is busy, drops connections, loses answers, ends watches
and goes away altogether."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from support.http_server import hung_up

#: What happens to a request, and how often: to six of seven nothing.
FAULTS = {"none": 0.86, "busy": 0.05, "starting": 0.03, "hung up": 0.03, "answer lost": 0.03}
EXPIRED = {"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"}
#: How a watch ends, and after how many seconds at most.
ENDS = ("quiet", "expired", "broken")
WATCH_SECONDS = 0.8


class Weather:
    """The proxy. `away`: whether nobody gets through; `met`: how often which fault was met."""

    def __init__(self, target: str, seed: int, trusted: ssl.SSLContext | bool = True) -> None:
        self._target = target
        self._trusted = trusted
        self._chance = random.Random(seed)
        self.away = False
        self.met: Counter[str] = Counter()

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        """The URL, while it is served in the running event loop."""
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        async with aiohttp.ClientSession(
            self._target, connector=aiohttp.TCPConnector(ssl=self._trusted, limit=0)
        ) as self._session:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        (fault,) = self._chance.choices(list(FAULTS), list(FAULTS.values()))
        fault = "hung up" if self.away else fault
        self.met[fault] += 1
        if fault == "busy":
            return web.json_response({"message": "too many requests"}, status=429, headers={"Retry-After": "0"})
        if fault == "starting":
            return web.json_response({"message": "starting"}, status=503)
        if fault == "hung up":
            return hung_up(request)
        headers = {name: value for name, value in request.headers.items() if name not in ("Host", "Content-Length")}
        body = await request.read()
        async with self._session.request(request.method, request.rel_url, headers=headers, data=body or None) as answer:
            kind = {"Content-Type": answer.headers["Content-Type"]}
            if "watch" in request.query:
                return await self._watch(request, answer, kind)
            text = await answer.read()
        return (
            hung_up(request) if fault == "answer lost" else web.Response(body=text, status=answer.status, headers=kind)
        )

    async def _watch(
        self, request: web.Request, answer: aiohttp.ClientResponse, headers: dict[str, str]
    ) -> web.StreamResponse:
        """A watch that ends soon: quietly, by a broken connection, or with word that it is too old to go on."""
        response = web.StreamResponse(status=answer.status, headers=headers)
        await response.prepare(request)
        try:
            async with asyncio.timeout(self._chance.uniform(0, WATCH_SECONDS)):
                async for line in answer.content:
                    await response.write(line)
        except TimeoutError:
            pass
        end = self._chance.choice(ENDS)
        self.met[end] += 1
        if end == "expired":
            await response.write(json.dumps({"type": "ERROR", "object": EXPIRED}).encode() + b"\n")
        return hung_up(request) if end == "broken" else response
