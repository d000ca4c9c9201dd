"""Real HTTP servers on loopback for tests: aiohttp applications in a thread, ready when they are given."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from aiohttp import web


@contextmanager
def answering(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Iterator[str]:
    """The URL of a server that answers any GET so."""
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    with serving(app) as url:
        yield url


@contextmanager
def serving(app: web.Application, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The URL of the application while it is served, with `tls` over HTTPS."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    thread = threading.Thread(target=loop.run_forever, name="test-server", daemon=True)
    thread.start()

    async def start() -> int:
        await runner.setup()
        site = web.TCPSite(runner, host, 0, ssl_context=tls)
        await site.start()
        return int(runner.addresses[0][1])

    port = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    try:
        yield f"{'https' if tls else 'http'}://{host}:{port}"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def hung_up(request: web.Request) -> web.StreamResponse:
    """The connection, cut."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
