"""Asks the served verifier. Used by `scoring`; the server is vLLM or this project's own, asked alike."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import httpx
from openai import APIConnectionError, APIStatusError, AsyncOpenAI, InternalServerError, RateLimitError

from reasoner_api.grpo import Reward
from reasoner_api.task import VerifierEndpoint
from reasoner_workloads.common.run import WorkloadError
from reasoner_workloads.verifier.prompt import ask, passed

#: What may pass; any other refusal stays one however often it is asked.
RETRIED = (APIConnectionError, InternalServerError, RateLimitError)


class Case(NamedTuple):
    """An answer to be judged."""

    question: str
    ground_truth: str
    answer: str


@dataclass(frozen=True)
class Patience:
    """How long a verifier may stay away: by default five minutes, in which a server loads that was moved to another
    node."""

    tries: int = 16
    first_pause: float = 0.5
    longest_pause: float = 30.0

    def pause(self, tried: int) -> float:
        """Seconds to wait after so many failures."""
        return min(self.first_pause * 2 ** (tried - 1), self.longest_pause)


class Judge(Protocol):
    """Whatever decides whether answers are right."""

    async def judge(self, cases: Sequence[Case]) -> list[bool]:
        """The verdicts, in the order of the cases."""

    async def close(self) -> None:
        """Let go of connections and processes."""


class VerifierClient:
    """A verifier behind the OpenAI API. One event loop's."""

    def __init__(self, verifier: VerifierEndpoint, reward: Reward, patience: Patience | None = None) -> None:
        self.verifier, self.reward, self.patience = verifier, reward, patience or Patience()
        limits = httpx.Limits(max_connections=reward.concurrency, max_keepalive_connections=reward.concurrency)
        self._client = AsyncOpenAI(
            base_url=verifier.endpoint,
            # Served inside the cluster without keys; the library wants one all the same.
            api_key="none",
            timeout=reward.timeout_seconds,
            max_retries=0,
            http_client=httpx.AsyncClient(limits=limits, timeout=reward.timeout_seconds, trust_env=False),
        )
        self._slots = asyncio.Semaphore(reward.concurrency)

    async def judge(self, cases: Sequence[Case]) -> list[bool]:
        """The verdicts; the same case is asked once. Raises WorkloadError (VerifierUnavailable) when the verifier
        stays away: no verdict is ever made up."""
        different = list(dict.fromkeys(cases))
        try:
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(self._ask(case)) for case in different]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None  # they all fail alike
        verdicts = {case: task.result() for case, task in zip(different, asked, strict=True)}
        return [verdicts[case] for case in cases]

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _ask(self, case: Case) -> bool:
        prompt = ask(self.verifier.prompt, *case)
        async with self._slots:
            for tried in range(1, self.patience.tries + 1):
                try:
                    return passed(self.verifier.prompt, await self._complete(prompt))
                except RETRIED as error:
                    failure = error
                    await asyncio.sleep(self.patience.pause(tried))
                except APIStatusError as error:
                    raise self._unavailable(error) from error
        raise self._unavailable(failure) from failure

    async def _complete(self, prompt: str) -> str:
        reply = await self._client.completions.create(
            model=self.verifier.model, prompt=prompt, max_tokens=self.reward.max_tokens, temperature=0
        )
        return reply.choices[0].text

    def _unavailable(self, error: Exception) -> WorkloadError:
        return WorkloadError(
            f"the verifier {self.verifier.model!r} at {self.verifier.endpoint} does not answer: {error}",
            reason="VerifierUnavailable",
        )
