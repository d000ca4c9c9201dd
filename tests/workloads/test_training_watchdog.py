"""A run that waits for ever shows where it stands, says so and ends."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from reasoner_api.guards import Hang
from reasoner_api.task import GRPOTask
from reasoner_workloads.common.progress import Reporter, Word
from reasoner_workloads.grpo.away import longest_wait
from reasoner_workloads.training import launch, watchdog
from reasoner_workloads.training.watchdog import Watchdog, patience
from reasoner_workloads.training.world import World
from support.stand_ins import Pod, grpo_task

HANG = Hang(factor=10, min_seconds=30)


@pytest.mark.parametrize(
    ("durations", "seconds"),
    [([], 30), ([1.0, 1.0, 1.0], 30), ([3.0, 4.0, 5.0], 40), ([4.0, 4.0, 500.0], 40)],
)
def test_how_long_is_too_long(durations: list[float], seconds: float) -> None:
    assert patience(durations, HANG) == seconds


@pytest.fixture
def dog() -> Iterator[Watchdog]:
    reporter = Reporter(Word(host="127.0.0.1", port=0))
    yield Watchdog(Hang(factor=2, min_seconds=1), 2, reporter, World())
    reporter.close()


def test_what_the_run_may_wait_for_is_no_hang(dog: Watchdog, monkeypatch: pytest.MonkeyPatch) -> None:
    bitten = threading.Event()
    monkeypatch.setattr(launch, "leave_at_once", lambda *_: bitten.set())
    with dog:
        with dog.waiting(60):
            assert not bitten.wait(1.5)
        assert bitten.wait(10)


def test_what_gets_on_slowly_is_no_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verifier that takes hours for a generation, and answers all the while."""
    bitten = threading.Event()
    monkeypatch.setattr(launch, "leave_at_once", lambda *_: bitten.set())
    monkeypatch.setattr(watchdog, "OFTEN", 0.0)
    reporter = contextlib.closing(Reporter(Word(host="127.0.0.1", port=0)))
    with reporter as told, Watchdog(Hang(factor=2, min_seconds=4), 1, told, World()) as dog:
        for _ in range(100):
            assert not bitten.wait(0.05)
            dog.sign_of_life()
        assert bitten.wait(60)


def test_a_measurement_in_every_generation_is_taken_off_its_time(
    dog: Watchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("reasoner_workloads.training.watchdog.time.monotonic", lambda: now)
    arguments, control = TrainingArguments(use_cpu=True, report_to="none"), TrainerControl()
    for step in range(1, 7):
        now += 10.0
        dog.on_step_end(arguments, TrainerState(global_step=step), control)
        # At a generation's end as well as within one.
        now += 500.0
        dog.on_evaluate(arguments, TrainerState(global_step=step), control)
    assert list(dog.durations) == [20.0, 20.0]


def test_the_longest_wait_is_the_specs_where_somebody_is_asked(tmp_path: Path) -> None:
    given = grpo_task(tmp_path, tmp_path)
    given["work"]["reward"] = {"verifierUnavailable": {"waitSeconds": 4000}, "timeoutSeconds": 100}
    assert longest_wait(GRPOTask.model_validate(given)) == 0
    prompt = {"template": "{question}|{ground_truth}|{student_answer}", "passMarker": "PASS"}
    judge = {"endpoint": "http://verifier/v1", "model": "verifier", "prompt": prompt}
    assert longest_wait(GRPOTask.model_validate(given | {"verifier": judge})) == 4400


def test_a_group_that_hangs_shows_the_stacks_of_all_processes_and_fails(
    seeds: Path, house_rewards: Path, tmp_path: Path
) -> None:
    task = grpo_task(seeds, tmp_path / "out", maxSteps=8) | {"topology": {"processesPerNode": 2}}
    task["work"]["guards"] = {"hang": {"factor": 2, "minSeconds": 3}}
    task["work"]["checkpoint"]["everySteps"] = 1
    task["work"]["reward"] = {"terms": [{"name": "endless", "args": {"output": str(tmp_path / "out")}}]}
    code, report, log = Pod("grpo", task, tmp_path / "pod", {"PYTHONPATH": str(house_rewards)}).run()
    assert (code, report.state, report.reason) == (1, "Failed", "Hung"), log
    assert "the stacks of all processes are in the log" in report.message
    for rank in (0, 1):
        assert f"rank {rank}: no step for" in log
    assert log.count("Current thread") == 2
    assert "grpo_trainer.py" in log  # where the main threads wait
