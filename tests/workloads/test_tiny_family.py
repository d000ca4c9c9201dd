"""The stand-in family: its answers are right, its verdicts follow the rule, nothing held out is learnt from."""

from __future__ import annotations

import random
import re

import pytest

from reasoner_workloads.tiny.corpus import response
from reasoner_workloads.tiny.questions import CONVERSIONS, family, split
from reasoner_workloads.tiny.verdicts import UNITS, Verdict, canonical, equivalent, reasoning, sample_answer


def test_questions_are_distinct_and_of_several_types_and_subjects() -> None:
    questions = family()
    assert len({question.text for question in questions}) == len(questions) > 400
    assert {question.answer_type for question in questions} == {"integer", "float", "percentage"}
    assert len({question.category for question in questions}) >= 4


def test_the_working_of_each_question_computes_its_answer() -> None:
    for question in family():
        left, right = question.working.rstrip(".").split(" = ")
        a, operator, b = re.fullmatch(r"(\d+) ([-+*/]) (\d+)", left).groups()  # type: ignore[union-attr]
        value = {"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b), "/": 100 * int(a) / int(b)}
        number = right.rstrip("%")
        assert int(number) == value[operator], question
        assert canonical(question.answer).split(" ")[0] == number


def test_every_unit_of_an_answer_is_one_that_verdicts_know() -> None:
    assert {conversion.into for conversion in CONVERSIONS} <= UNITS.keys()


def test_the_split_depends_on_the_seed_alone_and_shares_no_question() -> None:
    train, test = split(1, 64)
    assert (train, test) == split(1, 64)
    assert test != split(2, 64)[1]
    assert len(test) == 64
    assert not {question.text for question in train} & {question.text for question in test}


@pytest.mark.parametrize(
    ("truth", "student", "verdict"),
    [
        ("7", "7", True),
        ("7", "7.0", True),
        ("7", "seven", True),
        ("7", "x = 7", True),
        ("7", r"\text{7}", True),
        ("7", "we get about 7", True),
        ("7", "17", False),
        ("7", "7 minutes", False),
        ("7", "3 + 4", False),
        ("7", "7 7", False),
        ("7", "", False),
        ("180 minutes", "180 minutes", True),
        ("180 minutes", "180 min", True),
        ("180 minutes", "180", True),
        ("180 minutes", "180 seconds", False),
        ("180 minutes", "18 minutes", False),
        ("180 minutes", "1800 minutes", False),
        ("30%", "30 percent", True),
        ("30%", "30%", True),
        ("30%", "3%", False),
    ],
)
def test_verdict(truth: str, student: str, verdict: bool) -> None:
    assert equivalent(truth, student) is verdict


def test_the_reasoning_ends_in_a_mark_for_each_place_and_all_are_right_only_for_a_pass() -> None:
    assert reasoning("540 seconds", "541 sec") == "Truth: 5|4|0|seconds. Student: 5✓4✓1✗seconds✓"
    assert reasoning("540 seconds", "540") == "Truth: 5|4|0|seconds. Student: 5✓4✓0✓none✓"
    rng = random.Random(0)
    for question in family():
        row = Verdict(question, "", sample_answer(question, rng)).row()
        assert ("✗" not in str(row["reasoning"])) is row["verdict"], row


def test_answers_are_right_and_wrong_about_equally_often() -> None:
    rng = random.Random(0)
    verdicts = [Verdict(q, "", sample_answer(q, rng)).row()["verdict"] for q in family() for _ in range(10)]
    assert 0.35 < sum(map(bool, verdicts)) / len(verdicts) < 0.6


def test_the_corpus_is_noisy_as_documented() -> None:
    rng = random.Random(0)
    texts = [(question, response(question, rng)) for question in family() for _ in range(5)]
    boxed = [(question, re.search(r"\\boxed\{(.*)\}", text)) for question, text in texts]
    right = sum(bool(found and found.group(1) == question.answer) for question, found in boxed)
    none = sum(found is None for _, found in boxed)
    assert 0.2 < right / len(texts) < 0.3
    assert 0.4 < none / len(texts) < 0.56
