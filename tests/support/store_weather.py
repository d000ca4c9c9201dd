"""Bad weather between pods and the object store: a proxy that is busy, fails, drops connections before and after it has
done what was asked, breaks bodies off, and goes away altogether."""

from __future__ import annotations

import io
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager

import aiohttp
from aiohttp import web
from yarl import URL

from support.http_server import hung_up, serving

#: What happens to a request, and how often.
FAULTS: Mapping[str, float] = {
    "none": 0.75,
    "slow down": 0.05,
    "failed": 0.05,
    "hung up": 0.05,
    "answer lost": 0.05,
    "broken off": 0.05,
}
_ERROR = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{}</Code><Message>not now</Message></Error>'


class StoreWeather:
    """The proxy. Change `faults` and `away` (whether nobody gets through) while it is served; `met`: how often which
    fault was met."""

    def __init__(self, target: str, seed: int, faults: Mapping[str, float] = FAULTS) -> None:
        self._target = target
        self._chance = random.Random(seed)
        self.faults = faults
        self.away = False
        self.met: Counter[str] = Counter()

    @contextmanager
    def served(self) -> Iterator[StoreWeather]:
        """Served at `url`."""
        app = web.Application(client_max_size=1 << 30)
        app.cleanup_ctx.append(self._session)
        app.router.add_route("*", "/{path:.*}", self._handle)
        with serving(app) as self.url:
            yield self

    def wait_for(self, fault: str, times: int, seconds: float = 60.0) -> None:
        """Until the fault was met so often more."""
        end, late = self.met[fault] + times, time.monotonic() + seconds
        while self.met[fault] < end:
            assert time.monotonic() < late, f"{fault} was not met {times} times: {self.met}"
            time.sleep(0.01)

    async def _session(self, _: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), auto_decompress=False
        ) as self._client:
            yield

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        (fault,) = self._chance.choices(list(self.faults), list(self.faults.values()))
        fault = "hung up" if self.away else fault
        self.met[fault] += 1
        if fault == "slow down":
            return web.Response(text=_ERROR.format("SlowDown"), status=503, content_type="application/xml")
        if fault == "failed":
            return web.Response(text=_ERROR.format("InternalError"), status=500, content_type="application/xml")
        if fault == "hung up":
            return hung_up(request)
        url = URL(self._target + request.raw_path, encoded=True)
        headers = {name: value for name, value in request.headers.items() if name != "Content-Length"}
        body = await request.read()
        async with self._client.request(
            request.method, url, headers=headers, data=io.BytesIO(body) if body else None
        ) as answer:
            if fault == "answer lost":
                await answer.read()
                return hung_up(request)
            return await self._pass_on(request, answer, broken_off=fault == "broken off")

    async def _pass_on(
        self, request: web.Request, answer: aiohttp.ClientResponse, broken_off: bool
    ) -> web.StreamResponse:
        headers = {k: v for k, v in answer.headers.items() if k not in ("Transfer-Encoding", "Connection")}
        text = await answer.read()
        response = web.StreamResponse(status=answer.status, headers=headers)
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        if broken_off and text:
            await response.write(text[: len(text) // 2])
            return hung_up(request)
        await response.write(text)
        return response
