"""A benchmark's questions from a file of the user's own. Read by `train` before the first step, so that a wrong column
does not show days later; loads no torch."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reasoner_api.evaluation import Benchmark, BenchmarkColumns
from reasoner_api.grpo import GRPOWork
from reasoner_api.task import InputArtifact
from reasoner_workloads.common.run import ConfigError
from reasoner_workloads.grpo.data import prompt_of
from reasoner_workloads.grpo.rows import read as read_rows
from reasoner_workloads.training.inputs import fetch_dataset

LETTERS = string.ascii_uppercase


@dataclass(frozen=True)
class Questions:
    """A benchmark, ready to be asked: rows of prompt, question, answer."""

    about: Benchmark
    rows: list[dict[str, str]]


def read(place: int, about: Benchmark, dest: Path, work: GRPOWork, count_tokens: Callable[[str], int]) -> Questions:
    """The questions of `evaluation.benchmarks[place]`. Raises ConfigError naming the field or the row: also for a
    prompt that is too long, as a score without its question is another benchmark's."""
    at = f"evaluation.benchmarks[{place}]"
    try:
        source = InputArtifact(uri=about.uri, digest=about.digest)
        folder = fetch_dataset(source, work.storage, dest / f"benchmark-{place}").path
        rows = read_rows(Path(folder) / about.uri.rpartition("/")[2])
    except ConfigError as error:
        raise ConfigError(f"{at}: {error}") from error
    found = []
    for where, row in rows[: about.limit]:
        asked = _row(row, f"{at}: {where}", about.columns)
        prompt = prompt_of(asked["question"], work.grpo)
        if (tokens := count_tokens(prompt)) > work.grpo.max_prompt_tokens:
            raise ConfigError(
                f"{at}: {where} has a prompt of {tokens} tokens: raise grpo.maxPromptTokens "
                f"({work.grpo.max_prompt_tokens}), or leave the row out of the file"
            )
        found.append({**asked, "prompt": prompt})
    if not found:
        raise ConfigError(f"{at}.uri: {about.uri} holds no question")
    return Questions(about, found)


def _row(row: Mapping[str, Any], at: str, columns: BenchmarkColumns) -> dict[str, str]:
    for field, name in columns.model_dump(exclude_none=True).items():
        if row.get(name) is None:
            raise ConfigError(f"{at} has no {name!r}: name the column in columns.{field}")
    question, answer = str(row[columns.question]), row[columns.answer]
    if columns.options is not None:
        options = row[columns.options]
        if not isinstance(options, list) or not 1 < len(options) <= len(LETTERS):
            raise ConfigError(f"{at}: {columns.options!r} (columns.options) is no list of 2 to {len(LETTERS)} choices")
        question += "".join(f"\n{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))
        if isinstance(answer, int) and not isinstance(answer, bool):
            if not 0 <= answer < len(options):
                raise ConfigError(f"{at}: the answer {answer} is no position among {len(options)} choices")
            answer = LETTERS[answer]
    return {"question": question, "answer": str(answer)}
