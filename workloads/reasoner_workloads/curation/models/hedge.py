"""A request that is sent a second time when its answer does not come, and the first answer counts. Used by
`endpoint`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from reasoner_workloads.curation.models.failures import Passing

T = TypeVar("T")


async def hedged(send: Callable[[], Awaitable[T]], after: float | None) -> tuple[T, int]:
    """What `send` brings, done again after so many seconds unless that is None; and how many others than the one that
    counts did not fail before it. A failure counts once no other try is left. Raises as `send`."""
    if after is None:
        return await send(), 0
    tries = {asyncio.ensure_future(send())}
    try:
        done, flying = await asyncio.wait(tries, timeout=after)
        if not done:
            tries.add(second := asyncio.ensure_future(send()))
            done, flying = await asyncio.wait({*flying, second}, return_when=asyncio.FIRST_COMPLETED)
        while flying and all(isinstance(one.exception(), Passing) for one in done):
            done, flying = await asyncio.wait(flying, return_when=asyncio.FIRST_COMPLETED)
        # Of two that are there at once either will do, but a failure only if there is nothing else.
        best = min(done, key=lambda one: one.exception() is not None)
        result = best.result()
        return result, sum(not (one.done() and one.exception()) for one in tries - {best})
    finally:
        for one in tries:
            one.cancel()
        await asyncio.gather(*tries, return_exceptions=True)
