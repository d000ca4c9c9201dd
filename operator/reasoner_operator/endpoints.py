"""The operator's own HTTP port: `/healthz` and `/readyz` for probes, `/metrics` for Prometheus. Opened by `main`.

That an answer comes at all is the proof: work and answers share one event loop, and a part that fails ends the process.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest


@asynccontextmanager
async def served(port: int | None) -> AsyncIterator[None]:
    """Serve on this port of all addresses until the block ends; nothing where it is None."""
    if port is None:
        yield
        return
    app = web.Application()
    app.add_routes([web.get("/healthz", _ok), web.get("/readyz", _ok), web.get("/metrics", _metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        # None: of IPv4 and of IPv6, as the cluster may be either.
        await web.TCPSite(runner, None, port).start()
        yield
    finally:
        await runner.cleanup()


async def _ok(_: web.Request) -> web.Response:
    return web.Response(text="ok")


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
