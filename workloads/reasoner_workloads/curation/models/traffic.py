"""What one server is asked at a time and in a minute, by all roles together that ask it for the same model with the
same key. Used by `endpoint`."""

from __future__ import annotations

from collections.abc import Sequence

from reasoner_api.curation import Limits, ModelEndpoint
from reasoner_workloads.curation.limits import Limit
from reasoner_workloads.curation.models.gate import Gate
from reasoner_workloads.curation.models.rates import Rates


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

    async def acquire(self, prompt_tokens: int) -> None:
        """Wait for room in a minute for a request."""
        if self._requests is not None:
            await self._requests.acquire()
        if self._tokens is not None:
            # What answers have taken beyond their prompts is paid by the next request: none of them waits for it.
            owed, self._owed = self._owed, 0
            await self._tokens.acquire(prompt_tokens + owed)

    def owe(self, tokens: int) -> None:
        """An answer has taken more than its request has waited for."""
        self._owed += max(0, tokens)


def _a_minute(amount: int | None, pods: int) -> Limit | None:
    return None if amount is None else Limit(amount, 60.0, pods)
