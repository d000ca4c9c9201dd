"""A status that somebody else has written, or has taken a part of away: it is no source of truth while there is a Job,
and no plan trips over it."""

from __future__ import annotations

from typing import Any

import pytest

from reasoner_api.report import RunReport
from reasoner_api.status import Artifact, Progress
from reasoner_operator.plan import plan
from reasoner_operator.seen import Seen
from reasoner_operator.settings import Settings
from support.objects import DIGEST, NOW, job, pod, seen

TRAINED = RunReport(
    state="Succeeded",
    complete=True,
    metrics={"agreement": 0.93, "step": 3, "reward": 0.5},
    artifacts={name: Artifact(uri="s3://m", digest=DIGEST) for name in ("model", "dataset")},
)
FAILED = RunReport(state="Failed", reason="BadConfig", message="training.args.foo: unknown argument")
AT_WORK = RunReport(progress=Progress(percent=40), metrics={"step": 2, "max_steps": 9, "reward": 0.1})

#: sentence -> what is seen, but for the object's status
STATES: dict[str, dict[str, Any]] = {
    "nothing made yet": {},
    "at work": {"job": job(), "pods": (pod("demo-0"),), "live": {"demo-0": AT_WORK}},
    "paused": {"job": job("Suspended", spec={"suspend": True})},
    "succeeded": {"job": job("Complete"), "pods": (pod("demo-0", TRAINED),)},
    "failed": {"job": job("Failed"), "pods": (pod("demo-0", FAILED),)},
}
KINDS = ("CurationJob", "VerifierTraining", "GRPORun")
LIES: dict[str, Any] = {
    "phase": "Suspended",
    "conditions": [],
    "progress": {},
    "artifacts": {},
    "job": "another",
    "observedGeneration": 99,
}


def look(kind: str, sentence: str, status: dict[str, Any] | None) -> Seen:
    return seen(kind, status=status, **STATES[sentence])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sentence", STATES)
def test_a_field_that_is_taken_away_or_made_up_is_put_right(kind: str, sentence: str) -> None:
    truth = plan(look(kind, sentence, None), Settings(), NOW).status
    for field in sorted({*truth, *LIES}):
        rest = {name: value for name, value in truth.items() if name != field}
        lies = [{**rest, field: LIES[field]}] if field in LIES else []
        for status in (rest, *lies):
            found = plan(look(kind, sentence, status), Settings(), NOW).status
            assert {name: found.get(name) for name in truth} == truth, field


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sentence", ["succeeded", "failed"])
def test_what_is_left_of_the_status_of_a_run_that_is_over_is_kept(kind: str, sentence: str) -> None:
    """Its Job is gone: the status is all there is."""
    over = plan(look(kind, sentence, None), Settings(), NOW).status
    for field in (name for name in over if name not in ("completionTime", "artifacts")):
        rest = {name: value for name, value in over.items() if name != field}
        found = plan(seen(kind, status=rest), Settings(), NOW)
        if kind != "VerifierTraining" or sentence == "failed":
            # What a verifier has left to do is to be served.
            assert found.apply == ()
            assert found.status["phase"] == over["phase"], field
        assert len(found.status["conditions"]) == 3, field
