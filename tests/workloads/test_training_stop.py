"""When a run stops that has been told to, or that has told itself to."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from transformers import TrainerControl, TrainerState

from reasoner_workloads.common.run import Paused, Terminated
from reasoner_workloads.training.callbacks import Watch
from reasoner_workloads.training.stop import Stop

#: What happened -> whether to go on (0), stop at the next point that the run resumes from (1) or after this step (2).
URGENCIES = {
    "nothing": ({}, 0),
    "a pause of its own": ({"pause": Paused("the KL is 9")}, 1),
    "SIGTERM a moment ago": ({"asked": True, "since": 90.0}, 1),
    "SIGTERM, and the time is nearly up": ({"asked": True, "since": 30.0}, 2),
    "SIGTERM in a pause": ({"asked": True, "since": 30.0, "pause": Paused("the KL is 9")}, 2),
}


@pytest.mark.parametrize("sentence", URGENCIES)
def test_how_urgent_it_is(sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fields, expected = URGENCIES[sentence]
    monkeypatch.setattr("reasoner_workloads.training.stop.time.monotonic", lambda: 100.0)
    assert Stop(**fields).urgency(60.0) == expected


def test_outside_of_training_there_is_nothing_to_wait_for() -> None:
    stop = Stop()
    with pytest.raises(Terminated):
        stop()
    stop.training = True
    stop()
    assert stop.asked


#: What happened at the last step's end, at 100 seconds -> when the process must be gone, of a grace period of 120.
LEAVINGS = {
    "nothing": ({}, 0, math.inf),
    "a pause of its own": ({"pause": Paused("the KL is 9")}, 1, math.inf),
    "SIGTERM": ({"asked": True, "since": 90.0}, 1, 200.0),
    "another of the group was told to stop": ({}, 1, 210.0),
}


@pytest.mark.parametrize("sentence", LEAVINGS)
def test_until_when_the_other_nodes_are_waited_for(sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fields, urgency, expected = LEAVINGS[sentence]
    monkeypatch.setattr("reasoner_workloads.training.callbacks.time.monotonic", lambda: 100.0)
    monkeypatch.setattr("reasoner_workloads.training.callbacks.Watch._advance", lambda *_: None)
    checkpoints = SimpleNamespace(world=SimpleNamespace(most=lambda _: urgency))
    watch = Watch(None, checkpoints, Stop(**fields), {}, patience=60.0)  # type: ignore[arg-type]
    state = TrainerState(global_step=1, max_steps=9)
    watch.on_step_end(None, state, TrainerControl())  # type: ignore[arg-type]
    assert watch.leave_by() == expected
