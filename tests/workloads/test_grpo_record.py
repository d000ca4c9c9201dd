"""The record of what was generated: one row for each kept response, whatever the restarts."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet
import pytest

from reasoner_workloads.common.store import FileStore, StoreError, open_store
from reasoner_workloads.grpo.measure import Measurements
from reasoner_workloads.grpo.record import FOLDER, TRAIN, Record
from reasoner_workloads.grpo.reward import Response, Score
from reasoner_workloads.grpo.rollout.policy import StalePolicy


def record(folder: Path, rank: int = 0, most: int = 256, version: int | None = None) -> Record:
    store = open_store(folder.as_uri())
    return Record(store, rank, most, lambda step: step if version is None else version, {}, print)


class Away(FileStore):
    """A store that takes nothing while `away`."""

    away = True

    def put(self, key: str, data: bytes | Path) -> None:
        if self.away:
            raise StoreError("cannot connect")
        super().put(key, data)


def test_a_store_that_is_away_costs_the_record_and_not_the_run(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    kept = Record(Away(tmp_path), 0, 256, lambda step: step, {}, lambda *words: told.append(words))
    kept.keep(*made(2), TRAIN, 7)
    assert told == [("CompletionsNotKept", "the responses of step 7 are not kept: cannot connect")]


def test_a_measurement_waits_for_the_store_unless_it_is_the_first(tmp_path: Path) -> None:
    store, told = Away(tmp_path), []
    kept = Measurements(store, lambda *words: told.append(words))
    with pytest.raises(StoreError):
        kept.keep(0, {"reward": 0.1})
    kept.keep(20, {"reward": 0.2})
    store.away = False
    kept.keep(40, {"reward": 0.4})
    assert told == [
        ("MeasurementNotKept", "what was measured after step 20 is not kept yet: cannot connect"),
    ]
    assert kept.read() == {0: {"reward": 0.1}, 20: {"reward": 0.2}, 40: {"reward": 0.4}}


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
        Record(open_store(tmp_path.as_uri()), 5, 0, stale, {}, print).keep(*made(8), TRAIN, 1)
    assert not list(tmp_path.iterdir())
