"""Held-out questions with a response from before training and one from after it, as the run has kept them. Read by
`train` for the report; loads no torch."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from reasoner_workloads.common.store import Store
from reasoner_workloads.grpo import record


@dataclass(frozen=True)
class Told:
    """A response and what became of it."""

    text: str
    verdict: bool | None
    reward: float | None


@dataclass(frozen=True)
class Example:
    """A question, answered twice."""

    question: str
    ground_truth: str
    before: Told
    after: Told


def read(store: Store) -> list[Example]:
    """One for each held-out question, in the order in which they were asked; none unless measured twice."""
    steps: dict[int, list[str]] = {}
    for step, key in record.files(store, record.TEST):
        steps.setdefault(step, []).append(key)
    if len(steps) < 2:
        return []
    before, after = (_first_of_each(store, steps[step]) for step in (min(steps), max(steps)))
    return [Example(*asked, told, after[asked]) for asked, told in before.items() if asked in after]


def _first_of_each(store: Store, keys: list[str]) -> dict[tuple[str, str], Told]:
    found: dict[tuple[str, str], Told] = {}
    for row in _rows(store, keys):
        told = Told(row["response"], row["verdict"], row["reward"])
        found.setdefault((row["question"], row["ground_truth"]), told)
    return found


def _rows(store: Store, keys: list[str]) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet

    columns = ["question", "ground_truth", "response", "verdict", "reward"]
    for key in sorted(keys):
        yield from pyarrow.parquet.read_table(io.BytesIO(store.get(key)), columns=columns).to_pylist()
