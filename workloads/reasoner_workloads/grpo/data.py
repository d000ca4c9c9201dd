"""The questions of a GRPORun as prompts. Called by `train`; loads no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    left_out: dict[str, int]
    """Training questions left out: `too_long` for their prompts, `incomplete` for want of a question or an answer."""
    ids: dict[str, str]
    """The dataset's own ids by question; empty where it has none."""


def read(
    dataset: Fetched, settings: GRPOSettings, evaluation: GRPOEvaluation, count_tokens: Callable[[str], int]
) -> Questions:
    """The dataset's train and test questions. Raises ConfigError where none can be learnt from."""
    train_file, test_file = (parquet(dataset, f"{split}.parquet", COLUMNS) for split in ("train", "test"))
    whole, train_ids, incomplete = _rows(train_file, settings)
    train = [row for row in whole if count_tokens(row["prompt"]) <= settings.max_prompt_tokens]
    if not train:
        raise ConfigError(f"dataset: none of its {len(whole)} training questions fits grpo.maxPromptTokens")
    test, test_ids, _ = _rows(test_file, settings)
    test = [row for row in test if count_tokens(row["prompt"]) <= settings.max_prompt_tokens]
    if evaluation.min_gain is not None and not test:
        raise ConfigError("evaluation.minGain: the dataset's test.parquet holds no question to measure a gain on")
    left_out = {"too_long": len(whole) - len(train), "incomplete": incomplete}
    return Questions(train, test[: evaluation.prompts], left_out, test_ids | train_ids)


def require(questions: Questions, wanted: int) -> None:
    """Raise ConfigError where there are fewer training questions than one generation asks at a time: TRL would train
    on none of them, and say that all is done."""
    if len(questions.train) < wanted:
        raise ConfigError(
            f"dataset: {len(questions.train)} training questions can be asked, and a generation asks {wanted} "
            "different ones (grpo.perDeviceTrainBatchSize * grpo.stepsPerGeneration * processes / "
            "grpo.numGenerations): lower one of these, or bring more questions"
        )


def prompt_of(question: str, settings: GRPOSettings) -> str:
    """The question, then the instruction. Plain text: a base model knows no chat template."""
    return f"{question}\n{settings.instruction}"


def _rows(path: Path, settings: GRPOSettings) -> tuple[list[dict[str, str]], dict[str, str], int]:
    """Rows for the trainer, the dataset's ids by question (none where it has no ids), and how many rows lack something.
    Raises ConfigError for what is no text: it would end the run when it is first asked, days later perhaps."""
    import pyarrow.parquet

    schema = pyarrow.parquet.read_schema(path)
    for name in COLUMNS:
        if not _is_text(schema.field(name).type):
            raise ConfigError(f"dataset: column {name} of {path.name} holds {schema.field(name).type}, not text")
    has_ids = "id" in schema.names
    found = pyarrow.parquet.read_table(path, columns=[*COLUMNS, *(["id"] if has_ids else [])]).to_pylist()
    ids = {row["question"]: str(row.pop("id")) for row in found} if has_ids else {}
    whole = [row for row in found if all((row[name] or "").strip() for name in COLUMNS)]
    return [{**row, "prompt": prompt_of(row["question"], settings)} for row in whole], ids, len(found) - len(whole)


def _is_text(kind: Any) -> bool:
    """Whether a column of this type holds texts, or nothing at all: an empty split has no type."""
    from pyarrow import types

    kind = kind.value_type if types.is_dictionary(kind) else kind
    texts = (types.is_string, types.is_large_string, types.is_string_view, types.is_null)
    return any(is_one(kind) for is_one in texts)
