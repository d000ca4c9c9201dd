"""The answers that are kept: found again by whoever needs them, whole in the store before anything depends on them."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from reasoner_workloads.common.store import Store, StoreError, open_store
from reasoner_workloads.curation.models import responses
from reasoner_workloads.curation.models.responses import Responses, digits_of
from reasoner_workloads.curation.models.segments import Completion, unpack


def completion(text: str) -> Completion:
    return Completion(text, 10, 3)


class Asked:
    """A model that counts."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.times = 0
        self.seconds = seconds

    async def __call__(self) -> Completion:
        self.times += 1
        await asyncio.sleep(self.seconds)
        return completion(f"answer {self.times}")


async def fill(store: Store, digits: str, keys: list[str], writer: str = "one", *, close: bool = True) -> None:
    async with Responses(store, writer) as opened:
        cell = await opened.open(digits)
        for key in keys:
            assert await cell.answer(key, Asked()) == (completion("answer 1"), False)
        if close:
            await cell.close()


async def known(store: Store, digits: str, keys: list[str]) -> list[str]:
    """Which of these a pod finds that opens a cell."""
    async with Responses(store, "reader") as opened:
        cell = await opened.open(digits)
        return [key for key in keys if (await cell.answer(key, Asked()))[1]]


async def test_what_was_answered_once_is_not_asked_again(store: Store) -> None:
    await fill(store, "0", ["a", "b"])
    assert await known(store, "0", ["a", "b", "c"]) == ["a", "b"]


async def test_a_pod_that_dies_has_kept_what_it_got(store: Store) -> None:
    await fill(store, "01", ["a", "b", "c"], close=False)
    assert len(store.list(responses.ROOT)) == 3
    assert await known(store, "01", ["a", "b", "c"]) == ["a", "b", "c"]


async def test_a_cell_that_is_done_with_is_one_object(store: Store) -> None:
    await fill(store, "01", ["a"], close=False)
    await fill(store, "01", ["b", "c"], "two")
    (key,) = store.list(responses.ROOT)
    assert [found for found, _ in unpack(store.get(key))] == ["a", "b", "c"]
    await fill(store, "01", [], "three")
    assert store.list(responses.ROOT) == [key]


@pytest.mark.parametrize(
    ("digits", "found"),
    [("", "abcd"), ("0", "abc"), ("01", "ac"), ("010", "ac"), ("1", "ad"), ("11", "ad")],
)
async def test_other_divisions_of_the_rows_find_what_lies_around_and_below(
    store: Store, digits: str, found: str
) -> None:
    for cell, key in (("", "a"), ("00", "b"), ("01", "c"), ("1", "d")):
        await fill(store, cell, [key])
    assert await known(store, digits, list("abcd")) == list(found)


async def test_rows_that_want_the_same_at_once_ask_once(store: Store) -> None:
    asked = Asked(0.05)
    async with Responses(store, "one") as opened:
        cell = await opened.open("")
        found = await asyncio.gather(*(cell.answer("a", asked) for _ in range(5)))
    assert (asked.times, sorted(kept for _, kept in found)) == (1, [False, True, True, True, True])


async def test_a_failure_is_no_answer(store: Store) -> None:
    async def fail() -> Completion:
        raise TimeoutError

    async with Responses(store, "one") as opened:
        cell = await opened.open("")
        with pytest.raises(TimeoutError):
            await cell.answer("a", fail)
        assert await cell.answer("a", Asked()) == (completion("answer 1"), False)


async def test_many_answers_share_a_segment(store: Store) -> None:
    async with Responses(store, "one") as opened:
        cell = await opened.open("")
        await asyncio.gather(*(cell.answer(str(number), Asked()) for number in range(500)))
        assert len(store.list(responses.ROOT)) <= 3


async def test_what_is_booked_is_never_behind_what_is_kept(store: Store) -> None:
    kept: list[int] = []
    async with Responses(store, "one", lambda: kept.append(len(store.list(responses.ROOT)))) as opened:
        cell = await opened.open("")
        for number in range(3):
            await cell.answer(str(number), Asked())
    assert kept == [0, 1, 2]


async def test_a_damaged_segment_costs_what_it_held(store: Store) -> None:
    await fill(store, "0", ["a"], "one")
    await fill(store, "1", ["b"], "two")
    (first, _) = store.list(responses.ROOT)
    store.put(first, store.get(first)[:-5])
    assert await known(store, "", ["a", "b"]) == ["b"]


async def test_a_store_that_refuses_fails_those_who_wait(tmp_path: Path) -> None:
    store = open_store(tmp_path.as_uri())

    def refuse() -> None:
        raise StoreError("no space left")

    async with Responses(store, "one", refuse) as opened:
        cell = await opened.open("")
        with pytest.raises(StoreError, match="no space left"):
            await cell.answer("a", Asked())


async def test_what_has_arrived_when_the_pod_is_told_to_end_is_kept(tmp_path: Path) -> None:
    store = open_store(tmp_path.as_uri())
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        go_on.wait(10)

    async def work() -> None:
        async with Responses(store, "one", hold) as opened:
            cell = await opened.open("")
            first = asyncio.create_task(cell.answer("first", Asked()))
            await asyncio.to_thread(held.wait, 10)
            await asyncio.gather(first, *(cell.answer(str(number), Asked()) for number in range(5)))

    def end_all() -> None:
        """As at the end of a loop that SIGTERM has stopped."""
        for task in asyncio.all_tasks(loop) - {this}:
            task.cancel()
        go_on.set()

    loop, this = asyncio.get_running_loop(), asyncio.current_task()
    task = asyncio.create_task(work())
    await asyncio.to_thread(held.wait, 10)
    loop.call_later(0.2, end_all)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await known(store, "", ["first", "0", "4"]) == ["first", "0", "4"]


def test_cells_are_named_by_their_place() -> None:
    assert [digits_of(number, 4) for number in range(4)] == ["00", "01", "10", "11"]
    assert digits_of(0, 1) == ""
    for number, count in ((0, 3), (4, 4), (-1, 2)):
        with pytest.raises(ValueError, match="cell"):
            digits_of(number, count)
