"""Numbers of a GRPORun that go together, and those that do not."""

from __future__ import annotations

import re
from typing import Any

import pytest

from reasoner_api.grpo import GRPORunSpec
from reasoner_operator.plan.generation import Generation, Uneven, check, faults, generation

#: What is set beside the recipe's own, and what is said of 32 processes.
CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "the recipe": ({}, []),
    "a number of completions that does not divide": (
        {"grpo": {"numGenerations": 7}},
        [r"grpo\.numGenerations: 7 does not divide the 8192 completions .*\(perDeviceTrainBatchSize 8 \* .* 32 proc"],
    ),
    "checkpoints within a generation": (
        {"checkpoint": {"everySteps": 10}, "grpo": {"stepsPerGeneration": 24}},
        [r"checkpoint\.everySteps: 10 must be a multiple of 3, the optimizer steps after which"],
    ),
    "more GPUs for a copy of the engine than there are": (
        {"rollout": {"tensorParallelSize": 3}},
        [r"rollout\.tensorParallelSize: 3 does not divide the 32 processes"],
    ),
    "transformers knows no engines": ({"rollout": {"tensorParallelSize": 3, "engine": "transformers"}}, []),
}


def spec(more: dict[str, Any]) -> GRPORunSpec:
    least = {
        "baseModel": "m",
        "dataset": {"uri": "s3://d"},
        "verifier": {"rules": {}},
        "storage": {"uri": "s3://s"},
    }
    return GRPORunSpec.model_validate(least | more)


@pytest.mark.parametrize(("more", "said"), CASES.values(), ids=CASES.keys())
def test_what_does_not_go_together_is_named(more: dict[str, Any], said: list[str]) -> None:
    found = faults(spec(more), 32)
    assert len(found) == len(said)
    assert all(re.match(pattern, one) for one, pattern in zip(found, said, strict=True)), found


def test_the_first_is_raised() -> None:
    check(spec({}), 32)
    with pytest.raises(Uneven, match=r"grpo\.numGenerations"):
        check(spec({"grpo": {"numGenerations": 7}}), 32)


def test_the_sizes_of_the_papers_run() -> None:
    """1024 questions a step, 8 responses each, in four optimizer steps."""
    assert generation(spec({}), 32) == Generation(completions=8192, prompts=1024, passes=32, steps=4.0)
