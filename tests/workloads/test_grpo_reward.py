"""The reward, case by case, and the scorer that TRL calls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet
import pytest

from reasoner_api.reward import Reward
from reasoner_workloads.common.store import open_store
from reasoner_workloads.grpo.reward import Tokens, answer_of, value
from reasoner_workloads.grpo.scoring import Record, Scorer
from reasoner_workloads.grpo.verifier_client import Case

#: A tokenizer whose tokens are characters.
TOKENS = Tokens(count=len, decode=lambda ids: "".join(map(chr, ids)))


@pytest.mark.parametrize(
    ("ground_truth", "answer", "verdict", "expected"),
    {
        "no answer": ("42", None, False, -0.5),
        "no answer, whatever the verdict": ("42", None, True, -0.5),
        "wrong": ("42", "43", False, 0.0),
        "wrong and long": ("42", "4" * 40, False, 0.0),
        "right": ("42", "42", True, 1.0),
        "right, one token longer": ("42", "420", True, 0.95),
        "right, one token shorter": ("42", "4", True, 0.95),
        "right, ten tokens longer": ("42", "4" * 12, True, 0.5),
        "right, beyond the cap": ("42", "4" * 500, True, 0.5),
    }.values(),
)
def test_the_papers_reward(ground_truth: str, answer: str | None, verdict: bool, expected: float) -> None:
    assert value(ground_truth, answer, verdict, TOKENS, Reward()) == pytest.approx(expected)


def test_every_number_of_the_reward_is_the_specs() -> None:
    reward = Reward(no_answer=-1, length_penalty=0.1, max_length_difference=2)
    assert value("1", None, False, TOKENS, reward) == -1
    assert value("1", "12345", True, TOKENS, reward) == pytest.approx(0.8)


def test_only_the_end_of_a_response_is_searched() -> None:
    text = r"\boxed{7} " + "x" * 50
    ids = [ord(char) for char in text]
    assert answer_of(ids, TOKENS, Reward()) == "7"
    assert answer_of(ids, TOKENS, Reward(extraction_window=50)) is None
    huge = [ord(char) for char in r"\boxed{" + "9" * 2000 + "}"]
    assert answer_of(huge, TOKENS, Reward()) is None


class Asked:
    """A judge that passes what equals the truth, and remembers what it was asked."""

    def __init__(self) -> None:
        self.cases: list[Case] = []

    async def judge(self, cases: Sequence[Case]) -> list[bool]:
        self.cases += cases
        return [case.ground_truth == case.answer for case in cases]

    async def close(self) -> None:
        return None


async def test_the_scorer_asks_about_answers_alone_and_keeps_everything(tmp_path: Path) -> None:
    asked, metrics = Asked(), {}
    record = Record(open_store(tmp_path.as_uri()), "completions", rank=0)
    scorer = Scorer(lambda: asked, Reward(), TOKENS, record)
    responses = [r"so \boxed{5}", r"so \boxed{6}", "so it is"]
    rewards = await scorer(
        prompts=["?"] * 3,
        completions=responses,
        completion_ids=[[ord(char) for char in text] for text in responses],
        question=["2 + 3?"] * 3,
        answer=["5"] * 3,
        split=["train"] * 3,
        trainer_state=SimpleNamespace(global_step=7),
        log_metric=metrics.__setitem__,
    )
    assert rewards == [1.0, 0.0, -0.5]
    assert asked.cases == [Case("2 + 3?", "5", "5"), Case("2 + 3?", "5", "6")]
    assert metrics == {"accuracy": pytest.approx(1 / 3), "extraction_failures": pytest.approx(1 / 3)}
    kept = pyarrow.parquet.read_table(tmp_path / "completions" / "train-step-00000007-rank-0000.parquet").to_pylist()
    assert kept[2] == {
        "question": "2 + 3?",
        "ground_truth": "5",
        "response": "so it is",
        "answer": None,
        "verdict": False,
        "reward": -0.5,
    }
