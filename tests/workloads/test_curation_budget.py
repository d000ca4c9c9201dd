"""A budget that several pods share: taken in slices, spent to the end and no further, raised to go on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reasoner_api.curation import Budget, Price
from reasoner_workloads.common.progress import Reporter, Word
from reasoner_workloads.common.run import ConfigError
from reasoner_workloads.common.store import FileStore, Store
from reasoner_workloads.curation.claims import Claims
from reasoner_workloads.curation.ledger import Ledger, usages
from reasoner_workloads.curation.models.funds import EACH_SHARD, FEWEST, ROOT, Fund
from reasoner_workloads.curation.models.purse import Bill, Purse, open_purse
from reasoner_workloads.curation.models.segments import Completion
from reasoner_workloads.curation.pod import Pod
from support import chaos

PRICE = Price(input_per_million=100.0, output_per_million=1000.0)
#: 0.01 by its prompt, 0.1 by its completion.
BILL, ANSWER, COST = Bill("solver", 100, PRICE), Completion("", 100, 100), 0.11


def answering(answer: Completion = ANSWER, turns: int = 3) -> Callable[[], Awaitable[Completion]]:
    async def ask() -> Completion:
        for _ in range(turns):
            await asyncio.sleep(0)
        return answer

    return ask


async def spend(purse: Purse, in_flight: int = 4) -> None:
    """Ask until the budget is spent, as many at a time as a gate lets through."""

    async def ask_on() -> None:
        with pytest.raises(ConfigError) as end:
            while True:
                await purse.pay(BILL, answering())
        assert end.value.reason == "BudgetExceeded"

    await asyncio.gather(*(ask_on() for _ in range(in_flight)))


def test_no_slice_is_taken_twice(store: Store) -> None:
    funds = [Fund(store, "maxCostUSD", 50.0, 3, pod) for pod in range(3)]
    for fund in funds:
        fund.open()
    with ThreadPoolExecutor(3) as threads:
        took = list(threads.map(lambda fund: fund.take(100.0), funds))
    assert any(took)
    assert sum(fund.granted for fund in funds) == pytest.approx(50.0)
    assert not any(fund.take(0.1) for fund in funds)
    again = Fund(store, "maxCostUSD", 50.0, 3, 1)
    again.open()
    assert again.granted == pytest.approx(funds[1].granted)


async def test_three_pods_spend_a_budget_and_no_more_than_is_in_flight_beyond(tmp_path: Path) -> None:
    cap, in_flight = 30.0, 4
    ledgers = [Ledger() for _ in range(3)]
    purses = [
        open_purse(Budget(max_cost_usd=cap), ledger, FileStore(tmp_path), pod, 3) for pod, ledger in enumerate(ledgers)
    ]
    await asyncio.gather(*(spend(purse, in_flight) for purse in purses))
    spent = sum(ledger.usage.cost_usd for ledger in ledgers)
    # A pod may keep back what is left of one slice, and its last request may take more than what is left.
    assert cap - 3 * cap / FEWEST - 1e-9 <= spent <= cap + 3 * COST


async def test_what_is_not_known_before_the_first_answers_is_the_most_that_goes_beyond(tmp_path: Path) -> None:
    ledger = Ledger()
    purse = open_purse(Budget(max_cost_usd=0.2), ledger, FileStore(tmp_path), 0, 1)
    # 0.01 each is what is known of these, and 0.11 what they cost: all are in flight when that shows.
    await spend(purse, 16)
    assert 0.2 <= ledger.usage.cost_usd <= 0.2 + 16 * COST


async def test_a_raised_budget_goes_on_from_there(tmp_path: Path) -> None:
    store, spent = FileStore(tmp_path), []
    earlier = Ledger().usage
    for cap in (4.0, 10.0, 3.0):
        ledger = Ledger(earlier)
        await spend(open_purse(Budget(max_cost_usd=cap), ledger, store, 0, 1))
        earlier = ledger.usage
        spent.append(earlier.cost_usd)
    assert spent[0] == pytest.approx(4.0, abs=COST)
    assert spent[1] == pytest.approx(10.0, abs=COST)
    # Less than is spent: nothing more.
    assert spent[2] == spent[1]


async def test_either_limit_stops_and_says_which(tmp_path: Path) -> None:
    ledger = Ledger()
    purse = open_purse(Budget(max_cost_usd=1000.0, max_tokens=1000), ledger, FileStore(tmp_path), 0, 1)
    await spend(purse, 1)
    assert ledger.usage.prompt_tokens + ledger.usage.completion_tokens == 1000
    with pytest.raises(ConfigError, match=r"budget\.maxTokens: 1000 is spent; raise it to go on"):
        await purse.pay(BILL, answering())


async def test_what_fails_is_not_counted_and_gives_its_room_back(tmp_path: Path) -> None:
    ledger = Ledger()
    purse = open_purse(Budget(max_cost_usd=0.2), ledger, FileStore(tmp_path), 0, 1)

    async def fail() -> Completion:
        raise TimeoutError

    for _ in range(100):
        with pytest.raises(TimeoutError):
            await purse.pay(BILL, fail)
    assert ledger.usage.requests == 0
    await purse.pay(BILL, answering())


async def test_no_budget_asks_no_store(tmp_path: Path) -> None:
    purse = open_purse(Budget(), Ledger(), FileStore(tmp_path / "none"), 0, 1)
    await purse.pay(BILL, answering())
    assert not (tmp_path / "none").exists()


CAPS: dict[str, list[float]] = {
    "lowered": [100.0, 50.0],
    "lowered below what is spent": [100.0, 5.0],
    "lowered and raised": [100.0, 50.0, 80.0],
    "nothing, then something": [0.0, 30.0],
    "a trifle, then very much": [0.5, 5000.0],
    "something, then nothing": [20.0, 0.0],
}


@pytest.mark.parametrize("caps", CAPS.values(), ids=CAPS.keys())
async def test_a_changed_budget_holds_for_all_pods_together(store: Store, caps: list[float]) -> None:
    """Each has taken 20 when the budget changes and spent 6 of it, if there was so much."""
    earlier = [Ledger().usage for _ in range(3)]
    for cap in caps[:-1]:
        ledgers = [Ledger(usage) for usage in earlier]
        for pod, ledger in enumerate(ledgers):
            purse = open_purse(Budget(max_cost_usd=cap), ledger, store, pod, 3)
            purse.funds[0].take(20.0)
            for _ in range(int(min(6.0, purse.funds[0].granted - ledger.usage.cost_usd) / COST)):
                await purse.pay(BILL, answering())
        earlier = [ledger.usage for ledger in ledgers]
    spent = sum(usage.cost_usd for usage in earlier)
    purses = [
        open_purse(Budget(max_cost_usd=caps[-1]), Ledger(usage), store, pod, 3) for pod, usage in enumerate(earlier)
    ]
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda purse: purse.funds[0].take(10_000.0), purses))
    assert sum(purse.funds[0].granted for purse in purses) == pytest.approx(max(caps[-1], spent))


def test_an_answer_of_the_store_that_got_lost_costs_no_slice(tmp_path: Path) -> None:
    class Forgetful(FileStore):
        """Writes and says that somebody else has, as one does whose first answer was lost on the way."""

        def put_new(self, key: str, data: bytes) -> bool:
            super().put_new(key, data)
            return False

    fund = Fund(Forgetful(tmp_path), "maxTokens", 1000.0, 1, 0)
    fund.open()
    assert fund.take(400.0)
    assert fund.granted == 400


def test_a_raised_budget_is_not_read_a_cent_at_a_time(tmp_path: Path) -> None:
    store, shards = FileStore(tmp_path), 64
    for cap in (1.0, 5000.0):
        fund = Fund(store, "maxCostUSD", cap, shards, 0)
        fund.open()
        while fund.take(0.001):
            pass
    assert len(store.list(ROOT)) <= 2 * shards * EACH_SHARD + 2


@pytest.mark.parametrize(("budget", "noted"), [({"maxTokens": 100_000}, [1, 2, 3]), ({}, [1, 1, 1])])
def test_with_a_budget_no_answer_is_kept_before_its_cost_is_noted(
    tmp_path: Path, budget: dict[str, Any], noted: list[int]
) -> None:
    """Or a killed pod would have paid for answers that its next life does not count."""
    store, found = FileStore(tmp_path / "job"), []
    task = chaos.make_task("http://pages", "http://model", {"uri": tmp_path.as_uri()}, budget=budget)
    with closing(Reporter(Word(host="127.0.0.1", port=0))) as reporter:
        pod = Pod(task, store, Claims(store, 0), reporter)
        for _ in range(3):
            pod.ledger.enter("solver", ANSWER, PRICE)
            pod.before_commit()
            found.append(usages(store)["solver"].requests)
    assert found == noted


def test_many_shards_have_smaller_slices(tmp_path: Path) -> None:
    fund = Fund(FileStore(tmp_path), "maxTokens", 64_000.0, 64, 0)
    fund.open()
    assert fund.take(1.0)
    assert fund.granted == 64_000 / (64 * EACH_SHARD)
