"""The reward, case by case, written from the paper's text (General-Reasoner, section 3.3) and not from the code: from a
whole response to the answer that is judged and the number that is learnt from. Then the terms added to it, and the
function as TRL calls it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet
import pytest

from reasoner_api.reward import Reward
from reasoner_workloads.common.store import open_store
from reasoner_workloads.grpo.judging import Case
from reasoner_workloads.grpo.reward import Response, Score, Tokens, answer_of
from reasoner_workloads.grpo.scoring import RewardFunction
from reasoner_workloads.grpo.training_reward import Record, TrainingReward

#: A tokenizer whose tokens are bytes, as those of byte-level BPE are in the end: a letter with an accent is two.
TOKENS = Tokens(encode=lambda text: text.encode(), decode=lambda ids: bytes(ids).decode(errors="replace"))
LONG = "We add one and one. " * 100


@dataclass(frozen=True)
class Given:
    """A response, whether the verifier passes its answer, and what the paper's text makes of it."""

    response: str
    answer: str | None
    reward: float
    truth: str = "42"
    right: bool = True


CASES: dict[str, Given] = {
    # The box.
    "a box": Given(r"So \boxed{42}.", "42", 1.0),
    "a box with spaces inside": Given(r"So \boxed{ 42 }.", "42", 1.0),
    "a box with a space before its brace": Given(r"So \boxed {42}.", "42", 1.0),
    "a box in dollars": Given(r"So $\boxed{42}$.", "42", 1.0),
    "a box alone": Given(r"\boxed{42}", "42", 1.0),
    "a box at the very start": Given(r"\boxed{42} is what comes out.", "42", 1.0),
    "a box with a line break inside": Given("\\boxed{\n42\n}", "42", 1.0),
    "a box whose word is part of a longer one": Given(r"\boxedanswer{42}", None, -0.5),
    "a word boxed without a backslash": Given("boxed{42}", None, -0.5),
    # Several boxes.
    "the last of two boxes": Given(r"\boxed{41}, no: \boxed{42}", "42", 1.0),
    "the last of three boxes": Given(r"\boxed{1} \boxed{2} \boxed{42}", "42", 1.0),
    "the last box though an earlier one was right": Given(r"\boxed{42} or \boxed{7}", "7", 0.0, right=False),
    "two boxes the same": Given(r"\boxed{42} so \boxed{42}", "42", 1.0),
    "boxes on several lines": Given("First \\boxed{1}\nthen\n\\boxed{42}\nDone.", "42", 1.0),
    "a box in a box is the outer one's content": Given(r"\boxed{\boxed{42}}", r"\boxed{42}", 0.6),
    # Nesting.
    "one brace deep": Given(r"\boxed{\sqrt{2}}", r"\sqrt{2}", 1.0, r"\sqrt{2}"),
    "two braces deep": Given(r"\boxed{\frac{\sqrt{2}}{2}}", r"\frac{\sqrt{2}}{2}", 1.0, r"\frac{\sqrt{2}}{2}"),
    "three braces deep": Given(r"\boxed{\frac{\sqrt{x^{2}}}{2}}", r"\frac{\sqrt{x^{2}}}{2}", 0.5, "1"),
    "four braces deep are not extracted": Given(r"\boxed{\a{\b{\c{\d{1}}}}}", None, -0.5),
    "four deep falls back on the box before": Given(r"\boxed{42} and \boxed{\a{\b{\c{\d{1}}}}}", "42", 1.0),
    "four deep falls back on a phrase": Given("\\boxed{\\a{\\b{\\c{\\d{1}}}}}\nFinal answer: 42", "42", 1.0),
    "braces side by side": Given(r"\boxed{\frac{1}{2}}", r"\frac{1}{2}", 1.0, r"\frac{1}{2}"),
    "escaped braces do not nest": Given(r"\boxed{\{1, 2\}}", r"\{1, 2\}", 1.0, r"\{1, 2\}"),
    "a matrix": Given(
        r"\boxed{\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}}",
        r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
        1.0,
        r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
    ),
    "text within the box": Given(r"\boxed{\text{Paris}}", r"\text{Paris}", 0.65, "Paris"),
    # Empty and broken boxes.
    "an empty box": Given(r"\boxed{}", None, -0.5),
    "a box of spaces": Given(r"\boxed{   }", None, -0.5),
    "an empty box after a full one": Given(r"\boxed{42}. It goes into \boxed{}.", "42", 1.0),
    "an empty box before a phrase": Given("\\boxed{}\nThe answer is 42.", "42", 1.0),
    "a box that never closes": Given(r"So \boxed{42", None, -0.5),
    "a box whose inner brace never closes": Given(r"So \boxed{\frac{1}{2}", None, -0.5),
    "an open box after a closed one": Given(r"\boxed{42} so \boxed{43", "42", 1.0),
    "an open box and a phrase": Given("So \\boxed{43\nAnswer: 42", "42", 1.0),
    "a box with parentheses": Given(r"\boxed(42)", None, -0.5),
    # The phrases, where there is no box.
    "final answer": Given("Final Answer: 42", "42", 1.0),
    "final answer is": Given("So the final answer is 42.", "42", 1.0),
    "the answer is": Given("So the answer is 42.", "42", 1.0),
    "the answer is, with a colon": Given("The answer is: 42", "42", 1.0),
    "answer": Given("Answer: 42", "42", 1.0),
    "solution": Given("Solution: 42", "42", 1.0),
    "in capitals": Given("FINAL ANSWER: 42", "42", 1.0),
    "in lower case": Given("final answer: 42", "42", 1.0),
    "in bold": Given("**Final Answer:** 42", "42", 1.0),
    "in dollars": Given("The answer is $42$.", "42", 1.0),
    "on the line below": Given("Final Answer:\n42", "42", 1.0),
    "the last of several lines": Given("The answer is 1.\nNo.\nThe answer is 42.", "42", 1.0),
    "the last line though others follow": Given("The answer is 42.\nI hope it helps.", "42", 1.0),
    "the last phrase of a line": Given("The answer is easy, final answer: 42", "42", 1.0),
    "a box before a phrase wins": Given("\\boxed{42}\nFinal answer: 7", "42", 1.0),
    "a box after a phrase wins": Given("Final answer: 7\n\\boxed{42}", "42", 1.0),
    "a decimal keeps its point": Given("Answer: 3.14", "3.14", 1.0, "3.14"),
    "a sentence loses its full stop": Given("The answer is 3.14.", "3.14", 1.0, "3.14"),
    "an option": Given("The answer is (B).", "(B)", 0.9, "B"),
    "a quantity": Given("The answer is 4.9 J.", "4.9 J", 0.85, "4.9 N·m"),
    # No answer.
    "nothing": Given("", None, -0.5),
    "white space": Given(" \n ", None, -0.5),
    "a thought without an answer": Given("Let us think step by step about it.", None, -0.5),
    "a number that nothing introduces": Given("It comes to 42.", None, -0.5),
    "the word answer in passing": Given("I cannot answer this question.", None, -0.5),
    "a phrase with nothing behind it": Given("The answer is", None, -0.5),
    "a question about the answer": Given("What could the solution be", None, -0.5),
    "no answer though the verifier would pass anything": Given("Well.", None, -0.5, right=True),
    # The verdict.
    "wrong": Given(r"\boxed{43}", "43", 0.0, right=False),
    "wrong and of another length": Given(r"\boxed{4300000}", "4300000", 0.0, right=False),
    "wrong by a phrase": Given("The answer is 43.", "43", 0.0, right=False),
    "wrong and huge": Given(r"\boxed{" + "9" * 500 + "}", "9" * 500, 0.0, right=False),
    "right though written otherwise": Given(r"\boxed{6 \cdot 7}", r"6 \cdot 7", 0.65),
    # The length, in tokens of the policy's tokenizer.
    "one token longer": Given(r"\boxed{420}", "420", 0.95),
    "one token shorter": Given(r"\boxed{4}", "4", 0.95),
    "nine tokens longer": Given(r"\boxed{" + "4" * 11 + "}", "4" * 11, 0.55),
    "ten tokens longer": Given(r"\boxed{" + "4" * 12 + "}", "4" * 12, 0.5),
    "eleven tokens longer count as ten": Given(r"\boxed{" + "4" * 13 + "}", "4" * 13, 0.5),
    "five hundred tokens longer count as ten": Given(r"\boxed{" + "4" * 502 + "}", "4" * 502, 0.5),
    "ten tokens shorter": Given(r"\boxed{42}", "42", 0.5, "4" * 12),
    "far shorter counts as ten": Given(r"\boxed{42}", "42", 0.5, "4" * 300),
    "spaces within count": Given(r"\boxed{4 + 8t}", "4 + 8t", 0.8, "x = 4 + 8t"),
    "dress counts": Given(r"\boxed{\frac12}", r"\frac12", 0.8, "1/2"),
    "the response's own length does not count": Given(LONG + r"\boxed{42}", "42", 1.0),
    "an empty ground truth": Given(r"\boxed{42}", "42", 0.9, ""),
    # Only the last 1,024 tokens are looked at.
    "a box just inside": Given(r"\boxed{42}" + "." * 1014, "42", 1.0),
    "a box cut by one token": Given(r"\boxed{42}" + "." * 1015, None, -0.5),
    "a box long before": Given(r"\boxed{42}" + "." * 5000, None, -0.5),
    "a phrase long before": Given("The answer is 42.\n" + "." * 5000, None, -0.5),
    "an answer as long as can be": Given(r"\boxed{" + "9" * 1016 + "}", "9" * 1016, 0.5),
    "an answer longer than that is never extracted": Given(r"\boxed{" + "9" * 1017 + "}", None, -0.5),
    "a cut box and a whole one": Given(r"\boxed{" + "9" * 1017 + r"} \boxed{42}", "42", 1.0),
    "an early box out of sight and a phrase in sight": Given(r"\boxed{7}" + "." * 2000 + "\nAnswer: 42", "42", 1.0),
    "cut off by the response limit before the box": Given(LONG * 2, None, -0.5),
    "cut off by the response limit within the box": Given(LONG + r"\boxed{\frac{4", None, -0.5),
    "cut off right behind the box": Given(LONG + r"\boxed{42}", "42", 1.0),
    "cut off after a phrase": Given(LONG + "\nFinal answer:", None, -0.5),
    "a letter cut in half at the edge": Given("é" * 600 + r"\boxed{42}.", "42", 1.0),
    # Other languages.
    "Chinese in a box": Given(r"所以 \boxed{四十二}", "四十二", 1.0, "四十二"),
    "Chinese around a box": Given(r"因此答案为 \boxed{42}。", "42", 1.0),
    "Arabic in a box": Given(r"\boxed{اثنان وأربعون}", "اثنان وأربعون", 1.0, "اثنان وأربعون"),
    "Cyrillic in a box": Given(r"Ответ: \boxed{да}", "да", 1.0, "да"),
    "an accent is a token more": Given(r"\boxed{Bézout}", "Bézout", 0.95, "Bezout"),
    "an emoji is four tokens": Given(r"\boxed{👍}", "👍", 0.9, "ok"),
    "a phrase, then another script": Given("The answer is 東京.", "東京", 1.0, "東京"),
    "phrases are English: in another language nothing is introduced": Given("La réponse est 42.", None, -0.5),
    "a wide colon": Given("Answer：42", "42", 1.0),
    "Greek letters": Given(r"\boxed{π/2}", "π/2", 0.95, r"\pi/2"),
    "right to left around a box": Given("הפתרון \\boxed{42} הוא", "42", 1.0),
}


class Asked:
    """A judge that says the same of every answer, and remembers what it was asked."""

    def __init__(self, *verdicts: bool | None) -> None:
        self.verdicts = verdicts
        self.cases: list[Case] = []
        self.called = asyncio.Event()

    async def judge(self, cases: Sequence[Case]) -> list[bool | None]:
        self.cases += cases
        self.called.set()
        return [self.verdicts[place % len(self.verdicts)] for place in range(len(cases))]

    async def close(self) -> None:
        return None


def response(text: str, truth: str = "42", question: str = "6 * 7?") -> Response:
    return Response(f"{question}\nThink.", question, truth, text, list(text.encode()))


@pytest.mark.parametrize("given", CASES.values(), ids=CASES.keys())
async def test_the_papers_reward(given: Given) -> None:
    asked = Asked(given.right)
    (score,) = await RewardFunction(Reward(), TOKENS, asked)([response(given.response, given.truth)])
    assert score.answer == given.answer
    assert score.reward == pytest.approx(given.reward)
    # The short answer is what the verifier sees, and nothing where there is none.
    assert asked.cases == ([] if given.answer is None else [Case("6 * 7?", given.truth, given.answer)])


def test_the_table_is_as_long_as_it_should_be() -> None:
    assert len(CASES) >= 100


async def scored(text: str, verdict: bool | None, reward: Reward) -> Score:
    return (await RewardFunction(reward, TOKENS, Asked(verdict))([response(text)]))[0]


async def test_every_number_of_the_reward_is_the_specs() -> None:
    reward = Reward(no_answer=-1, length_penalty=0.1, max_length_difference=2)
    assert (await scored("hm", True, reward)).terms == {"no_answer": -1}
    assert (await scored(r"\boxed{42000}", True, reward)).terms == {
        "correct": 1.0,
        "length_penalty": pytest.approx(-0.2),
    }
    assert (await scored(r"\boxed{43}", False, reward)).terms == {}
    ids = rf"\boxed{{7}} {'x' * 50}".encode()
    assert answer_of(ids, TOKENS, Reward(extraction_window=60)) == "7"
    assert answer_of(ids, TOKENS, Reward(extraction_window=50)) is None


async def test_without_a_verdict_there_is_no_reward() -> None:
    score = await scored(r"\boxed{42}", None, Reward())
    assert (score.answer, score.verdict, score.reward) == ("42", None, None)


async def test_trl_is_given_rewards_figures_and_everything_is_kept(tmp_path: Path) -> None:
    asked, metrics = Asked(True, False, None), {}
    record = Record(
        open_store(tmp_path.as_uri()), 0, most=4, version=lambda step: step, question_ids={"2 + 3?": "q1"}, warn=print
    )
    function = TrainingReward(RewardFunction(Reward(), TOKENS, asked), record)
    texts = [r"so \boxed{50}", r"so \boxed{6}", r"so \boxed{hm}", "so it is"]
    rewards = await function(
        prompts=["2 + 3?\nThink."] * 4,
        completions=texts,
        completion_ids=[list(text.encode()) for text in texts],
        question=["2 + 3?"] * 4,
        answer=["5"] * 4,
        trainer_state=SimpleNamespace(global_step=7),
        log_metric=metrics.__setitem__,
    )
    assert rewards == [0.95, 0.0, None, -0.5]
    assert asked.cases == [Case("2 + 3?", "5", "50"), Case("2 + 3?", "5", "6"), Case("2 + 3?", "5", "hm")]
    assert metrics == {
        "accuracy": 0.25,
        "extraction_failures": 0.25,
        "verifier_undecided": 0.25,
        "reward_term/no_answer": -0.125,
        "reward_term/correct": 0.25,
        "reward_term/length_penalty": pytest.approx(-0.0125),
    }
    kept = pyarrow.parquet.read_table(tmp_path / "completions" / "train-step-00000007-rank-0000.parquet").to_pylist()
    assert kept[3] == {
        "step": 7,
        "policy_version": 7,
        "question_id": "q1",
        "question": "2 + 3?",
        "ground_truth": "5",
        "response": "so it is",
        "tokens": 8,
        "answer": None,
        "verdict": False,
        "reward": -0.5,
        "terms": [("no_answer", -0.5)],
    }
    assert [row["reward"] for row in kept] == rewards


async def test_a_generation_whose_scoring_has_begun_is_not_scored_again(tmp_path: Path) -> None:
    """The verifier is asked while the trainer still computes log-probabilities."""
    asked, text = Asked(True), r"\boxed{42}"
    record = Record(open_store(tmp_path.as_uri()), 0, 4, lambda step: step, {}, print)
    function = TrainingReward(RewardFunction(Reward(), TOKENS, asked), record)
    row = {"prompt": "p", "question": "6 * 7?", "answer": "42"}
    function.begin([row], [text], [list(text.encode())], asyncio.get_running_loop())
    await asked.called.wait()
    columns = {name: [value] for name, value in row.items()}
    rewards = await function(
        prompts=columns.pop("prompt"),
        completions=[text],
        completion_ids=[list(text.encode())],
        **columns,
        trainer_state=SimpleNamespace(global_step=0),
        log_metric=lambda name, value: None,
    )
    assert rewards == [1.0]
    assert asked.cases == [Case("6 * 7?", "42", "42")]
