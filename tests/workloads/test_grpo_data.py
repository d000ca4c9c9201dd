"""The questions of a run: which are asked, and what is said of a dataset that will not do."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from reasoner_api.evaluation import GRPOEvaluation
from reasoner_api.grpo import GRPOSettings
from reasoner_workloads.common.run import ConfigError
from reasoner_workloads.grpo.data import COLUMNS, Questions, read, require
from reasoner_workloads.grpo.inputs import require_room
from reasoner_workloads.training.inputs import Fetched

SETTINGS = GRPOSettings(instruction="Think.", max_prompt_tokens=20)


def questions(folder: Path, train: list[str], test: list[str], **evaluation: float) -> Questions:
    """Read with a tokenizer of characters."""
    for split, texts in (("train", train), ("test", test)):
        table = pyarrow.table({"question": pyarrow.array(texts, pyarrow.string()), "answer": ["1"] * len(texts)})
        pyarrow.parquet.write_table(table, folder / f"{split}.parquet")
    return read(Fetched(str(folder), "x"), SETTINGS, GRPOEvaluation.model_validate(evaluation), len)


def test_prompts_are_question_and_instruction_and_long_ones_are_left_out(tmp_path: Path) -> None:
    found = questions(tmp_path, ["1 + 1", "2" * 15], ["1 + 2", "3" * 15, "1 + 3", "1 + 4"], prompts=2)
    assert [row["prompt"] for row in found.train] == ["1 + 1\nThink."]
    assert [row["question"] for row in found.test] == ["1 + 2", "1 + 3"]
    assert found.left_out == {"too_long": 1, "incomplete": 0}


def test_a_row_without_question_or_answer_is_left_out_and_counted(tmp_path: Path) -> None:
    asked, answered = ["1 + 1", "1 + 2", None, " ", "1 + 4"], ["2", None, "3", "4", ""]
    for split in ("train", "test"):
        pyarrow.parquet.write_table(pyarrow.table([asked, answered], names=COLUMNS), tmp_path / f"{split}.parquet")
    found = read(Fetched(str(tmp_path), "x"), SETTINGS, GRPOEvaluation(), len)
    assert [row["question"] for row in (*found.train, *found.test)] == ["1 + 1", "1 + 1"]
    assert found.left_out == {"too_long": 0, "incomplete": 4}


def test_answers_that_are_no_text(tmp_path: Path) -> None:
    for split in ("train", "test"):
        pyarrow.parquet.write_table(pyarrow.table([["1 + 1"], [2]], names=COLUMNS), tmp_path / f"{split}.parquet")
    with pytest.raises(ConfigError, match=r"dataset: column answer of train.parquet holds int64, not text"):
        read(Fetched(str(tmp_path), "x"), SETTINGS, GRPOEvaluation(), len)


def test_fewer_questions_than_a_generation_asks(tmp_path: Path) -> None:
    found = questions(tmp_path, ["1 + 1", "1 + 2"], [])
    require(found, 2)
    with pytest.raises(ConfigError, match=r"2 training questions can be asked, and a generation asks 3 different"):
        require(found, 3)


@pytest.mark.parametrize(
    ("positions", "fits"),
    [
        ({"max_position_embeddings": 30}, True),
        ({"max_position_embeddings": 29}, False),
        ({"max_position_embeddings": 29, "rope_parameters": {"rope_type": "default"}}, False),
        ({"max_position_embeddings": 29, "rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, True),
        ({}, True),
    ],
)
def test_prompt_and_response_must_fit_the_base_model(positions: dict[str, Any], fits: bool) -> None:
    settings = SETTINGS.model_copy(update={"max_completion_length": 10})
    wrong = pytest.raises(ConfigError, match=r"maxCompletionLength: 20 \+ 10 tokens are more than the 29 that the base")
    with contextlib.nullcontext() if fits else wrong:
        require_room(SimpleNamespace(**positions), settings)


def test_a_dataset_whose_questions_are_all_too_long(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none of its 1 training questions fits grpo.maxPromptTokens"):
        questions(tmp_path, ["2" * 15], [])


def test_a_gain_is_wanted_and_there_is_nothing_to_measure_it_on(tmp_path: Path) -> None:
    assert questions(tmp_path, ["1 + 1"], []).test == []
    with pytest.raises(ConfigError, match=r"evaluation.minGain: the dataset's test.parquet holds no question"):
        questions(tmp_path, ["1 + 1"], ["2" * 15], minGain=0.1)
