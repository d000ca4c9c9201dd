"""A benchmark's file: what becomes of its rows, and what is said of one that will not do."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from reasoner_api.grpo import GRPOWork
from reasoner_workloads.common.run import ConfigError
from reasoner_workloads.grpo.benchmark import read

ROWS = [{"question": "2 + 3?", "answer": 5}, {"question": "3 + 3?", "answer": "6"}]
CHOICES = [{"q": "Which?", "a": 1, "c": ["red", "blue"]}, {"q": "Who?", "a": "A", "c": ["Ann", "Bob"]}]


def asked(folder: Path, file: str, **benchmark: Any) -> list[dict[str, str]]:
    storage = {"uri": folder.as_uri()}
    uri = f"{folder.as_uri()}/{file}"
    evaluation = {"benchmarks": [{"name": "maths", "uri": uri, **benchmark}]}
    work = GRPOWork.model_validate({"baseModel": "m", "storage": storage, "evaluation": evaluation})
    return read(0, work.evaluation.benchmarks[0], folder / "own", work, len).rows


def lines(path: Path, rows: list[Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n\n" for row in rows))


def test_rows_are_questions_with_the_instruction_and_their_answers(tmp_path: Path) -> None:
    lines(tmp_path / "maths.jsonl", ROWS)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([ROWS[1]]), tmp_path / "maths.parquet")
    rows = asked(tmp_path, "maths.jsonl")
    assert [(row["question"], row["answer"]) for row in rows] == [("2 + 3?", "5"), ("3 + 3?", "6")]
    assert rows[0]["prompt"].startswith("2 + 3?\nPlease reason step by step")
    assert asked(tmp_path, "maths.jsonl", limit=1) == rows[:1]
    assert asked(tmp_path, "maths.parquet") == rows[1:]


def test_choices_follow_the_question_with_letters_and_a_position_becomes_one(tmp_path: Path) -> None:
    lines(tmp_path / "who.jsonl", CHOICES)
    rows = asked(tmp_path, "who.jsonl", columns={"question": "q", "answer": "a", "options": "c"})
    assert [(row["question"], row["answer"]) for row in rows] == [
        ("Which?\nA. red\nB. blue", "B"),
        ("Who?\nA. Ann\nB. Bob", "A"),
    ]


def test_a_prompt_that_is_too_long_shows_before_the_first_step(tmp_path: Path) -> None:
    lines(tmp_path / "maths.jsonl", [*ROWS, {"question": "9" * 2000, "answer": "9"}])
    with pytest.raises(ConfigError, match=r"benchmarks\[0\]: .*5.* has a prompt of 2\d{3} tokens: raise grpo.maxProm"):
        asked(tmp_path, "maths.jsonl")
    assert len(asked(tmp_path, "maths.jsonl", limit=2)) == 2


def test_a_digest_is_held_to(tmp_path: Path) -> None:
    lines(tmp_path / "maths.jsonl", ROWS)
    digest = f"sha256:{hashlib.sha256((tmp_path / 'maths.jsonl').read_bytes()).hexdigest()}"
    assert len(asked(tmp_path, "maths.jsonl", digest=digest)) == 2
    with pytest.raises(ConfigError, match=r"evaluation.benchmarks\[0\]: .*has the sha256"):
        asked(tmp_path, "maths.jsonl", digest=f"sha256:{'0' * 64}")


@pytest.mark.parametrize(
    ("content", "benchmark", "said"),
    {
        "not JSON": ('{"question": 1}\n{', {}, r"benchmarks\[0\]: line 2 of x.jsonl is no JSON: "),
        "not an object": ("[1]", {}, "line 1 of x.jsonl is no JSON object"),
        "empty": ("\n", {}, "holds no question"),
        "a column that is not there": (
            '{"question": "?"}',
            {},
            "line 1 has no 'answer': name the column in columns.ans",
        ),
        "a column by another name": ('{"q": 1, "answer": 1}', {}, "line 1 has no 'question': .* columns.question"),
        "choices that are none": (
            '{"question": "?", "answer": "A", "o": "red"}',
            {"columns": {"options": "o"}},
            r"line 1: 'o' \(columns.options\) is no list of 2 to 26 choices",
        ),
        "a position beyond the choices": (
            '{"question": "?", "answer": 2, "o": ["red", "blue"]}',
            {"columns": {"options": "o"}},
            "the answer 2 is no position among 2 choices",
        ),
    }.values(),
)
def test_a_file_that_will_not_do_names_field_and_row(
    tmp_path: Path, content: str, benchmark: dict[str, Any], said: str
) -> None:
    (tmp_path / "x.jsonl").write_text(content)
    with pytest.raises(ConfigError, match=said):
        asked(tmp_path, "x.jsonl", **benchmark)


def test_a_file_that_is_no_parquet(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("PAR?")
    with pytest.raises(ConfigError, match=r"evaluation.benchmarks\[0\]: x.parquet is no Parquet file"):
        asked(tmp_path, "x.parquet")
