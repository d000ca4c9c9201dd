"""What a run is watched for: which logs make a guard fire, and what a run does then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reasoner_api.guards import Guards
from reasoner_workloads.grpo.guards import findings, mark
from support.stand_ins import Pod, grpo_task

NAN, INF = float("nan"), float("inf")
GUARDS = Guards.model_validate(
    {
        "nan": "pause",
        "rewardCollapse": {"action": "stop", "drop": 0.3, "window": 2},
        "kl": {"action": "pause", "max": 5, "window": 2},
        "responseLength": {"action": "warn", "maxGrowth": 2, "window": 2},
    }
)


def log(*figures: tuple[float | None, float | None, float], **last: Any) -> list[dict[str, Any]]:
    """A log of generations: reward, KL and length of each; more of the newest entry."""
    entries = [
        {"step": step, "loss": 0.1, "grad_norm": 1.0, "reward": reward, "kl": kl, "completions/mean_length": length}
        for step, (reward, kl, length) in enumerate(figures, 1)
    ]
    entries[-1] |= last
    return entries


#: A log -> the guards that its newest entry makes fire: reason and action.
LOGS: dict[str, tuple[list[dict[str, Any]], list[tuple[str, str]]]] = {
    "nothing amiss": (log((0.1, 0, 10), (0.5, 1, 11), (0.6, 1, 12)), []),
    "a loss that is no number": (log((0.1, 0, 10), loss=NAN), [("LossNotFinite", "pause")]),
    "an infinite gradient": (log((0.1, 0, 10), grad_norm=INF), [("LossNotFinite", "pause")]),
    "an infinite loss in a step without a generation": (
        [*log((0.1, 0, 10)), {"step": 2, "loss": -INF}],
        [("LossNotFinite", "pause")],
    ),
    "a loss that was no number in the step before, either": (
        [*log((0.1, 0, 10), loss=NAN), {"step": 2, "loss": NAN}],
        [],
    ),
    "a log without a loss": ([{"step": 1, "eval_reward": NAN}], []),
    "a reward lost again": (log((0.8, 0, 10), (0.8, 0, 10), (0.4, 0, 10), (0.4, 0, 10)), [("RewardCollapse", "stop")]),
    "a drop that is just allowed": (log((0.5, 0, 10), (0.5, 0, 10), (0.25, 0, 10), (0.25, 0, 10)), []),
    "one bad generation in a window": (log((0.8, 0, 10), (0.8, 0, 10), (0.3, 0, 10)), []),
    "bad generations with others before and after them": (
        log((0.8, 0, 10), (0.8, 0, 10), (0.0, 0, 10), (0.0, 0, 10), (0.8, 0, 10), (0.8, 0, 10)),
        [],
    ),
    "a reward that never was": (log((-0.5, 0, 10), (-0.5, 0, 10), (-0.5, 0, 10)), []),
    "generations that nobody scored count for nothing": (
        log((0.8, 0, 10), (0.8, 0, 10), (None, 0, 10), (0.4, 0, 10), (None, 0, 10), (0.4, 0, 10)),
        [("RewardCollapse", "stop")],
    ),
    "a policy that runs away": (log((0.1, 0, 10), (0.1, 11, 10)), [("KLBlowUp", "pause")]),
    "a window that is not full": (log((0.1, 11, 10)), []),
    "no KL measured": (log((0.1, None, 10), (0.1, None, 10)), []),
    "responses without end": (log((0.1, 0, 10), (0.1, 0, 10), (0.1, 0, 20), (0.1, 0, 22)), [("LengthBlowUp", "warn")]),
    "responses that grow as they may": (log((0.1, 0, 10), (0.1, 0, 10), (0.1, 0, 20), (0.1, 0, 20)), []),
    "steps that learn from an old generation say nothing new": ([*log((0.1, 9, 10), (0.1, 9, 10)), {"step": 3}], []),
    "several at once": (
        log((0.9, 0, 10), (0.9, 0, 10), (0.1, 9, 90), (0.1, 9, 90), loss=NAN),
        [("LossNotFinite", "pause"), ("RewardCollapse", "stop"), ("KLBlowUp", "pause"), ("LengthBlowUp", "warn")],
    ),
}


@pytest.mark.parametrize("sentence", LOGS)
def test_which_guards_fire(sentence: str) -> None:
    history, expected = LOGS[sentence]
    assert [(found.reason, found.action) for found in findings(history, GUARDS)] == expected


def test_a_guard_that_has_fired_starts_afresh() -> None:
    history = log((0.1, 9, 10), (0.1, 9, 10))
    (found,) = findings(history, GUARDS)
    assert found.message == (
        "the mean KL divergence from the base model over the last 2 generations is 9 nats a token, above 5"
    )
    history.append(mark(found, 2))
    history += [{"step": 3, "reward": 0.1, "kl": 9.0}]
    assert findings(history, GUARDS) == []
    history += [{"step": 4, "reward": 0.1, "kl": 9.0}]
    assert [again.reason for again in findings(history, GUARDS)] == ["KLBlowUp"]


def weights(out: Path) -> bytes:
    """The published weights."""
    (path,) = out.rglob("model/model.safetensors")
    return path.read_bytes()


def test_a_paused_run_goes_on_as_if_it_had_never_stopped(seeds: Path, tmp_path: Path) -> None:
    # A schedule shows whether it is resumed, too; weights in the last bit show all else: momenta, random states, data.
    settings = {"maxSteps": 3, "lrSchedulerType": "linear", "learningRate": 1e-3}
    code, _, log = Pod("grpo", grpo_task(seeds, tmp_path / "whole", **settings), tmp_path / "pod").run()
    assert code == 0, log
    task = grpo_task(seeds, tmp_path / "out", **settings)
    task["work"]["checkpoint"]["everySteps"] = 10
    # The policy differs from the base model as soon as it has learnt anything.
    task["work"]["guards"] = {"kl": {"action": "pause", "max": 0, "window": 2}}
    pod = Pod("grpo", task, tmp_path / "pod")
    code, report, log = pod.run()
    assert (code, report.state, report.reason) == (3, "Paused", "KLBlowUp"), log
    assert "set spec.suspend and clear it again to go on" in report.message
    assert report.last_checkpoint is not None
    assert report.last_checkpoint.step == 2
    assert [item.reason for item in report.warnings] == ["KLBlowUp"]
    code, report, log = pod.run()
    assert (code, report.metrics["step"]) == (0, 3), log
    assert "resuming after step 2" in log
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")


def test_a_loss_that_is_no_number_ends_the_run_for_good_and_is_not_saved(seeds: Path, tmp_path: Path) -> None:
    # The second step learns from the first one's generation, with the weights that the first has blown up.
    task = grpo_task(seeds, tmp_path / "out", learningRate=1e30, stepsPerGeneration=2)
    code, report, log = Pod("grpo", task, tmp_path / "pod").run()
    assert (code, report.state, report.reason) == (2, "Failed", "LossNotFinite"), log
    assert "at step 2: lower grpo.learningRate" in report.message
    assert report.last_checkpoint is None
