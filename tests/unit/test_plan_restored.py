"""What a Job at work stands on is made again where somebody has deleted it, whatever has changed since."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reasoner_operator.plan import plan
from reasoner_operator.seen import Patch, Seen
from reasoner_operator.settings import Settings
from support.objects import DIGEST, NOW, seen

GROUP: dict[str, Any] = {
    "verifier": {"rules": {}},
    "dataset": {"uri": "s3://models/q", "digest": DIGEST},
    "compute": {"nodes": 2},
}
AT_WORK: dict[str, Seen] = {"shards": seen("CurationJob"), "a process group": seen("GRPORun", GROUP)}


def begun(what: Seen) -> tuple[Seen, list[dict[str, Any]]]:
    """The object with all that its start makes, and what that is."""
    *standing, job = (dict(item) for item in plan(what, Settings(), NOW).apply)
    services = tuple(item for item in standing if item["kind"] == "Service")
    return replace(what, job=job, config_maps=(standing[0],), services=services), standing


@pytest.mark.parametrize("sentence", AT_WORK)
def test_what_is_there_is_left_alone(sentence: str) -> None:
    there, _ = begun(AT_WORK[sentence])
    assert (plan(there, Settings(), NOW).apply, plan(there, Settings(), NOW).patch) == ((), ())


@pytest.mark.parametrize("sentence", AT_WORK)
def test_what_is_gone_is_made_again_as_it_was(sentence: str) -> None:
    there, standing = begun(AT_WORK[sentence])
    bare = replace(there, config_maps=(), services=())
    # Other settings by now: what the Job reads stays what it was.
    settings = Settings.model_validate({"images": {"trainer": "example.com/other:1"}, "progressSeconds": 1})
    assert list(plan(bare, settings, NOW).apply) == standing


def test_a_job_that_has_ended_needs_nothing_more() -> None:
    there, _ = begun(AT_WORK["shards"])
    ended = {"conditions": [{"type": "Failed", "status": "True", "lastTransitionTime": "2026-01-02T03:04:05Z"}]}
    over = replace(there, job={**(there.job or {}), "status": ended}, config_maps=())
    assert plan(over, Settings(), NOW).apply == ()


def test_a_group_of_which_somebody_runs_a_part_is_made_whole() -> None:
    there, _ = begun(AT_WORK["a process group"])
    job = there.job or {}
    fewer = replace(there, job={**job, "spec": {**job["spec"], "parallelism": 1}})
    assert plan(fewer, Settings(), NOW).patch == (
        Patch("batch/v1", "Job", job["metadata"]["name"], {"spec": {"parallelism": 2}}),
    )
