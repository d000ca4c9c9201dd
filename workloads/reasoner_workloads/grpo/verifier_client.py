"""Asks the served verifier over the OpenAI API: vLLM or this project's own server, asked alike. Made by `judges`.

aiohttp and not the openai package: that one's connection pool searches all its connections for every request, which at
a hundred in flight costs more than the verifier itself (benchmarks/reward_client.py)."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Sequence
from dataclasses import replace

import aiohttp
from yarl import URL

from reasoner_api.reward import Reward
from reasoner_api.task import VerifierEndpoint, api_key_variable
from reasoner_workloads.grpo.circuit import Circuit, NoAnswer, Patience, VerifierUnavailable
from reasoner_workloads.grpo.completions import PATHS, SHOWN, Requests, texts
from reasoner_workloads.grpo.judging import Case
from reasoner_workloads.verifier.prompt import ask, decided

#: Cases in a row without a verdict after which the server is taken for no verifier.
MUTE = 64


class VerifierClient:
    """A verifier behind the OpenAI API. Belongs to the event loop that it is first used in."""

    def __init__(self, verifier: VerifierEndpoint, reward: Reward, patience: Patience) -> None:
        self.verifier, self.reward = verifier, reward
        named = replace(patience, tell=lambda why: patience.tell(self._message(why)))
        self._circuit = Circuit(reward.verifier_unavailable.wait_seconds, named)
        self._url = URL(f"{verifier.endpoint.rstrip('/')}/{PATHS[verifier.api]}")
        self._requests = Requests(verifier.model, reward.max_tokens, verifier.api)
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(reward.concurrency)
        self._judging = 0
        self._mute = 0

    async def judge(self, cases: Sequence[Case]) -> list[bool | None]:
        """The verdicts; the same case is asked once; None where a reply says neither yes nor no. Raises
        VerifierUnavailable when the verifier stays away: no verdict is ever made up."""
        self._session = self._session or self._open()
        if not self._judging:
            self._circuit.begin()
        self._judging += 1
        try:
            verdicts = await self._judge(list(dict.fromkeys(cases)))
        finally:
            self._judging -= 1
        return [verdicts.get(case) for case in cases]

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _judge(self, cases: Sequence[Case]) -> dict[Case, bool]:
        verdicts: dict[Case, bool] = {}
        batches = iter(self._batches(cases))

        async def work() -> None:
            for batch in batches:  # each takes the next that nobody has taken
                async with self._slots:  # shared by calls at the same time
                    verdicts.update(await self._decide(batch))

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.reward.concurrency, len(cases))):
                    group.create_task(work())
        except* VerifierUnavailable as away:
            why = next(iter(away.exceptions))  # all say the same
            raise VerifierUnavailable(self._message(str(why))) from why
        return verdicts

    def _open(self) -> aiohttp.ClientSession:
        key = os.environ.get(api_key_variable(self.verifier.role))
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.reward.concurrency, keepalive_timeout=60),
            timeout=aiohttp.ClientTimeout(total=self.reward.timeout_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {}),
        )

    def _batches(self, cases: Sequence[Case]) -> list[Sequence[Case]]:
        """Whole batches only where there is more than every connection has to do."""
        size = 1 if self.verifier.api == "chat" else self.reward.batch_size
        size = min(size, max(1, math.ceil(len(cases) / self.reward.concurrency)))
        return [cases[start : start + size] for start in range(0, len(cases), size)]

    async def _decide(self, batch: Sequence[Case]) -> dict[Case, bool]:
        """Verdicts of those that there is one for."""
        found: dict[Case, bool] = {}
        left = list(batch)
        for _ in range(1 + self.reward.undecided_retries):
            undecided = []
            for case, text in zip(left, await self._replies(left), strict=True):
                verdict = None if text is None else decided(self.verifier.prompt, text)
                if verdict is not None:
                    found[case] = verdict
                elif text is not None:
                    undecided.append(case)
                self._listen(verdict, text)
            if not (left := undecided):
                break
        return found

    def _listen(self, verdict: bool | None, text: str | None) -> None:
        """Raise VerifierUnavailable where nothing that is said is a verdict."""
        self._mute = 0 if verdict is not None else self._mute + 1
        if self._mute >= MUTE:
            marks = f"{self.verifier.prompt.pass_marker!r} nor {self.verifier.prompt.fail_marker!r}"
            said = "the prompts are refused" if text is None else f"one reads {text[:SHOWN]!r}"
            raise VerifierUnavailable(f"{MUTE} replies in a row hold neither {marks}: {said}")

    async def _replies(self, cases: Sequence[Case]) -> Sequence[str | None]:
        """What the verifier says of each; None where it does not take the prompt."""
        prompts = [ask(self.verifier.prompt, *case) for case in cases]
        body = self._requests.body(prompts)
        replies = await self._circuit.ask(lambda: self._post(body, len(cases)))
        if replies is not None and (replies or len(cases) == 1):
            return replies or [None]
        if len(cases) == 1:
            return [None]
        # One of them may be at fault for all.
        return [reply for case in cases for reply in await self._replies([case])]

    async def _post(self, body: bytes, count: int) -> list[str]:
        assert self._session is not None
        try:
            async with self._session.post(self._url, data=body, allow_redirects=False) as reply:
                content = await reply.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NoAnswer(f"{type(error).__name__}: {error}") from error
        return texts(reply.status, content, count)

    def _message(self, why: str) -> str:
        return f"the verifier {self.verifier.model!r} at {self.verifier.endpoint} does not answer: {why}"
