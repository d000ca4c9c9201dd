"""Several requests at once whose failures come out plain. Used by `stages`, `judge` and `shard`."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from reasoner_workloads.common.run import WorkloadError

T = TypeVar("T")


async def together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results in order. The first failure ends the others; of several, one that ends the run is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except ExceptionGroup as failures:
        fatal = (error for error in failures.exceptions if isinstance(error, WorkloadError))
        raise next(fatal, failures.exceptions[0]) from None
    return [task.result() for task in tasks]
