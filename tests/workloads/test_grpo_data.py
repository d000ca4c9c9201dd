"""The questions of a run: which are asked, and what is said of a dataset that will not do."""

from __future__ import annotations

from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from reasoner_api.evaluation import GRPOEvaluation
from reasoner_api.grpo import GRPOSettings
from reasoner_workloads.common.run import ConfigError
from reasoner_workloads.grpo.data import Questions, read
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
    assert found.too_long == 1


def test_a_dataset_whose_questions_are_all_too_long(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none of its 1 training questions fits grpo.maxPromptTokens"):
        questions(tmp_path, ["2" * 15], [])


def test_a_gain_is_wanted_and_there_is_nothing_to_measure_it_on(tmp_path: Path) -> None:
    assert questions(tmp_path, ["1 + 1"], []).test == []
    with pytest.raises(ConfigError, match=r"evaluation.minGain: the dataset's test.parquet holds no question"):
        questions(tmp_path, ["1 + 1"], ["2" * 15], minGain=0.1)
