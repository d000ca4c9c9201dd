"""The record of what was generated: one row for each kept response, whatever the restarts."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet
import pytest

from reasoner_workloads.common.store import open_store
from reasoner_workloads.grpo.record import FOLDER, TRAIN, Record
from reasoner_workloads.grpo.reward import Response, Score
from reasoner_workloads.grpo.rollout.policy import StalePolicy


def record(folder: Path, rank: int = 0, most: int = 256, version: int | None = None) -> Record:
    return Record(open_store(folder.as_uri()), rank, most, lambda step: step if version is None else version, {})


def made(count: int, text: str = "x") -> tuple[list[Response], list[Score]]:
    response, score = Response("p", "q", "1", text, [1]), Score(answer="1", verdict=True, terms={"correct": 1.0})
    return [response] * count, [score] * count


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / FOLDER).iterdir())


def test_a_run_cut_short_and_gone_on_with_has_each_step_once(tmp_path: Path) -> None:
    first, second = record(tmp_path), record(tmp_path)
    for step in range(5):
        first.keep(*made(8, "before"), TRAIN, step)
    first.keep(*made(2), "test", 4)
    # The newest checkpoint is that of step 2; the second training is itself cut before step 4.
    second.forget_from(2)
    for step in (2, 3):
        second.keep(*made(8, "after"), TRAIN, step)
    names = [f"train-step-{step:08d}-rank-0000.parquet" for step in range(4)]
    assert files(tmp_path) == ["test-step-00000004-rank-0000.parquet", *names]
    rows = [row for name in names for row in pyarrow.parquet.read_table(tmp_path / FOLDER / name).to_pylist()]
    assert [(row["step"], row["response"]) for row in rows[::8]] == [
        (0, "before"), (1, "before"), (2, "after"), (3, "after"),
    ]  # fmt: skip


@pytest.mark.parametrize(("most", "kept"), [(0, []), (1, [0]), (8, [0]), (9, [0, 1]), (256, [0, 1, 2])])
def test_so_many_responses_are_kept_by_whole_shares(most: int, kept: list[int], tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    for rank in range(3):
        record(tmp_path, rank, most).keep(*made(8), TRAIN, 1)
    assert files(tmp_path) == [f"train-step-00000001-rank-{rank:04d}.parquet" for rank in kept]


def test_responses_of_unproved_weights_are_not_kept(tmp_path: Path) -> None:
    def stale(step: int) -> int:
        raise StalePolicy(f"step {step}")

    with pytest.raises(StalePolicy):
        Record(open_store(tmp_path.as_uri()), 5, 0, stale, {}).keep(*made(8), TRAIN, 1)
    assert not list(tmp_path.iterdir())
