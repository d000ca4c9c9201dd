"""Requests in a provider's batches: formed, waited for, found again after a kill, asked again where they failed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from reasoner_workloads.common.run import ConfigError, WorkloadError
from reasoner_workloads.common.store import FileStore
from reasoner_workloads.curation import prompts
from reasoner_workloads.curation.charset import storable
from reasoner_workloads.curation.ledger import Ledger
from reasoner_workloads.curation.llm import Model
from reasoner_workloads.curation.models import batch_api, endpoint, failures, persistence
from reasoner_workloads.curation.models.notes import ROOT
from reasoner_workloads.curation.models.purse import Purse
from reasoner_workloads.curation.records import Dropped
from support.batch_server import BatchServer, batch_server
from support.chat_server import opened, work

ASKED = prompts.solution("Why?")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchServer]:
    monkeypatch.setattr(persistence, "_backoff", lambda _: 0.01)
    with batch_server() as made:
        yield made


@asynccontextmanager
async def solver(server: BatchServer, store: FileStore, **batch: Any) -> AsyncIterator[Model]:
    """A model that is asked in batches."""
    spec = {"waitSeconds": 0.1, "pollSeconds": 0.1, **batch}
    price = {"inputPerMillion": 1, "outputPerMillion": 2}
    told = work(server, batch=spec, price=price)  # type: ignore[arg-type]
    async with opened(told, purse=Purse(Ledger(), store), store=store) as models:
        yield models["solver"]


async def until(check: Callable[[], object]) -> None:
    """Wait for what another thread does."""
    async with asyncio.timeout(30):
        while True:
            if check():
                return
            await asyncio.sleep(0.01)


async def test_requests_share_a_batch(server: BatchServer, tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    server.answer = lambda body: (200, f"hello {body['seed']}")
    server.looks = 3
    async with solver(server, store) as model:
        found = await asyncio.gather(*(model.write(ASKED, seed) for seed in range(20)))
    assert found == [f"hello {seed}" for seed in range(20)]
    assert len(server.batches) == 1
    assert set(server.asked.values()) == {1}
    usage = model.endpoint.purse.ledger.usage
    assert (usage.requests, usage.cost_usd) == (20, pytest.approx(20 * 120e-6))
    # All its answers are kept: nothing is left to find again.
    assert store.list(ROOT) == []


async def leave_a_batch(server: BatchServer, store: FileStore, requests: int) -> None:
    """A pod's life that ends while its batch is under way."""
    server.looks = 1_000_000
    async with solver(server, store) as model:
        rows = [asyncio.create_task(model.write(ASKED, seed)) for seed in range(requests)]
        await until(lambda: server.batches and server.batches["batch-0"]["looks"])
        for row in rows:
            row.cancel()


async def test_a_batch_has_so_many_requests_at_most(server: BatchServer, tmp_path: Path) -> None:
    async with solver(server, FileStore(tmp_path), maxRequests=8) as model:
        await asyncio.gather(*(model.write(ASKED, seed) for seed in range(20)))
    sizes = [len(server.files[batch["input_file_id"]].splitlines()) for batch in server.batches.values()]
    assert (sum(sizes), max(sizes)) == (20, 8)


async def test_a_pod_that_takes_over_waits_for_the_batch_that_is_under_way(server: BatchServer, tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    await leave_a_batch(server, store, 10)
    assert len(store.list(ROOT)) == 1
    server.looks = 1
    async with solver(server, store) as model:
        assert await asyncio.gather(*(model.write(ASKED, seed) for seed in range(12))) == ["hello"] * 12
    # Two are new, and none was asked for twice.
    assert (len(server.batches), set(server.asked.values()), len(server.asked)) == (2, {1}, 12)
    assert store.list(ROOT) == []


async def test_a_batch_whose_id_got_lost_is_found_by_its_name(server: BatchServer, tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    server.loses_answers = True
    async with solver(server, store) as model:
        row = asyncio.create_task(model.write(ASKED))
        await until(lambda: server.batches)
        row.cancel()
    server.loses_answers = False
    begun = len(server.batches)
    async with solver(server, store) as model:
        assert await model.write(ASKED) == "hello"
    assert len(server.batches) == begun


async def test_what_failed_or_was_not_come_to_is_asked_again(server: BatchServer, tmp_path: Path) -> None:
    failed: set[int] = set()

    def answer(body: dict[str, Any]) -> tuple[int, str] | None:
        seed = body["seed"]
        if seed < 4 and seed not in failed:
            failed.add(seed)
            return [None, (500, "oops"), (429, "slow down"), (200, "")][seed] if seed < 3 else None
        return 200, "at last"

    server.answer, server.end = answer, "expired"
    async with solver(server, FileStore(tmp_path)) as model:
        assert await asyncio.gather(*(model.write(ASKED, seed) for seed in range(6))) == ["at last"] * 6
    assert sorted(server.asked.values()) == [1, 1, 2, 2, 2, 2]


async def test_a_line_that_cannot_be_read_costs_itself_alone(server: BatchServer, tmp_path: Path) -> None:
    texts = ["zero", "half a pair \ud83d", "two", "three", "four", "five", "six"]
    odd = {
        "three": "[" * 100_000,
        "four": '{"response": {"status_code": 200, "body": {}}}',
        "five": '{"custom_id": "five", "response": {"status_code": "fine"}}',
    }

    def line(told: dict[str, Any]) -> str:
        return odd.pop(told["response"]["body"]["choices"][0]["message"]["content"], None) or json.dumps(told)

    server.answer, server.line = lambda body: (200, texts[body["seed"]]), line
    store = FileStore(tmp_path)
    async with solver(server, store) as model:
        found = await asyncio.gather(*(model.write(ASKED, seed) for seed in range(7)))
    assert found == [storable(text) for text in texts]
    assert sorted(server.asked.values()) == [1, 1, 1, 1, 2, 2, 2]
    assert store.list(ROOT) == []


async def test_what_nobody_foresaw_is_an_error_and_no_hang(server: BatchServer, tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    server.looks = 1_000_000
    async with solver(server, store) as model:
        row = asyncio.create_task(model.write(ASKED))
        await until(lambda: server.batches and server.batches["batch-0"]["looks"])
        row.cancel()
    server.looks = 1
    # Read after the note of the batch that is under way, which brings what it holds all the same.
    store.put(f"{ROOT}extractor/zero", b"no note")
    async with asyncio.timeout(30), solver(server, store) as model:
        found = await asyncio.gather(model.write(ASKED), model.write(ASKED, 1), return_exceptions=True)
    assert found[0] == "hello"
    assert isinstance(found[1], ValidationError)


async def test_a_batch_that_failed_is_left_behind(server: BatchServer, tmp_path: Path) -> None:
    """A job that is tried again once the provider is set right must not follow it for ever."""
    store = FileStore(tmp_path)
    server.end = "failed"
    async with solver(server, store) as model:
        with pytest.raises(ConfigError, match="the model is not for batches"):
            await model.write(ASKED)
    assert store.list(ROOT) == []
    server.end = "completed"
    async with solver(server, store) as model:
        assert await model.write(ASKED) == "hello"


@pytest.fixture
def full(server: BatchServer, monkeypatch: pytest.MonkeyPatch) -> BatchServer:
    """A provider with a full queue."""
    monkeypatch.setattr(batch_api, "QUEUE_SECONDS", 0.01)
    server.end = "failed"
    server.fault = {"code": "token_limit_exceeded", "message": "Enqueued token limit reached for m"}
    return server


async def test_a_queue_that_is_full_is_waited_for(
    full: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # For longer than a server that answers at once.
    monkeypatch.setattr(endpoint, "PATIENCE", 0.0)
    async with solver(full, FileStore(tmp_path)) as model:
        row = asyncio.create_task(model.write(ASKED))
        await until(lambda: len(full.batches) >= 3)
        full.end = "completed"
        assert await row == "hello"


async def test_a_queue_that_stays_full_ends_the_pod(
    full: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "BATCH_PATIENCE", 0.0)
    store = FileStore(tmp_path)
    async with solver(full, store) as model:
        with pytest.raises(WorkloadError, match="Enqueued token limit reached") as end:
            await model.write(ASKED)
    assert (end.value.exit_code, store.list(ROOT)) == (1, [])


async def test_a_row_that_always_fails_leaves_no_batch_behind(
    server: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "RETRIES", 1)
    server.answer = lambda body: (500, "oops") if "seed" in body and body["messages"] == ASKED else (200, "hello")
    store = FileStore(tmp_path)
    async with solver(server, store) as model:
        assert await model.write(ASKED) == "hello"
        with pytest.raises(Dropped, match="others are answered"):
            await model.write(ASKED, 1)
    assert store.list(ROOT) == []


async def test_a_provider_out_of_reach_costs_no_batch_that_goes_on(
    server: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "RETRIES", 3)
    store = FileStore(tmp_path)
    server.looks = 4
    async with solver(server, store) as model:
        row = asyncio.create_task(model.write(ASKED))
        await until(lambda: server.batches and server.batches["batch-0"]["looks"])
        # More than one look's tries, so that what waits for the batch is told that it has failed.
        server.refuses = [500] * 5
        assert await row == "hello"
    assert (len(server.batches), store.list(ROOT)) == (1, [])
    assert model.endpoint.purse.ledger.usage.requests == 1


async def test_a_pod_follows_the_batches_that_it_wants_and_no_others(server: BatchServer, tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    server.looks = 1_000_000
    async with solver(server, store) as first, solver(server, store) as second:
        rows = [asyncio.create_task(first.write(ASKED, seed)) for seed in range(10)]
        await until(lambda: len(server.batches) == 1 and server.batches["batch-0"]["looks"])
        other = asyncio.create_task(second.write(ASKED, 100))
        await until(lambda: len(server.batches) == 2 and server.batches["batch-1"]["looks"])
        server.looks = 1
        assert await asyncio.gather(*rows, other) == ["hello"] * 11
    assert set(server.read.values()) == {1}
    assert (len(server.asked), set(server.asked.values()), store.list(ROOT)) == (11, {1}, [])


async def test_rows_that_come_later_find_the_batch_of_an_earlier_life(server: BatchServer, tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    await leave_a_batch(server, store, 4)
    server.looks = 1
    async with solver(server, store) as model:
        for seeds in ((0, 1), (2,), (3,)):
            assert await asyncio.gather(*(model.write(ASKED, seed) for seed in seeds)) == ["hello"] * len(seeds)
    assert (len(server.batches), set(server.asked.values()), store.list(ROOT)) == (1, {1}, [])


async def test_a_refused_request_drops_its_row_alone(server: BatchServer, tmp_path: Path) -> None:
    server.answer = lambda body: (400, "too long") if body["seed"] == 1 else (200, "hello")
    async with solver(server, FileStore(tmp_path)) as model:
        found = await asyncio.gather(*(model.write(ASKED, seed) for seed in range(3)), return_exceptions=True)
    assert (found[0], found[2]) == ("hello", "hello")
    assert isinstance(found[1], Dropped)
    assert found[1].reason == "refused"


async def test_the_provider_in_trouble_is_asked_again(server: BatchServer, tmp_path: Path) -> None:
    server.refuses = [500, 429, 503]
    async with solver(server, FileStore(tmp_path)) as model:
        assert await model.write(ASKED) == "hello"


@pytest.mark.parametrize(
    ("end", "refuses", "says"),
    [
        ("failed", [], r"models\.extractor\.batch: .*failed: the model is not for batches"),
        ("completed", [404], r"models\.extractor\.batch: .*no batch API is there"),
        ("completed", [401], r"models\.extractor\.apiKeySecretRef: .*401"),
    ],
)
async def test_what_no_retry_mends_names_the_field(
    server: BatchServer, tmp_path: Path, end: str, refuses: list[int], says: str
) -> None:
    server.end, server.refuses = end, refuses
    async with solver(server, FileStore(tmp_path)) as model:
        with pytest.raises(ConfigError, match=says) as error:
            await model.write(ASKED)
    assert error.value.exit_code == 2
