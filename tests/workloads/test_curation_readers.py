"""Pages read beside the event loop."""

from __future__ import annotations

import asyncio
import threading
import zlib
from functools import partial
from typing import cast

import pytest

from reasoner_api.curation import Recrawl
from reasoner_workloads.curation import page, readers, stages
from reasoner_workloads.curation.blocks import Answer
from reasoner_workloads.curation.readers import Readers
from reasoner_workloads.curation.records import Dropped, Row
from reasoner_workloads.curation.recrawl.fetcher import Fetcher
from reasoner_workloads.curation.stages import Crew
from reasoner_workloads.curation.survey import Survey

PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>page</p>"
ROW = Row("1", "https://example.org/", "Why?", zlib.compress(PAGE))


def crew_of(reading: Readers) -> Crew:
    return cast("Crew", type("Stub", (), {"readers": reading, "fetcher": Fetcher(Recrawl(), 1)}))


async def test_other_rows_go_on_while_a_page_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    others_went_on = threading.Event()

    def slow(text: str) -> Survey:
        assert others_went_on.wait(60)
        return Survey(title=text, main=(Answer("why"),))

    monkeypatch.setattr(stages, "survey", slow)
    async with Readers() as reading:
        finding = asyncio.create_task(stages.find(ROW, crew_of(reading)))
        asyncio.get_running_loop().call_later(0, others_went_on.set)
        assert await finding == page.Page("<p>page</p>", "Why?", (Answer("why"),))


async def test_a_page_is_laid_out_once_for_all_rows_that_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    laid_out: list[str] = []
    all_wait = threading.Event()

    def count(text: str) -> Survey:
        laid_out.append(text)
        assert all_wait.wait(60)
        return Survey(main=(Answer("why"),))

    monkeypatch.setattr(stages, "survey", count)
    async with Readers() as reading:
        finding = [asyncio.create_task(stages.find(ROW, crew_of(reading))) for _ in range(20)]
        finding[3].cancel()
        asyncio.get_running_loop().call_later(0, all_wait.set)
        found = await asyncio.gather(*finding, return_exceptions=True)
    assert len(laid_out) == 1
    assert sum(isinstance(one, page.Page) for one in found) == 19


async def test_what_is_wrong_with_a_page_is_its_rows_drop() -> None:
    async with Readers() as reading:
        with pytest.raises(Dropped) as end:
            await stages.find(ROW, crew_of(reading))
    assert end.value.reason == "no_human_answer"


async def test_no_more_pages_are_taken_while_many_wait_for_their_reader() -> None:
    gate = threading.Event()
    async with Readers() as reading:
        long = asyncio.create_task(reading.read(readers.MOST_WAITING + 1, partial(gate.wait, 60)))
        await asyncio.sleep(0)
        room = asyncio.create_task(reading.room())
        assert await reading.read(1, lambda: "short") == "short"
        assert not room.done()
        gate.set()
        await asyncio.gather(long, room)


async def test_threads_are_replaced_with_all_that_libxml2_remembers_of_pages() -> None:
    async with Readers() as reading:
        first = await reading.read(1, threading.current_thread)
        again = [await reading.read(readers.RENEWED_AFTER, threading.current_thread) for _ in range(3)]
        await asyncio.to_thread(first.join, 60)
        assert not first.is_alive()
    assert len({first, *again}) == 4
