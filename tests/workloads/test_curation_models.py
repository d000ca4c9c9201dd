"""The way to a chat endpoint, against a real server: every kind of failing answer, rates that the server tells,
requests in flight that follow what it can take."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import chain, repeat
from typing import Any

import pytest

from reasoner_workloads.common.run import ConfigError, WorkloadError
from reasoner_workloads.curation import prompts
from reasoner_workloads.curation.models import endpoint, failures, gate, persistence, rates, transport, wire
from reasoner_workloads.curation.models.gate import Gate
from reasoner_workloads.curation.models.rates import Allowance
from reasoner_workloads.curation.records import Dropped
from support.chat_server import ChatServer, Reply, Say, chat_server, opened, work

ASKED = prompts.solution("Why?")
GEMINI_429 = [{"error": {"code": 429, "message": "slow", "details": [{"retryDelay": "0.2s"}]}}]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.setattr(persistence, "_backoff", lambda _: 0.01)
    with chat_server() as made:
        yield made


async def write(server: ChatServer, **spec: Any) -> str:
    async with opened(work(server, **spec)) as models:
        return await models["solver"].write(ASKED)


PASSING: dict[str, Reply] = {
    "429": 429,
    "429 with Retry-After": Say(429, {"Retry-After": "0.1"}),
    "408": 408,
    "409": 409,
    "500": 500,
    "502 with a page": Say(502, body=b"<html>Bad gateway</html>"),
    "503": 503,
    "529": 529,
    "time-out": Say(seconds=5),
    "truncated JSON": Say(body=b'{"choices": [{"mess'),
    "no JSON": Say(body=b"OK"),
    "wrong shape": Say(body={"choices": {"text": "fine"}}),
    "no message": Say(body={"choices": [{"index": 0}]}),
    "no choice": Say(body={"choices": [], "usage": {"prompt_tokens": 3}}),
    "an error under 200": Say(body={"error": {"code": 502, "message": "upstream"}}),
}


@pytest.mark.parametrize("reply", PASSING.values(), ids=PASSING.keys())
async def test_a_failure_that_may_pass_is_tried_again(server: ChatServer, reply: Reply) -> None:
    server.replies(reply, reply, "at last")
    assert await write(server, timeoutSeconds=0.5) == "at last"
    assert len(server.asked) == 3
    # So that a server that has answered does not work twice.
    assert len({headers["Idempotency-Key"] for headers in server.headers}) == 1


def said(usage: dict[str, Any], **more: Any) -> Say:
    return Say(body={"usage": usage, **more})


USED = {"prompt_tokens": 500, "completion_tokens": 4000}
PROMPT = sum(wire.tokens_of(message["content"]) for message in ASKED)
CHOICE = {"message": {"content": "hello"}}
#: Requests, prompt and completion tokens that are paid for, where an answer of 100 and 10 comes at last.
PAID: dict[str, tuple[Reply, tuple[int, int, int]]] = {
    "an error": (500, (1, 100, 10)),
    "a time-out costs as much as is expected": (Say(seconds=5), (2, 100 + PROMPT, 10 + 10)),
    "and so does half an answer": (Say(body=b'{"choices": [{"mess'), (2, 100 + PROMPT, 10 + 10)),
    "no choice, and what it has cost": (said(USED, choices=[]), (2, 600, 4010)),
    "no completion, and what it has cost": (said(USED, id="1"), (2, 600, 4010)),
    "an error under 200, and what it has cost": (said(USED, error={"code": 502, "message": "oops"}), (2, 600, 4010)),
    "no choice, and no word of its cost": (said({"prompt_tokens": None}, choices=[]), (1, 100, 10)),
}


@pytest.mark.parametrize(("reply", "paid"), PAID.values(), ids=PAID.keys())
async def test_what_is_paid_for_is_counted_though_it_brings_nothing(
    server: ChatServer, reply: Reply, paid: tuple[int, int, int]
) -> None:
    async with opened(work(server, timeoutSeconds=0.5)) as models:
        server.replies("hello", reply, "at last")
        usage = models["solver"].endpoint.purse.ledger
        await models["solver"].write(ASKED, 0)
        before = usage.usage
        assert await models["solver"].write(ASKED, 1) == "at last"
    found = usage.usage
    counts = (found.requests - before.requests, found.prompt_tokens - before.prompt_tokens)
    assert (*counts, found.completion_tokens - before.completion_tokens) == paid


async def test_a_server_that_nobody_reaches_costs_nothing(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "RETRIES", 1)
    monkeypatch.setattr(transport, "CONNECT_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        # A queue of one that nobody takes from: the next connection stays without an answer.
        with ExitStack() as waiting:
            for _ in range(2):
                one = waiting.enter_context(socket.socket())
                one.setblocking(False)
                one.connect_ex(address)
            server.url = f"http://127.0.0.1:{address[1]}"
            async with opened(work(server)) as models:
                with pytest.raises(WorkloadError, match=r"no connection to 127\.0\.0\.1 in time"):
                    await models["solver"].write(ASKED)
                assert models["solver"].endpoint.purse.ledger.usage.requests == 0


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}, (5, 7)),
        # As Gemini's compatible endpoint has it for a model that thinks.
        ({"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 1012}, (5, 1007)),
        ({"prompt_tokens": 5, "total_tokens": 1005}, (5, 1000)),
        ({"total_tokens": 1005}, (0, 2)),
        ({"prompt_tokens": None, "completion_tokens": "many"}, (0, 2)),
        ([], (0, 2)),
        (None, (0, 2)),
    ],
)
def test_tokens_as_servers_count_them(usage: Any, counts: tuple[int, int]) -> None:
    body = json.dumps({"choices": [CHOICE], "usage": usage}).encode()
    assert wire.read(200, {}, body)[1:3] == counts


async def test_a_server_that_stays_in_trouble_ends_the_pod(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "RETRIES", 2)
    server.reply = lambda _: 503 if len(server.asked) < 3 else 500
    with pytest.raises(WorkloadError, match=r"models\.extractor: .*told to say 500") as end:
        await write(server)
    # Another request has no better luck.
    assert (end.value.reason, end.value.exit_code, len(server.asked)) == ("ModelUnavailable", 1, 6)


POISON: dict[str, Reply] = {
    "500": 500,
    "a time-out": Say(seconds=5),
    "an answer that is never JSON": Say(body=b"<html>Bad gateway</html>"),
    "403, as some gateways answer to what they flag": 403,
    "404": 404,
}


@pytest.mark.parametrize("first", [True, False], ids=["before all others", "after them"])
@pytest.mark.parametrize("reply", POISON.values(), ids=POISON.keys())
async def test_a_request_that_never_succeeds_among_others_that_do_drops_its_row_alone(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, reply: Reply, first: bool
) -> None:
    monkeypatch.setattr(failures, "RETRIES", 2)
    server.reply = lambda body: reply if body.get("seed") == 7 and body["messages"] == ASKED else "hello"
    async with opened(work(server, timeoutSeconds=0.5)) as models:
        for seeds in ((7,), range(7)) if first else (range(7), (7,)):
            for seed in seeds:
                if seed != 7:
                    assert await models["solver"].write(ASKED, seed) == "hello"
                    continue
                with pytest.raises(Dropped) as end:
                    await models["solver"].write(ASKED, seed)
    assert end.value.reason == "refused"
    assert "others are answered" in end.value.evidence


@pytest.mark.parametrize("others", [0, 200], ids=["alone", "among others"])
async def test_two_rounds_find_out_a_poisoned_request_beside_a_healthy_server(server: ChatServer, others: int) -> None:
    tried: list[int] = []

    def reply(body: dict[str, Any]) -> Reply:
        if body["messages"] != ASKED or body["seed"] != 7:
            return "hello"
        tried.append(len(server.asked))
        return 500

    server.reply = reply
    async with opened(work(server, concurrency=4)) as models:
        rows = (models["solver"].write(ASKED, seed) for seed in (7, *range(100, 100 + others)))
        found, *rest = await asyncio.gather(*rows, return_exceptions=True)
    assert isinstance(found, Dropped)
    assert rest == ["hello"] * others
    assert len(tried) == persistence.ROUNDS * (1 + failures.RETRIES)


async def test_a_server_that_is_ill_for_a_while_costs_no_row(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nine of ten requests fail, and no row is taken for the cause; one that is poisoned is found out all the same."""
    monkeypatch.setattr(failures, "RETRIES", 2)
    chance = random.Random(0)
    ill: list[Reply] = [500, Say(502, body=b"<html>Bad gateway</html>"), Say(body=b'{"choices": [{"mess')]

    def reply(body: dict[str, Any]) -> Reply:
        is_ill = len(server.asked) <= 600 and chance.random() < 0.9
        return chance.choice(ill) if is_ill else 500 if body.get("seed") == 7 and body["messages"] == ASKED else "hello"

    server.reply = reply
    async with opened(work(server, concurrency=32)) as models:
        rows = (models["solver"].write(ASKED, seed) for seed in range(100))
        found = await asyncio.gather(*rows, return_exceptions=True)
    assert [(seed, type(one)) for seed, one in enumerate(found) if one != "hello"] == [(7, Dropped)]


@pytest.mark.parametrize(("reply", "error"), [(500, WorkloadError), (403, ConfigError), (404, ConfigError)])
async def test_what_begins_in_the_middle_and_holds_for_all_ends_the_pod(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, reply: Reply, error: type[Exception]
) -> None:
    """An outage, a key that is withdrawn, a model that is taken away: no row may pay for it."""
    monkeypatch.setattr(failures, "RETRIES", 2)
    server.reply = lambda _: "hello" if len(server.asked) <= 30 else reply
    async with opened(work(server)) as models:
        rows = (models["solver"].write(ASKED, seed) for seed in range(40))
        found = await asyncio.gather(*rows, return_exceptions=True)
    assert [type(one) for one in found if one != "hello"] == [error] * 10


async def test_what_is_denied_while_the_server_is_ill_is_no_wrong_key(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "RETRIES", 2)
    server.reply = lambda body: 403 if body["messages"] == ASKED else 500
    with pytest.raises(WorkloadError, match="told to say 500") as end:
        await write(server)
    assert (end.value.reason, end.value.exit_code) == ("ModelUnavailable", 1)


@pytest.mark.parametrize("reply", [401, 402])
async def test_a_wrong_key_is_no_fault_of_a_row(server: ChatServer, reply: int) -> None:
    server.reply = lambda body: reply if body.get("seed") == 7 and body["messages"] == ASKED else "hello"
    async with opened(work(server)) as models:
        assert await models["solver"].write(ASKED, 6) == "hello"
        with pytest.raises(ConfigError):
            await models["solver"].write(ASKED, 7)


async def test_nobody_there_ends_the_pod(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "RETRIES", 1)
    server.url = "http://127.0.0.1:1"
    with pytest.raises(WorkloadError, match=r"the connection failed") as end:
        await write(server)
    assert end.value.exit_code == 1


async def test_patience_with_a_server_that_is_asked_too_much_is_of_time(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "RETRIES", 1)
    server.replies(*[429] * 5, "at last")
    assert await write(server) == "at last"
    monkeypatch.setattr(endpoint, "PATIENCE", 0.0)
    server.reply = lambda _: 429
    with pytest.raises(WorkloadError, match="told to say 429"):
        await write(server, temperature=0.5)


AFTER: dict[str, Say] = {
    "seconds": Say(429, {"Retry-After": "0.2"}),
    "milliseconds": Say(429, {"retry-after-ms": "200"}),
    "the body, as Gemini does": Say(429, body=json.dumps(GEMINI_429).encode()),
}


@pytest.mark.parametrize("reply", AFTER.values(), ids=AFTER.keys())
async def test_a_server_says_when_to_come_again(server: ChatServer, reply: Say) -> None:
    server.replies(reply, "at last")
    began = time.monotonic()
    assert await write(server) == "at last"
    assert 0.2 <= time.monotonic() - began < 5


async def test_nobody_asks_while_the_server_wants_to_be_left_alone(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only the request that was refused waits."""
    server.replies(Say(429, {"Retry-After": "0.4"}), *["hello"] * 4)
    async with opened(work(server)) as models:
        told, told_to_wait = models["solver"].endpoint.traffic.rates, asyncio.Event()
        close = told.close
        monkeypatch.setattr(told, "close", lambda seconds: (close(seconds), told_to_wait.set()))
        first = asyncio.create_task(models["solver"].write(ASKED, 0))
        await told_to_wait.wait()
        began = time.monotonic()
        await asyncio.gather(*(models["solver"].write(ASKED, seed) for seed in range(1, 4)), first)
    assert time.monotonic() - began >= 0.3


def test_a_date_says_when_to_come_again() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    after = failures.retry_after({"retry-after": date})
    assert after is not None
    assert 28 < after <= 30
    assert failures.retry_after({"retry-after": format_datetime(datetime.now(UTC) - timedelta(hours=1))}) == 0.0
    assert failures.retry_after({"retry-after": "soon"}) is None


@pytest.mark.parametrize("choices", [[], [{"index": 0}], {"text": "fine"}, [{"message": {"content": 7}}], None])
async def test_an_answer_whose_choice_cannot_be_read_drops_the_row_if_it_stays_so(
    server: ChatServer, choices: Any
) -> None:
    server.reply = lambda _: Say(body={"choices": choices})
    with pytest.raises(Dropped) as end:
        await write(server)
    assert (end.value.reason, len(server.asked)) == ("refused", 1 + failures.EMPTY_RETRIES)


@pytest.mark.parametrize("usage", ["null", "7", '{"prompt_tokens": NaN}', '{"completion_tokens": 1e999}'])
async def test_usage_that_is_no_count_is_no_failure(server: ChatServer, usage: str) -> None:
    server.reply = lambda _: Say(body=b'{"choices": [{"message": {"content": "yes"}}], "usage": %s}' % usage.encode())
    assert await write(server) == "yes"


async def test_half_a_surrogate_pair_in_an_answer_is_no_failure(server: ChatServer) -> None:
    server.reply = lambda _: Say(body=rb'{"choices": [{"message": {"content": "\ud800 is a \u00e9"}}]}')
    assert await write(server) == "\N{REPLACEMENT CHARACTER} is a é"
    assert len(server.asked) == 1


REFUSED: dict[str, Say] = {
    "400": Say(400),
    "413": Say(413, body=b"too large"),
    "422": Say(422, body={"detail": [{"loc": ["messages"], "msg": "too long"}]}),
    "400 under 200": Say(body={"error": {"code": 400, "message": "too long"}}),
}


@pytest.mark.parametrize("reply", REFUSED.values(), ids=REFUSED.keys())
async def test_a_refusal_drops_the_row(server: ChatServer, reply: Say) -> None:
    server.replies(reply)
    with pytest.raises(Dropped) as end:
        await write(server)
    assert end.value.reason == "refused"


MISCONFIGURED: dict[str, tuple[Say, str]] = {
    "a wrong key": (Say(401), "apiKeySecretRef"),
    "a wrong key at Gemini": (
        Say(400, body=b'[{"error": {"message": "API key not valid.", "status": "INVALID_ARGUMENT"}}]'),
        "apiKeySecretRef",
    ),
    "a key without rights": (Say(403), "apiKeySecretRef"),
    "no money": (Say(402), "apiKeySecretRef"),
    "no quota": (
        Say(429, body={"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}),
        "apiKeySecretRef",
    ),
    "no such model": (Say(404), "model"),
    "no such model, by its code": (
        Say(400, body={"error": {"message": "nope", "code": "model_not_found"}}),
        "model",
    ),
    "another place": (Say(301, {"Location": "https://example.org"}), "baseURL"),
    "another method": (Say(405), "baseURL"),
}


@pytest.mark.parametrize(("reply", "field"), MISCONFIGURED.values(), ids=MISCONFIGURED.keys())
async def test_what_no_retry_mends_names_the_field(server: ChatServer, reply: Say, field: str) -> None:
    server.reply = lambda _: reply
    own = {"solver": {"baseURL": f"{server.url}/v1", "model": "m"}}
    for holder, models in (("extractor", {}), ("solver", own)):
        async with opened(work(server, models=models)) as found:
            with pytest.raises(
                ConfigError, match=rf"models\.{holder}\.{field}: {server.url}/v1: {reply.status}"
            ) as end:
                await found["solver"].write(ASKED)
        assert (end.value.reason, end.value.exit_code) == ("ModelRefused", 2)


DIALECTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "no seed": ('Invalid JSON payload received. Unknown name "seed": Cannot find field.', "seed", {}),
    "no temperature": ("Unsupported value: 'temperature' does not support 0 with this model.", "temperature", {}),
    "completion tokens": (
        "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.",
        "max_tokens",
        {"max_completion_tokens": 4096},
    ),
}


@pytest.mark.parametrize(("says", "name", "instead"), DIALECTS.values(), ids=DIALECTS.keys())
async def test_what_an_endpoint_does_not_take_is_put_otherwise(
    server: ChatServer, says: str, name: str, instead: dict[str, Any]
) -> None:
    refusal = Say(400, body={"error": {"message": says}})
    server.reply = lambda body: refusal if name in body else "hello"
    async with opened(work(server)) as models:
        assert await asyncio.gather(*(models["solver"].write(ASKED, seed) for seed in range(3))) == ["hello"] * 3
        asked = len(server.asked)
        await models["solver"].write(ASKED, 3)
    assert len(server.asked) == asked + 1
    assert name not in server.asked[-1]
    assert instead.items() <= server.asked[-1].items()
    # It is the same question, whatever the words.
    assert len({headers["Idempotency-Key"] for headers in server.headers}) == 4


async def test_an_endpoint_without_schemas_is_told_in_words(server: ChatServer) -> None:
    refusal = Say(400, body={"error": {"message": "This response_format type is unavailable now"}})
    server.reply = lambda body: refusal if "response_format" in body else '{"reasoning": "", "equivalent": true}'
    async with opened(work(server)) as models:
        verdict = await models["judge"].ask(prompts.verdict("Why?", "4", "four"), prompts.Verdict)
    assert verdict.equivalent
    assert '"equivalent": {' in server.asked[-1]["messages"][0]["content"]


def limited(remaining: int, limit: int, reset: str, seconds: float = 0.0) -> Say:
    headers = {f"x-ratelimit-{name}-requests": str(value) for name, value in (("limit", limit), ("reset", reset))}
    return Say(headers={**headers, "x-ratelimit-remaining-requests": str(remaining)}, seconds=seconds)


async def test_requests_wait_for_room_instead_of_being_refused(server: ChatServer) -> None:
    # Nothing is left of 20 that come back within a second: one every 50 ms.
    server.replies(limited(0, 20, "1s"), *[limited(20, 20, "0s")] * 4)
    async with opened(work(server)) as models:
        await models["solver"].write(ASKED, 0)
        began = time.monotonic()
        await asyncio.gather(*(models["solver"].write(ASKED, seed) for seed in range(1, 5)))
    assert 0.04 <= time.monotonic() - began < 2


def test_an_allowance_mirrors_the_servers() -> None:
    now, allowance = 100.0, Allowance()
    assert allowance.delay(1, now) == 0
    allowance.note(remaining=10, limit=100, reset=9, now=now)
    assert allowance.delay(10, now) == 0
    allowance.take(8, now)
    # Refilled by the server's own pace: 90 in 9 seconds.
    assert allowance.delay(10, now) == pytest.approx(0.8)
    assert allowance.left(now + 1) == pytest.approx(12)
    # What is in flight is not in the server's count: the lower figure counts, until all is there again.
    allowance.note(remaining=50, limit=100, reset=5, now=now + 1)
    assert allowance.left(now + 1) == pytest.approx(12)
    allowance.note(remaining=3, limit=100, reset=9.7, now=now + 2)
    assert allowance.left(now + 2) == pytest.approx(3)
    assert allowance.left(now + 12) is None
    # More than there ever is waits for all of it.
    assert allowance.delay(1000, now + 2) == pytest.approx(9.7)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360),
        ("120ms", 0.12),
        ("1.5", 1.5),
        ("1h2m3.5s", 3723.5),
        ("never", None),
        ("3 apples", None),
        ("", None),
    ],
)
def test_times_as_servers_write_them(text: str, seconds: float | None) -> None:
    assert rates.seconds_of(text) == seconds


async def test_requests_in_flight_stay_within_the_limit(server: ChatServer) -> None:
    server.reply = lambda _: Say(seconds=0.05)
    async with opened(work(server, concurrency=4)) as models:
        await asyncio.gather(*(models["solver"].write(ASKED, seed) for seed in range(12)))
    assert server.most_flying == 4


@pytest.mark.parametrize("trouble", [Say(429, seconds=0.05), Say(503, seconds=0.05), Say(seconds=9)])
async def test_fewer_requests_in_flight_while_the_server_is_asked_too_much(server: ChatServer, trouble: Say) -> None:
    replies = chain([trouble] * 8, repeat("hello"))
    server.reply = lambda _: next(replies)
    async with opened(work(server, concurrency=8, timeoutSeconds=1)) as models:
        found = models["solver"].endpoint
        await asyncio.gather(*(models["solver"].write(ASKED, seed) for seed in range(8)))
        # Those that were in flight together count once.
        assert 4 <= found.traffic.gate.limit < 8
        await asyncio.gather(*(models["solver"].write(ASKED, 100 + seed) for seed in range(40)))
        assert found.traffic.gate.limit == 8


async def test_requests_that_take_most_of_their_time_lower_the_number_a_little(server: ChatServer) -> None:
    server.reply = lambda _: Say(seconds=0.6)
    async with opened(work(server, concurrency=8, timeoutSeconds=1)) as models:
        await asyncio.gather(*(models["solver"].write(ASKED, seed) for seed in range(8)))
        assert models["solver"].endpoint.traffic.gate.limit == pytest.approx(8 * gate.SLOW)


async def test_a_turn_that_nobody_wants_any_more_goes_to_the_next() -> None:
    found, order = Gate(1), []

    async def enter(name: str) -> None:
        async with found:
            order.append(name)

    async with found:
        waiting = [asyncio.create_task(enter(name)) for name in "abc"]
        await asyncio.sleep(0)
        waiting[0].cancel()
    # Its turn has come, and it is gone before it knows.
    waiting[1].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert (order, found.flying) == (["c"], 0)


async def test_a_base_url_may_end_in_a_slash(server: ChatServer) -> None:
    assert await write(server, baseURL=f"{server.url}/v1/") == "hello"


async def test_a_request_that_hangs_is_sent_again_where_that_is_asked_for(server: ChatServer) -> None:
    replies = iter([Say(seconds=9), Say(text="the second"), Say(seconds=0.4)])
    server.reply = lambda _: next(replies)
    async with opened(work(server, hedgeAfterSeconds=0.2, timeoutSeconds=5)) as models:
        assert await models["solver"].write(ASKED, 0) == "the second"
        ledger = models["solver"].endpoint.purse.ledger
        assert (len(server.asked), ledger.usage.requests) == (2, 2)
    server.reply = lambda _: Say(seconds=0.3)
    async with opened(work(server)) as models:
        await models["solver"].write(ASKED, 1)
    assert len(server.asked) == 3


@pytest.mark.parametrize("first", [Say(500, seconds=0.4), Say(seconds=0.4, text="the first")])
async def test_of_two_tries_a_failure_counts_only_when_both_fail(server: ChatServer, first: Say) -> None:
    server.replies(first, Say(503, seconds=0.1) if first.status == 200 else Say(text="the first", seconds=0.4))
    assert await write(server, hedgeAfterSeconds=0.2) == "the first"
    assert len(server.asked) == 2
