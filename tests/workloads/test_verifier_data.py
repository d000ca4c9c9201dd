"""Verdicts as training data: the split by question, the prompt, the measures."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from reasoner_api.common import VerifierPrompt
from reasoner_api.verifier import VerifierColumns, VerifierData, VerifierEvaluation
from reasoner_workloads.common.run import ConfigError
from reasoner_workloads.training.inputs import Fetched
from reasoner_workloads.verifier.data import Row, read, usable
from reasoner_workloads.verifier.prompt import ask, check, decided, reply
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
    assert decided(prompt, reply(prompt, "same", True)) is True
    assert decided(prompt, reply(prompt, "not the same", False)) is not True
    assert decided(prompt, "Final Decision") is not True


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Final Decision: No? They are the same.\nFinal Decision: Yes", True),
        ("Final Decision: Yes, it seems. On reflection\nFinal Decision: No", False),
        ("the same", None),
        ("", None),
    ],
)
def test_the_last_decision_counts(text: str, verdict: bool | None) -> None:
    assert decided(VerifierPrompt(), text) is verdict


def test_markers_of_which_one_begins_the_other_are_told_apart() -> None:
    prompt = VerifierPrompt(pass_marker="equal, yes", fail_marker="equal")
    assert (decided(prompt, "equal"), decided(prompt, "equal, yes")) == (False, True)


def test_a_question_that_is_all_but_one_held_out_is_not_learnt_from() -> None:
    text = "Find the mean velocity of a train that covers {} km in 2 hours on its way over the old iron bridge"
    known = [Row(f"{text.format(number)}.", "1", "1", True) for number in range(50)]
    again = [replace(row, question=f"{row.question[:-1]} today?") for row in known]
    parts = split([*known, *again], VerifierEvaluation(holdout=0.1), ALL)
    numbers = [{question.split(" km")[0].split()[-1] for question in {row.question for row in part}}
               for part in (parts.train, parts.held_out)]  # fmt: skip
    assert not numbers[0] & numbers[1]
    assert parts.left_out["leaking"] == 100 - len(parts.train) - len(parts.held_out) > 0


def test_what_is_learnt_from_is_balanced_by_verdict_and_by_answer_type() -> None:
    found = [
        replace(row, answer_type=kind, verdict=number % every == 0)
        for kind, count, every in (("integer", 900, 10), ("list", 30, 2), ("matrix", 30, 2))
        for number, row in enumerate(rows(count, 1))
    ]
    found = [replace(row, question=f"{row.answer_type}: {row.question}") for row in found]
    parts = split(found, VerifierEvaluation(holdout=0.02), VerifierData(max_verdict_ratio=2, max_answer_type_ratio=1.5))
    count = Counter((row.answer_type, row.verdict) for row in parts.train)
    types = Counter(row.answer_type for row in parts.train)
    assert max(count[kind, False] / count[kind, True] for kind in types) <= 2.1
    # Balanced by verdict there are about 270, 30 and 30: their mean, one and a half times, is the most.
    assert 150 < types["integer"] <= 165
    assert min(types["list"], types["matrix"]) > 20, "the rare ones are kept"
    assert parts.left_out["unbalanced"] == 960 - len(parts.train) - len(parts.held_out)


def test_rows_that_teach_nothing_are_left_out_and_counted() -> None:
    good = Row("1 + 1?", "2", "two", True, reasoning="the same")
    torn = replace(good, verdict=False)
    kept, left_out = usable(
        [
            good,
            torn,
            replace(good, question="1 + 2?", ground_truth="3"),
            replace(good, question=" "),
            replace(good, question="2 + 2?", reasoning="No: Final Decision: No"),
        ],
        VerifierPrompt(),
    )
    assert [row.question for row in kept] == ["1 + 2?"]
    assert left_out == {"incomplete": 1, "contradictory": 3}


def test_rows_of_the_users_own_are_read_by_the_columns_that_the_spec_names(tmp_path: Path) -> None:
    mine = [{"q": "1 + 1?", "gold": "2", "answer": "two", "label": word} for word in ("Yes", "no", 1, False)]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, mine)))
    columns = VerifierColumns(question="q", ground_truth="gold", student_answer="answer", verdict="label")
    found = read(Fetched(str(tmp_path), "sha256:0"), columns)
    assert found[0] == Row("1 + 1?", "2", "two", True)
    assert [row.verdict for row in found] == [True, False, True, False]
    mine[2]["label"] = "perhaps"
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, mine)))
    with pytest.raises(ConfigError, match="perhaps"):
        read(Fetched(str(tmp_path), "sha256:0"), columns)
