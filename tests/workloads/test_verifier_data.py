"""Verdicts as training data: the split by question, the prompt, the measures."""

from __future__ import annotations

from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from reasoner_api.common import VerifierPrompt
from reasoner_api.verifier import VerifierColumns, VerifierData, VerifierEvaluation
from reasoner_workloads.common.run import ConfigError
from reasoner_workloads.training.inputs import Fetched
from reasoner_workloads.verifier.data import Row, read
from reasoner_workloads.verifier.prompt import ask, check, passed, reply
from reasoner_workloads.verifier.split import split

#: No row is left out for balance.
ALL = VerifierData(max_verdict_ratio=1000, max_answer_type_ratio=1000)


def rows(questions: int, answers: int) -> list[Row]:
    return [
        Row(
            f"What is  {number} + 1?" if answer % 2 else f"what is {number} + 1?",
            str(number + 1),
            str(answer),
            False,
            "",
        )
        for number in range(questions)
        for answer in range(answers)
    ]


def question_of(row: Row) -> str:
    return " ".join(row.question.lower().split())


def test_no_question_is_both_learnt_from_and_measured_on_however_it_is_spelled() -> None:
    parts = split(rows(40, 6), VerifierEvaluation(holdout=0.1), ALL)
    assert len({question_of(row) for row in parts.held_out}) == 4
    assert not {question_of(row) for row in parts.held_out} & {question_of(row) for row in parts.train}
    assert len(parts.train) + len(parts.held_out) == 240


def test_the_split_does_not_depend_on_the_order_of_the_rows() -> None:
    how = VerifierEvaluation(holdout=0.1, max_rows=10)
    assert split(rows(40, 6), how, ALL).held_out == split(rows(40, 6)[::-1], how, ALL).held_out
    assert len(split(rows(40, 6), how, ALL).held_out) == 10


def test_at_least_one_question_is_held_out_and_one_is_left() -> None:
    assert len(split(rows(3, 1), VerifierEvaluation(holdout=0.001), ALL).held_out) == 1
    with pytest.raises(ConfigError, match="1 questions are too few"):
        split(rows(1, 5), VerifierEvaluation(holdout=0.1), ALL)


def test_a_dataset_of_another_kind_is_the_users_fault(tmp_path: Path) -> None:
    dataset = Fetched(str(tmp_path), "sha256:0")
    with pytest.raises(ConfigError, match=r"holds no data\.parquet"):
        read(dataset, VerifierColumns())
    pyarrow.parquet.write_table(pyarrow.table({"question": ["?"], "verdict": [True]}), tmp_path / "data.parquet")
    with pytest.raises(ConfigError, match="no column ground_truth, student_answer"):
        read(dataset, VerifierColumns())


def test_values_go_into_the_template_as_they_are() -> None:
    prompt = VerifierPrompt(template=r"\boxed{} {question}|{ground_truth}|{student_answer}")
    assert ask(prompt, "{ground_truth}?", "{x}", r"\frac{1}{2}") == r"\boxed{} {ground_truth}?|{x}|\frac{1}{2}"


def test_a_template_that_leaves_something_out_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"prompt\.template: it does not contain \{student_answer\}"):
        check(VerifierPrompt(template="{question} {ground_truth}"))


def test_a_reply_is_read_as_it_was_taught() -> None:
    prompt = VerifierPrompt()
    assert reply(prompt, " same ", True) == " same\nFinal Decision: Yes"
    assert passed(prompt, reply(prompt, "same", True))
    assert not passed(prompt, reply(prompt, "not the same", False))
    assert not passed(prompt, "Final Decision")
