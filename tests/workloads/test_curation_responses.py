"""The answers that are kept: found again by whoever needs them, whole in the store before anything depends on them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from reasoner_workloads.common.store import FileStore, Store, StoreError, open_store
from reasoner_workloads.curation.models import cells
from reasoner_workloads.curation.models.responses import Responses, digits_of
from reasoner_workloads.curation.models.segments import Completion, line, pack, unpack


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


def place_in(digits: str) -> int:
    """A place on the line of hashes, in a cell."""
    return int(f"{digits:0<64}", 2)


def put(store: Store, digits: str, key: str) -> None:
    """As a pod leaves a cell that it is done with."""
    store.put(f"{cells.ROOT}{digits}/whole.jsonl.zst", pack([line(key, completion("answer 1"))]))


async def fill(store: Store, digits: str, keys: list[str], writer: str = "one", *, close: bool = True) -> None:
    async with Responses(store, writer) as opened:
        cell = await opened.open(digits)
        for key in keys:
            assert await cell.at(place_in(digits)).answer(key, Asked()) == (completion("answer 1"), False)
        if close:
            await cell.close()


async def known(store: Store, digits: str, keys: list[str], row: str | None = None) -> list[str]:
    """Which of these a pod finds that opens a cell, for a row that lies in another below it."""
    async with Responses(store, "reader") as opened:
        answers = (await opened.open(digits)).at(place_in(digits if row is None else row))
        return [key for key in keys if (await answers.answer(key, Asked()))[1]]


async def test_what_was_answered_once_is_not_asked_again(store: Store) -> None:
    await fill(store, "0", ["a", "b"])
    assert await known(store, "0", ["a", "b", "c"]) == ["a", "b"]


async def test_a_pod_that_dies_has_kept_what_it_got(store: Store) -> None:
    await fill(store, "01", ["a", "b", "c"], close=False)
    assert len(store.list(cells.ROOT)) == 3
    assert await known(store, "01", ["a", "b", "c"]) == ["a", "b", "c"]


async def test_a_cell_that_is_done_with_is_one_object(store: Store) -> None:
    await fill(store, "01", ["a"], close=False)
    await fill(store, "01", ["b", "c"], "two")
    (key,) = store.list(cells.ROOT)
    assert [found for found, _ in unpack(store.get(key))] == ["a", "b", "c"]
    await fill(store, "01", [], "three")
    assert store.list(cells.ROOT) == [key]


@pytest.mark.parametrize(
    ("digits", "row", "found"),
    [
        ("", "00", "ab"),
        ("", "010", "ac"),
        ("", "0111", "ace"),
        ("", "11", "ad"),
        ("0", "011", "ace"),
        ("01", "010", "ac"),
        ("010", "010", "ac"),
        ("1", "1", "ad"),
        ("11", "11", "ad"),
    ],
)
async def test_other_divisions_of_the_rows_find_what_lies_around_and_below(
    store: Store, digits: str, row: str, found: str
) -> None:
    for cell, key in (("", "a"), ("00", "b"), ("01", "c"), ("1", "d"), ("011", "e")):
        put(store, cell, key)
    assert await known(store, digits, list("abcde"), row) == list(found)


class Counting(FileStore):
    """A store that remembers what was read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.read: list[str] = []

    def stream(self, key: str, start: int = 0, size: int | None = None) -> Iterator[bytes]:
        self.read.append(key)
        return super().stream(key, start, size)


async def test_a_small_job_after_a_large_one_reads_what_its_rows_may_use_and_once(tmp_path: Path) -> None:
    for number in range(64):
        put(FileStore(tmp_path), f"{number:06b}", f"{number}")
    store = Counting(tmp_path)
    async with Responses(store, "small") as opened:
        cell = await opened.open("")
        wanted = {"000111": "7", "0001111": "7", "101010": "42", "1010101": "new"}
        rows = (cell.at(place_in(digits)).answer(key, Asked()) for digits, key in wanted.items())
        assert [kept for _, kept in await asyncio.gather(*rows)] == [True, True, True, False]
    # In threads, in any order.
    assert sorted(key.split("/")[2] for key in store.read) == ["b000111", "b101010"]


async def test_rows_of_a_cell_share_what_they_ask_wherever_they_lie(store: Store) -> None:
    await fill(store, "01", ["a"])
    async with Responses(store, "one") as opened:
        cell = await opened.open("")
        asked = Asked()
        assert not (await cell.at(place_in("1")).answer("b", asked))[1]
        assert (await cell.at(place_in("01")).answer("b", asked))[1]
    assert asked.times == 1


async def test_what_a_row_that_was_given_up_has_asked_is_kept_though_its_cell_is_done_with(store: Store) -> None:
    go_on = asyncio.Event()

    async def ask() -> Completion:
        await go_on.wait()
        return completion("late")

    async with Responses(store, "one") as opened:
        cell = await opened.open("0")
        late = asyncio.create_task(cell.at(0).answer("late", ask))
        await asyncio.sleep(0)
        await cell.close()
        go_on.set()
        assert await late == (completion("late"), False)
        assert cell.is_dropped
        assert not (await (await opened.open("1")).at(0).answer("other", Asked()))[1]
    assert await known(store, "0", ["late"]) == ["late"]


async def test_so_is_what_its_row_no_longer_waits_for(tmp_path: Path) -> None:
    writing, go_on = threading.Event(), threading.Event()

    class Slow(FileStore):
        def put(self, key: str, source: bytes | Path) -> None:
            writing.set()
            assert go_on.wait(60)
            super().put(key, source)

    async with Responses(Slow(tmp_path), "one") as opened:
        cell = await opened.open("0")
        late = asyncio.create_task(cell.at(0).answer("late", Asked()))
        assert await asyncio.to_thread(writing.wait, 60)
        await cell.close()
        late.cancel()
        await asyncio.wait([late])
        assert cell.is_dropped
        go_on.set()
    assert await known(FileStore(tmp_path), "0", ["late"]) == ["late"]


async def test_what_comes_while_a_cell_is_made_one_object_is_kept(tmp_path: Path) -> None:
    class Slow(FileStore):
        """Another answer comes while the whole is written."""

        def put(self, key: str, source: bytes | Path) -> None:
            super().put(key, source)
            if "one-" not in key and "late" not in key:
                cell.write("late.jsonl.zst", [("late", line("late", completion("late")))])

    store = Slow(tmp_path)
    async with Responses(store, "one") as opened:
        cell = await opened.open("0")
        for key in "ab":
            await cell.at(0).answer(key, Asked())
        await cell.close()
    assert len(store.list(cells.ROOT)) == 2
    assert await known(FileStore(tmp_path), "0", ["a", "b", "late"]) == ["a", "b", "late"]


async def test_a_bug_ends_the_waiting_of_all(tmp_path: Path) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with Responses(open_store(tmp_path.as_uri()), "one", fail) as opened:
            answers = (await opened.open("")).at(0)
            for key in "ab":
                with pytest.raises(ZeroDivisionError):
                    await answers.answer(key, Asked())


async def test_rows_that_want_the_same_at_once_ask_once(store: Store) -> None:
    asked = Asked(0.05)
    async with Responses(store, "one") as opened:
        cell = await opened.open("")
        found = await asyncio.gather(*(cell.at(0).answer("a", asked) for _ in range(5)))
    assert (asked.times, sorted(kept for _, kept in found)) == (1, [False, True, True, True, True])


async def test_a_failure_is_no_answer(store: Store) -> None:
    async def fail() -> Completion:
        raise TimeoutError

    async with Responses(store, "one") as opened:
        cell = await opened.open("")
        with pytest.raises(TimeoutError):
            await cell.at(0).answer("a", fail)
        assert await cell.at(0).answer("a", Asked()) == (completion("answer 1"), False)


async def test_many_answers_share_a_segment(store: Store) -> None:
    async with Responses(store, "one") as opened:
        cell = await opened.open("")
        await asyncio.gather(*(cell.at(0).answer(str(number), Asked()) for number in range(500)))
        assert len(store.list(cells.ROOT)) <= 3


async def test_what_is_booked_is_never_behind_what_is_kept(store: Store) -> None:
    kept: list[int] = []
    async with Responses(store, "one", lambda: kept.append(len(store.list(cells.ROOT)))) as opened:
        cell = await opened.open("")
        for number in range(3):
            await cell.at(0).answer(str(number), Asked())
    assert kept == [0, 1, 2]


async def test_a_damaged_segment_costs_what_it_held(store: Store) -> None:
    await fill(store, "0", ["a"], "one")
    await fill(store, "1", ["b"], "two")
    (first, _) = store.list(cells.ROOT)
    store.put(first, store.get(first)[:-5])
    assert await known(store, "", ["a"], "0") == []
    assert await known(store, "", ["b"], "1") == ["b"]


async def test_a_store_that_refuses_fails_those_who_wait(tmp_path: Path) -> None:
    store = open_store(tmp_path.as_uri())

    def refuse() -> None:
        raise StoreError("no space left")

    async with Responses(store, "one", refuse) as opened:
        cell = await opened.open("")
        with pytest.raises(StoreError, match="no space left"):
            await cell.at(0).answer("a", Asked())


async def test_what_has_arrived_when_the_pod_is_told_to_end_is_kept(tmp_path: Path) -> None:
    store = open_store(tmp_path.as_uri())
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        go_on.wait(10)

    async def work() -> None:
        async with Responses(store, "one", hold) as opened:
            cell = await opened.open("")
            first = asyncio.create_task(cell.at(0).answer("first", Asked()))
            await asyncio.to_thread(held.wait, 10)
            await asyncio.gather(first, *(cell.at(0).answer(str(number), Asked()) for number in range(5)))

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
