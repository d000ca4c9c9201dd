"""Asks the served verifier over the OpenAI API: vLLM or this project's own server, asked alike. Used by `scoring`.

aiohttp and not the openai package: that one's connection pool searches all its connections for every request, which at
a hundred in flight costs more than the verifier itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import aiohttp

from reasoner_api.reward import Reward
from reasoner_api.task import VerifierEndpoint
from reasoner_workloads.common.run import WorkloadError
from reasoner_workloads.verifier.prompt import ask, passed

#: Statuses that may pass; any other refusal stays one however often it is asked.
RETRIED = frozenset({408, 409, 429, 500, 502, 503, 504})
#: Characters of a refusal that go into the message.
SHOWN = 300


class Case(NamedTuple):
    """An answer to be judged."""

    question: str
    ground_truth: str
    answer: str


class _Away(Exception):
    """No answer this time; another try may bring one."""


@dataclass(frozen=True)
class Patience:
    """How long a verifier may stay away: by default five minutes, in which a server loads that was moved to another
    node."""

    tries: int = 16
    first_pause: float = 0.5
    longest_pause: float = 30.0

    def pause(self, tried: int) -> float:
        """Seconds to wait after so many failures."""
        return min(self.first_pause * 2.0 ** (tried - 1), self.longest_pause)


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
        self._url = f"{verifier.endpoint.rstrip('/')}/completions"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=reward.concurrency),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=reward.timeout_seconds),
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
        await self._session.close()

    async def _ask(self, case: Case) -> bool:
        prompt = ask(self.verifier.prompt, *case)
        async with self._slots:
            for tried in range(1, self.patience.tries + 1):
                try:
                    return passed(self.verifier.prompt, await self._complete(prompt))
                except (aiohttp.ClientError, TimeoutError, _Away) as error:
                    failure: Exception = error
                    await asyncio.sleep(self.patience.pause(tried))
        raise self._unavailable(f"{type(failure).__name__}: {failure}") from failure

    async def _complete(self, prompt: str) -> str:
        body = {"model": self.verifier.model, "prompt": prompt, "max_tokens": self.reward.max_tokens, "temperature": 0}
        async with self._session.post(self._url, json=body) as reply:
            text = await reply.text()
            if reply.status in RETRIED:
                raise _Away(f"{reply.status} {text[:SHOWN]}")
            if reply.status != 200:
                raise self._unavailable(f"{reply.status} {text[:SHOWN]}")
        try:
            return str(json.loads(text)["choices"][0]["text"])
        except (ValueError, LookupError, TypeError) as error:
            raise self._unavailable(f"it replies no completion: {text[:SHOWN]}") from error

    def _unavailable(self, why: str) -> WorkloadError:
        return WorkloadError(
            f"the verifier {self.verifier.model!r} at {self.verifier.endpoint} does not answer: {why}",
            reason="VerifierUnavailable",
        )
