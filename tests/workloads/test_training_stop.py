"""When a run stops that has been told to, or that has told itself to."""

from __future__ import annotations

import pytest

from reasoner_workloads.common.run import Paused, Terminated
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
