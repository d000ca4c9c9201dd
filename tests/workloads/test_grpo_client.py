"""The verifier's client against an HTTP server: what is asked, how often, and what happens when nobody answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from reasoner_api.common import VerifierPrompt
from reasoner_api.reward import Reward
from reasoner_api.task import VerifierEndpoint
from reasoner_workloads.common.run import WorkloadError
from reasoner_workloads.grpo.rules_judge import Rules
from reasoner_workloads.grpo.verifier_client import Case, Patience, VerifierClient

PROMPT = VerifierPrompt(template="{question}|{ground_truth}|{student_answer}", pass_marker="YES", fail_marker="NO")
SHORT = Patience(tries=3, first_pause=0.01)


class Server:
    """Passes answers that equal the truth; `faults` are the statuses of its first replies."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.faults: list[int] = []
        self.busy = self.most_busy = 0

    async def complete(self, request: web.Request) -> web.Response:
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        await asyncio.sleep(0.01)
        self.busy -= 1
        body = await request.json()
        self.bodies.append(body)
        if self.faults:
            return web.json_response({"error": {"message": "not now"}}, status=self.faults.pop(0))
        _, truth, answer = body["prompt"].split("|")
        choice = {"index": 0, "text": "YES" if truth == answer else "NO", "finish_reason": "stop"}
        reply = {"id": "1", "object": "text_completion", "created": 0, "model": body["model"], "choices": [choice]}
        return web.json_response(reply)


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, str]]:
    found = Server()
    app = web.Application()
    app.router.add_post("/v1/completions", found.complete)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield found, f"http://127.0.0.1:{port}/v1"
    await runner.cleanup()


def client(url: str, **reward: Any) -> VerifierClient:
    return VerifierClient(VerifierEndpoint(endpoint=url, model="verifier", prompt=PROMPT), Reward(**reward), SHORT)


async def test_each_different_case_is_asked_once_and_the_verdicts_keep_their_order(
    server: tuple[Server, str],
) -> None:
    found, url = server
    judge = client(url, max_tokens=33)
    cases = [Case("q", "1", "1"), Case("q", "1", "2"), Case("q", "1", "1"), Case("r", "1", "1")]
    assert await judge.judge(cases) == [True, False, True, True]
    await judge.close()
    assert sorted(body["prompt"] for body in found.bodies) == ["q|1|1", "q|1|2", "r|1|1"]
    assert {(body["model"], body["max_tokens"], body["temperature"]) for body in found.bodies} == {("verifier", 33, 0)}


async def test_no_more_requests_are_in_flight_than_allowed(server: tuple[Server, str]) -> None:
    found, url = server
    judge = client(url, concurrency=4)
    assert await judge.judge([Case("q", "1", str(number)) for number in range(20)]) == [False, True] + [False] * 18
    await judge.close()
    assert found.most_busy == 4


async def test_a_server_that_comes_back_is_asked_again(server: tuple[Server, str]) -> None:
    found, url = server
    found.faults = [503, 429]
    judge = client(url)
    assert await judge.judge([Case("q", "1", "1")]) == [True]
    await judge.close()
    assert len(found.bodies) == 3


async def test_no_verdict_is_made_up_for_a_server_that_stays_away(server: tuple[Server, str]) -> None:
    found, url = server
    found.faults = [503] * 3
    judge = client(url)
    with pytest.raises(WorkloadError, match="does not answer") as caught:
        await judge.judge([Case("q", "1", "1")])
    await judge.close()
    assert (caught.value.reason, caught.value.exit_code) == ("VerifierUnavailable", 1)


async def test_a_refusal_is_not_repeated(server: tuple[Server, str]) -> None:
    found, url = server
    found.faults = [404] * 3
    judge = client(url)
    with pytest.raises(WorkloadError) as caught:
        await judge.judge([Case("q", "1", "1")])
    await judge.close()
    assert caught.value.reason == "VerifierUnavailable"
    assert len(found.bodies) == 1


async def test_nobody_listening_is_unavailable(unused_tcp_port: int) -> None:
    judge = client(f"http://127.0.0.1:{unused_tcp_port}/v1")
    with pytest.raises(WorkloadError) as caught:
        await judge.judge([Case("q", "1", "1")])
    await judge.close()
    assert caught.value.reason == "VerifierUnavailable"


async def test_rules_judge_without_a_server() -> None:
    judge = Rules()
    cases = [Case("q", "1/2", "0.5"), Case("q", "7", "8"), Case("q", "4.9 J", "about four"), Case("q", "1/2", "0.5")]
    assert await judge.judge(cases) == [True, False, False, True]
    await judge.close()


def test_patience_doubles_up_to_its_limit() -> None:
    patience = Patience(first_pause=1, longest_pause=5)
    assert [patience.pause(tried) for tried in (1, 2, 3, 4, 5)] == [1, 2, 4, 5, 5]
