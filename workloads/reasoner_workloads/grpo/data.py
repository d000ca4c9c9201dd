"""The questions of a GRPORun as prompts. Called by `train`; loads no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from reasoner_api.evaluation import GRPOEvaluation
from reasoner_api.grpo import GRPOSettings
from reasoner_workloads.common.run import ConfigError
from reasoner_workloads.training.inputs import Fetched, parquet

COLUMNS = ("question", "answer")


@dataclass(frozen=True)
class Questions:
    """Rows for the trainer: prompt, question, answer."""

    train: list[dict[str, str]]
    test: list[dict[str, str]]
    """Held out: for measurement alone."""
    too_long: int
    """Training questions left out because their prompt is too long."""
    ids: dict[str, str]
    """The dataset's own ids by question; empty where it has none."""


def read(
    dataset: Fetched, settings: GRPOSettings, evaluation: GRPOEvaluation, count_tokens: Callable[[str], int]
) -> Questions:
    """The dataset's train and test questions. Raises ConfigError where none can be learnt from."""
    train_file, test_file = (parquet(dataset, f"{split}.parquet", COLUMNS) for split in ("train", "test"))
    train, train_ids = _rows(train_file, settings)
    fitting = [row for row in train if count_tokens(row["prompt"]) <= settings.max_prompt_tokens]
    if not fitting:
        raise ConfigError(f"dataset: none of its {len(train)} training questions fits grpo.maxPromptTokens")
    test, test_ids = _rows(test_file, settings)
    test = [row for row in test if count_tokens(row["prompt"]) <= settings.max_prompt_tokens]
    if evaluation.min_gain is not None and not test:
        raise ConfigError("evaluation.minGain: the dataset's test.parquet holds no question to measure a gain on")
    return Questions(fitting, test[: evaluation.prompts], len(train) - len(fitting), test_ids | train_ids)


def prompt_of(question: str, settings: GRPOSettings) -> str:
    """The question, then the instruction. Plain text: a base model knows no chat template."""
    return f"{question}\n{settings.instruction}"


def _rows(path: Path, settings: GRPOSettings) -> tuple[list[dict[str, str]], dict[str, str]]:
    """Rows for the trainer, and the dataset's ids by question; none where it has no ids."""
    import pyarrow.parquet

    has_ids = "id" in pyarrow.parquet.read_schema(path).names
    found = pyarrow.parquet.read_table(path, columns=[*COLUMNS, *(["id"] if has_ids else [])]).to_pylist()
    ids = {row["question"]: str(row.pop("id")) for row in found} if has_ids else {}
    return [{**row, "prompt": prompt_of(row["question"], settings)} for row in found], ids
