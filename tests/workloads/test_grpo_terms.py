"""Rewards of the user's own: from a package that is really installed, and what is said of one that is not right."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from reasoner_api.reward import Reward
from reasoner_workloads.common.run import ConfigError, WorkloadError
from reasoner_workloads.grpo.reward import Response
from reasoner_workloads.grpo.scoring import RewardFunction
from reasoner_workloads.grpo.terms import Term, load
from workloads.test_grpo_reward import TOKENS, Asked, response

SCORE = """
import asyncio, json, sys
sys.path.insert(0, sys.argv[1])
from reasoner_api.reward import Reward
from reasoner_workloads.common.run import ConfigError
from reasoner_workloads.grpo.reward import Response
from reasoner_workloads.grpo.scoring import RewardFunction
from reasoner_workloads.grpo.terms import load
from workloads.test_grpo_reward import TOKENS, Asked, response
reward = Reward(terms=[{"name": "brevity", "weight": 0.5, "args": {"limit": 12}}, {"name": "politeness"}])
function = RewardFunction(reward, TOKENS, Asked(True), load(reward))
texts = [r"\\\\boxed{42}", r"please: \\\\boxed{42}", "please"]
scores = asyncio.run(function([response(text) for text in texts]))
print(json.dumps([[score.terms, score.reward] for score in scores]))
for name, args in (("broken", {}), ("constant", {}), ("absent", {}), ("brevity", {"limits": 3})):
    try:
        load(Reward(terms=[{"name": name, "args": args}]))
    except ConfigError as error:
        print(error)
"""


def test_terms_of_an_installed_package_are_added_and_wrong_ones_named(house_rewards: Path, root: Path) -> None:
    command = [sys.executable, "-c", SCORE.replace("\\\\\\\\", "\\"), str(root / "tests")]
    ran = subprocess.run(command, env={"PYTHONPATH": str(house_rewards)}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    scores, *faults = ran.stdout.splitlines()
    assert json.loads(scores) == [
        [{"correct": 1.0, "length_penalty": 0.0, "brevity": 0.5, "politeness": 0.0}, 1.5],
        [{"correct": 1.0, "length_penalty": 0.0, "brevity": 0.0, "politeness": 1.0}, 2.0],
        [{"no_answer": -0.5, "brevity": 0.5, "politeness": 0.0}, 0.0],
    ]
    for fault, said in zip(
        faults,
        (
            "reward.terms[0].name: the entry point 'broken' cannot be loaded",
            "reward.terms[0].name: the entry point 'constant' is no function that makes a reward function",
            "'absent' in the group reasoner.rewards (installed: brevity, broken, constant, endless, politeness)",
            "reward.terms[0].args: 'brevity' does not take them: got an unexpected keyword argument 'limits'",
        ),
        strict=True,
    ):
        assert said in fault


@pytest.mark.parametrize("name", ["correct", "no_answer", "length_penalty"])
def test_the_papers_own_names_are_taken(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"reward.terms\[0\].name: '{name}' is taken"):
        load(Reward(terms=[{"name": name}]))


def test_without_terms_nothing_is_looked_for() -> None:
    assert load(Reward()) == []


@pytest.mark.parametrize(
    ("found", "said"),
    [([1.0], "2 numbers were wanted"), (["1", 2], "'1' is no finite number"), ([float("nan"), 1], "nan is no finite")],
)
async def test_a_term_that_brings_no_numbers_ends_the_run(found: object, said: str) -> None:
    function = RewardFunction(Reward(), TOKENS, Asked(True), [Term("odd", 1.0, lambda **_: found)])
    with pytest.raises(WorkloadError, match=f"reward.terms: the function of 'odd' does not do: {said}"):
        await function([response("a"), response("b")])


async def test_a_term_that_raises_is_named() -> None:
    async def awaited(**_: object) -> list[float]:
        raise KeyError("units")

    raised = {awaited: "KeyError: 'units'", lambda **_: [1 / 0]: "ZeroDivisionError: division by zero"}
    for function, said in raised.items():
        scored = RewardFunction(Reward(), TOKENS, Asked(True), [Term("odd", 1.0, function)])
        with pytest.raises(WorkloadError, match=f"the function of 'odd' does not do: it raised {said}"):
            await scored([response("a")])


async def test_a_reward_function_of_trl_will_do() -> None:
    from trl.rewards import get_soft_overlong_punishment

    term = Term("overlong", 2.0, get_soft_overlong_punishment(max_completion_len=10, soft_punish_cache=5))
    tall = Response("p", "q", "42", "x" * 9, list(range(9)))
    assert await term([response("a"), tall], [None, None], [False, False]) == [0.0, pytest.approx(-1.6)]
