"""The verifier's client against an HTTP server: what is asked, how often, and what happens when nobody answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from reasoner_api.common import VerifierPrompt
from reasoner_api.reward import Reward
from reasoner_api.task import VerifierEndpoint
from reasoner_workloads.grpo.circuit import Patience, VerifierUnavailable
from reasoner_workloads.grpo.judges import open_judge
from reasoner_workloads.grpo.judging import Case
from reasoner_workloads.grpo.rules_judge import Rules
from reasoner_workloads.grpo.verifier_client import MUTE, VerifierClient

PROMPT = VerifierPrompt(template="{question}|{ground_truth}|{student_answer}", pass_marker="YES", fail_marker="NO")
#: What a server does instead of replying: a status, a text in place of the JSON, or a broken connection.
Fault = int | str | None


def fine(_: list[str]) -> Fault:
    return 200


class Server:
    """Passes answers that equal the truth. `faulty` is asked what is wrong with each request."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self.faulty: Callable[[list[str]], Fault] = fine
        self.said: Callable[[str], str] = lambda prompt: "YES" if prompt.split("|")[1] == prompt.split("|")[2] else "NO"
        self.thinks: Callable[[str], Awaitable[object]] = lambda prompt: asyncio.sleep(0.01)
        self.busy = self.most_busy = 0

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.keys.add(request.headers.get("Authorization"))
        asked = body["messages"][0]["content"] if "messages" in body else body["prompt"]
        prompts = asked if isinstance(asked, list) else [asked]
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        await asyncio.gather(*map(self.thinks, prompts))
        self.busy -= 1
        fault = self.faulty(prompts)
        if fault is None and request.transport is not None:
            request.transport.abort()
        if isinstance(fault, str):
            return web.Response(text=fault)
        if fault != 200:
            return web.json_response({"error": {"message": "not now"}}, status=fault or 500)
        texts = [self.said(prompt) for prompt in prompts]
        return web.json_response({"choices": [self._choice(body, *each) for each in enumerate(texts)][::-1]})

    def _choice(self, body: dict[str, Any], index: int, text: str) -> dict[str, Any]:
        return {"index": index, **({"message": {"content": text}} if "messages" in body else {"text": text})}

    def first(self, *faults: Fault) -> None:
        """The first replies are these."""
        left = list(faults)
        self.faulty = lambda prompts: left.pop(0) if left else 200


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, str]]:
    found = Server()
    app = web.Application()
    app.router.add_post("/v1/completions", found.complete)
    app.router.add_post("/v1/chat/completions", found.complete)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield found, f"http://127.0.0.1:{port}/v1"
    await runner.cleanup()


class Client(VerifierClient):
    """The client with a short temper, and what it told."""

    def __init__(self, url: str, api: str = "completions", wait: float = 0.3, **reward: Any) -> None:
        self.told: list[str] = []
        self.signs: list[None] = []
        endpoint = VerifierEndpoint(endpoint=url, model="verifier", prompt=PROMPT, api=api)
        settings = Reward(verifier_unavailable={"wait_seconds": wait}, **reward)
        super().__init__(endpoint, settings, Patience(0.005, 0.05, self.told.append, lambda: self.signs.append(None)))

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def refusal(client: Client, *cases: Case) -> str:
    """How the client ends that gets no verdict."""
    async with client:
        with pytest.raises(VerifierUnavailable) as caught:
            await client.judge(cases or [Case("q", "1", "1")])
    assert caught.value.reason == "VerifierUnavailable"
    return str(caught.value)


def numbered(count: int) -> list[Case]:
    return [Case("q", "1", str(number)) for number in range(count)]


async def test_each_different_case_is_asked_once_and_the_verdicts_keep_their_order(
    server: tuple[Server, str],
) -> None:
    found, url = server
    cases = [Case("q", "1", "1"), Case("q", "1", "2"), Case("q", "1", "1"), Case("r", "1", "1")]
    async with Client(url, max_tokens=33) as judge:
        assert await judge.judge(cases) == [True, False, True, True]
    assert sorted(body["prompt"] for body in found.bodies) == ["q|1|1", "q|1|2", "r|1|1"]
    assert {(body["model"], body["max_tokens"], body["temperature"]) for body in found.bodies} == {("verifier", 33, 0)}


async def test_no_more_requests_are_in_flight_than_allowed(server: tuple[Server, str]) -> None:
    found, url = server
    async with Client(url, concurrency=4) as judge:
        assert await judge.judge(numbered(20)) == [False, True] + [False] * 18
        assert len(judge.signs) == 20  # of life, for a watchdog
    assert found.most_busy == 4


async def test_calls_at_the_same_time_share_what_may_be_in_flight_and_the_wait(server: tuple[Server, str]) -> None:
    found, url = server
    async with Client(url, concurrency=4) as judge:
        verdicts = await asyncio.gather(judge.judge(numbered(10)), judge.judge(numbered(10)))
        assert verdicts == [[False, True] + [False] * 8] * 2
        assert found.most_busy == 4
        found.faulty = lambda prompts: 503

        async def later() -> None:
            while True:  # no call that comes later makes the verifier seem to have been away for less long
                await asyncio.sleep(0.1)
                asking.append(asyncio.create_task(judge.judge(numbered(1))))

        asking = [asyncio.create_task(judge.judge(numbered(10)))]
        calling = asyncio.create_task(later())
        with pytest.raises(VerifierUnavailable):
            await asking[0]
        calling.cancel()
        await asyncio.gather(calling, *asking, return_exceptions=True)


async def test_several_answers_go_into_one_request_once_every_connection_is_busy(server: tuple[Server, str]) -> None:
    found, url = server
    async with Client(url, concurrency=2, batch_size=8) as judge:
        assert await judge.judge(numbered(12)) == [False, True] + [False] * 10
        assert [len(body["prompt"]) for body in found.bodies] == [6, 6]
        assert await judge.judge(numbered(2)) == [False, True]
    assert found.bodies[-1]["prompt"].startswith("q|1|")


async def test_the_chat_api_and_the_key(server: tuple[Server, str], monkeypatch: pytest.MonkeyPatch) -> None:
    found, url = server
    monkeypatch.setenv("VERIFIER_API_KEY", "s3cret")
    async with Client(url, api="chat", batch_size=8, concurrency=1) as judge:
        assert await judge.judge(numbered(2)) == [False, True]
    assert found.keys == {"Bearer s3cret"}
    assert found.bodies[0]["messages"] == [{"role": "user", "content": "q|1|0"}]


#: What vLLM replies to what it was asked as it ended.
ABORTED = '{"choices": [{"index": 0, "text": "They are", "finish_reason": "abort"}]}'


@pytest.mark.parametrize(
    "fault", [503, 429, 500, None, "<html>", '{"choices": []}', '{"choices": [{"index": 0}]}', "7", ABORTED]
)
async def test_a_server_that_comes_back_is_asked_again(server: tuple[Server, str], fault: Fault) -> None:
    found, url = server
    found.first(fault, fault)
    async with Client(url) as judge:
        assert await judge.judge([Case("q", "1", "1")]) == [True]
    assert len(found.bodies) == 3


@pytest.mark.parametrize(
    ("fault", "said"),
    [(503, "503"), (500, "500"), (None, "ServerDisconnected"), ("<html>login", "no completion: <html>login")],
)
async def test_no_verdict_is_made_up_for_a_server_that_stays_away(
    server: tuple[Server, str], fault: Fault, said: str
) -> None:
    found, url = server
    found.faulty = lambda prompts: fault
    client = Client(url, wait=1)
    why = await refusal(client, *numbered(40))
    assert said in why
    assert "no answer for" in why
    # One request at a time once the circuit is open, at the pace of one client and not of forty.
    assert len(client.told) <= 1
    assert len(found.bodies) < 40 + 60


async def test_a_verifier_that_is_away_for_a_while_costs_time_and_nothing_else(server: tuple[Server, str]) -> None:
    """benchmarks/reward_weather.py does it for 30 seconds."""
    found, url = server
    async with Client(url, wait=60, concurrency=16) as judge:
        refused = 0

        def away(_: list[str]) -> Fault:
            nonlocal refused
            if len(found.bodies) <= 10 or refused >= 30:
                return 200
            refused += 1
            return 503

        found.faulty = away
        assert await judge.judge(numbered(100)) == [False, True] + [False] * 98
        assert len(judge.told) == 1
    assert refused == 30


async def test_slow_replies_hold_up_no_others(server: tuple[Server, str]) -> None:
    found, url = server
    quick, others_have_replies = list[str](), asyncio.Event()

    async def thinks(prompt: str) -> None:
        if prompt.endswith("7"):
            await others_have_replies.wait()
        else:
            quick.append(prompt)
        if len(quick) == 90:
            others_have_replies.set()

    found.thinks = thinks
    async with Client(url, concurrency=16, batch_size=1) as judge:
        assert await judge.judge(numbered(100)) == [False, True] + [False] * 98
    assert judge.told == []


async def test_a_reply_that_never_comes_is_given_up_and_asked_for_again(server: tuple[Server, str]) -> None:
    found, url = server
    slow = iter([30.0])
    found.thinks = lambda prompt: asyncio.sleep(next(slow, 0.01))
    async with Client(url, timeout_seconds=0.2, wait=5) as judge:
        assert await judge.judge([Case("q", "1", "1")]) == [True]
    assert len(found.bodies) == 2


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_refusal_is_not_repeated(server: tuple[Server, str], status: int) -> None:
    found, url = server
    found.faulty = lambda prompts: status
    assert str(status) in await refusal(Client(url))
    assert len(found.bodies) == 1


async def test_nobody_listening_is_unavailable(unused_tcp_port: int) -> None:
    assert "ClientConnectorError" in await refusal(Client(f"http://127.0.0.1:{unused_tcp_port}/v1"))


@pytest.mark.parametrize("status", [400, 500])
async def test_one_answer_that_the_server_never_takes_stays_without_a_verdict(
    server: tuple[Server, str], status: int
) -> None:
    found, url = server
    found.faulty = lambda prompts: status if any(prompt.endswith("|3") for prompt in prompts) else 200
    found.thinks = lambda prompt: asyncio.sleep(0.002)
    async with Client(url, wait=30, batch_size=4, concurrency=8) as judge:
        assert await judge.judge(numbered(400)) == [False, True, False, None] + [False] * 396


async def test_a_reply_that_says_neither_is_asked_for_again_and_then_left_open(server: tuple[Server, str]) -> None:
    found, url = server
    found.said = lambda prompt: "hm" if prompt.endswith("|2") else "NO"
    async with Client(url, undecided_retries=3) as judge:
        assert await judge.judge(numbered(4)) == [False, False, None, False]
    assert sum(body["prompt"].endswith("|2") for body in found.bodies) == 4


async def test_a_server_that_never_gives_a_verdict_is_no_verifier(server: tuple[Server, str]) -> None:
    found, url = server
    found.said = lambda prompt: "I am a teapot"
    why = await refusal(Client(url, undecided_retries=0), *numbered(MUTE))
    assert "neither 'YES' nor 'NO'" in why
    assert "I am a teapot" in why


async def test_rules_come_first_where_the_spec_says_so(server: tuple[Server, str]) -> None:
    found, url = server
    endpoint = VerifierEndpoint(endpoint=url, model="verifier", prompt=PROMPT)
    judge = open_judge(endpoint, Reward(rules_first=True))
    cases = [Case("q", "7", "7.0"), Case("q", "7", "8"), Case("q", "x + 1", "1 + x")]
    assert await judge.judge(cases) == [True, False, False]
    await judge.close()
    assert [body["prompt"] for body in found.bodies] == ["q|x + 1|1 + x"]


async def test_rules_judge_without_a_server() -> None:
    judge = Rules()
    cases = [Case("q", "1/2", "0.5"), Case("q", "7", "8"), Case("q", "4.9 J", "about four"), Case("q", "1/2", "0.5")]
    assert await judge.judge(cases) == [True, False, False, True]
    await judge.close()


def test_patience_doubles_up_to_its_limit() -> None:
    patience = Patience(first=1, longest=5)
    assert [patience.pause(failures) for failures in (0, 1, 2, 3, 4, 5)] == [1, 1, 2, 4, 5, 5]


async def test_a_pod_that_is_told_to_stop_waits_no_longer(unused_tcp_port: int) -> None:
    judge = Client(f"http://127.0.0.1:{unused_tcp_port}/v1", wait=600)
    stopping = replace(judge._circuit.patience, stopping=lambda: bool(judge.told))
    judge._circuit.patience = stopping
    assert "ClientConnectorError" in await refusal(judge)
