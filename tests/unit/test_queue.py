"""The work queue: one worker a key, collapsing, retries with growing delay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from reasoner_operator import queue as module
from reasoner_operator.queue import Queue
from reasoner_operator.seen import Key

A, B = Key("GRPORun", "x", "a"), Key("GRPORun", "x", "b")


class Passing(Exception):
    """A fault that passes."""


@asynccontextmanager
async def running(work: Callable[[Key], Awaitable[float | None]]) -> AsyncIterator[Queue]:
    queue = Queue(work, retriable=Passing)
    task = asyncio.create_task(queue.run(workers=4))
    try:
        yield queue
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_requests_for_a_key_that_waits_collapse_into_one() -> None:
    seen: list[Key] = []
    done = asyncio.Event()

    async def work(key: Key) -> None:
        seen.append(key)
        if key == B:
            done.set()

    async with running(work) as queue:
        for key in (A, A, A, B):
            queue.add(key)
        await done.wait()
    assert seen == [A, B]


async def test_a_key_is_worked_on_by_one_worker_and_again_if_asked_meanwhile() -> None:
    entered, release, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()
    at_once = most = count = 0

    async def work(key: Key) -> None:
        nonlocal at_once, most, count
        at_once, count = at_once + 1, count + 1
        most = max(most, at_once)
        entered.set()
        await release.wait()
        at_once -= 1
        if count == 2:
            finished.set()

    async with running(work) as queue:
        queue.add(A)
        await entered.wait()
        for _ in range(3):
            queue.add(A)
        release.set()
        await finished.wait()
    assert (most, count) == (1, 2)


async def test_a_passing_fault_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_FIRST", 0.001)
    finished = asyncio.Event()
    attempts = 0

    async def work(key: Key) -> None:
        nonlocal attempts
        attempts += 1
        if attempts < 4:
            raise Passing("not yet")
        finished.set()

    async with running(work) as queue:
        queue.add(A)
        await finished.wait()
    assert attempts == 4


async def test_a_key_comes_again_after_the_time_that_work_asks_for() -> None:
    finished = asyncio.Event()
    count = 0

    async def work(key: Key) -> float | None:
        nonlocal count
        count += 1
        if count == 3:
            finished.set()
            return None
        return 0.001

    async with running(work) as queue:
        queue.add(A)
        await finished.wait()
    assert count == 3


async def test_a_bug_holds_up_its_own_object_alone_and_shows_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "RETRY_FIRST", 0.001)
    again, finished = asyncio.Event(), asyncio.Event()
    attempts = 0

    async def work(key: Key) -> None:
        nonlocal attempts
        if key == B:
            finished.set()
            return
        attempts += 1
        if attempts == 2:
            again.set()
        raise ZeroDivisionError("poison")

    async with running(work) as queue:
        queue.add(A)
        await again.wait()
        queue.add(B)
        await finished.wait()
    records = [record for record in caplog.records if record.exc_info]
    assert {record.getMessage() for record in records} == {f"{A}: a bug in the operator"}
    assert all(record.levelname == "ERROR" for record in records)


async def test_a_key_that_succeeds_at_last_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_FIRST", 0.001)
    attempts = 0
    second, third = asyncio.Event(), asyncio.Event()

    async def work(key: Key) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise Passing
        (second if attempts == 2 else third).set()

    async with running(work) as queue:
        queue.add(A)
        await second.wait()
        queue.add(B)
        await third.wait()
        assert (queue._failures, queue._timers, queue._queued, queue._again) == ({}, {}, {}, set())
