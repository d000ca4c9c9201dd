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
    train = _rows(train_file, settings)
    fitting = [row for row in train if count_tokens(row["prompt"]) <= settings.max_prompt_tokens]
    if not fitting:
        raise ConfigError(f"dataset: none of its {len(train)} training questions fits grpo.maxPromptTokens")
    test = _rows(test_file, settings)
    test = [row for row in test if count_tokens(row["prompt"]) <= settings.max_prompt_tokens]
    if evaluation.min_gain is not None and not test:
        raise ConfigError("evaluation.minGain: the dataset's test.parquet holds no question to measure a gain on")
    ids = _ids(test_file) | _ids(train_file)
    return Questions(fitting, test[: evaluation.prompts], len(train) - len(fitting), ids)


def prompt_of(question: str, settings: GRPOSettings) -> str:
    """The question, then the instruction. Plain text: a base model knows no chat template."""
    return f"{question}\n{settings.instruction}"


def _rows(path: Path, settings: GRPOSettings) -> list[dict[str, str]]:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path, columns=list(COLUMNS))
    return [{**row, "prompt": prompt_of(row["question"], settings)} for row in table.to_pylist()]


def _ids(path: Path) -> dict[str, str]:
    import pyarrow.parquet

    if "id" not in pyarrow.parquet.read_schema(path).names:
        return {}
    rows = pyarrow.parquet.read_table(path, columns=["question", "id"]).to_pylist()
    return {row["question"]: str(row["id"]) for row in rows}
