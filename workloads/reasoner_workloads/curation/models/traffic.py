"""What one server is asked at a time and in a minute, by all roles together that ask it for the same model with the
same key. Used by `endpoint`."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence

from reasoner_api.curation import Limits, ModelEndpoint
from reasoner_workloads.curation.limits import Limit
from reasoner_workloads.curation.models import gate
from reasoner_workloads.curation.models.failures import Passing, TimedOut
from reasoner_workloads.curation.models.gate import Gate
from reasoner_workloads.curation.models.rates import Rates
from reasoner_workloads.curation.models.segments import Completion

#: Share of its time-out that a request may take before there are too many in flight.
SLOW_SHARE = 0.5


class Traffic:
    """Of several roles' rates the lowest holds for all; they are the whole job's, and a pod has its even part. In
    flight are as many requests as the role with the most may have."""

    def __init__(self, specs: Sequence[ModelEndpoint], pods: int) -> None:
        limits = Limits.of(specs)
        self.gate = Gate(limits.concurrency)
        self.rates = Rates()
        self._requests = _a_minute(limits.requests_per_minute, pods)
        self._tokens = _a_minute(limits.tokens_per_minute, pods)
        self._owed = 0

    async def carry(
        self, prompt_tokens: int, spec: ModelEndpoint, send: Callable[[], Awaitable[Completion]]
    ) -> Completion:
        """What `send` brings, once there is room for a request of so many tokens. Raises as `send`, and goes slower
        where that shows a server in trouble."""
        await self._acquire(prompt_tokens)
        async with self.gate:
            await self.rates.acquire(prompt_tokens + spec.max_tokens)
            began = time.monotonic()
            try:
                completion = await send()
            except Passing as failure:
                if failure.pressed or isinstance(failure, TimedOut):
                    self.gate.lower(gate.PRESSED, began)
                if failure.pressed and failure.after is not None:
                    self.rates.close(failure.after)
                raise
        if time.monotonic() - began > SLOW_SHARE * spec.timeout_seconds:
            self.gate.lower(gate.SLOW, began)
        else:
            self.gate.eased()
        # None of the answers waits for what they have taken beyond their prompts: the next request does.
        self._owed += max(0, completion.prompt_tokens + completion.completion_tokens - prompt_tokens)
        return completion

    async def _acquire(self, prompt_tokens: int) -> None:
        """Wait for room in a minute."""
        if self._requests is not None:
            await self._requests.acquire()
        if self._tokens is not None:
            owed, self._owed = self._owed, 0
            await self._tokens.acquire(prompt_tokens + owed)


def _a_minute(amount: int | None, pods: int) -> Limit | None:
    return None if amount is None else Limit(amount, 60.0, pods)
