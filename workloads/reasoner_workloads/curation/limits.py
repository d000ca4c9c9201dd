"""Rates of a whole job, divided over its pods. Used by `fetch` and `llm`."""

from __future__ import annotations

from aiolimiter import AsyncLimiter

#: Share of a period's allowance that may be spent at once.
BURST = 0.1


class Limit:
    """At most `amount` in each `period` seconds over all pods at work: one pod's even part of that."""

    def __init__(self, amount: float, period: float, pods: int) -> None:
        share = amount / pods
        self._capacity = max(1.0, share * BURST)
        self._limiter = AsyncLimiter(self._capacity, period * self._capacity / share)

    async def acquire(self, amount: float = 1.0) -> None:
        """Wait for room for `amount`; more than a burst is taken in pieces."""
        while amount > 0:
            piece = min(amount, self._capacity)
            await self._limiter.acquire(piece)
            amount -= piece
