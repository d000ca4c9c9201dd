"""The verdicts to learn from, split by question. Called by `train`; loads no torch."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass

from reasoner_api.verifier import VerifierEvaluation
from reasoner_workloads.common.run import ConfigError
from reasoner_workloads.training.inputs import Fetched, parquet

FILE = "data.parquet"
COLUMNS = ("question", "ground_truth", "student_answer", "verdict", "reasoning")


@dataclass(frozen=True)
class Row:
    """One answer and the teacher's verdict on it."""

    question: str
    ground_truth: str
    student_answer: str
    verdict: bool
    reasoning: str


@dataclass(frozen=True)
class Split:
    """Rows to learn from and rows to be measured on, of different questions."""

    train: list[Row]
    held_out: list[Row]


def read(dataset: Fetched) -> list[Row]:
    """All rows of the dataset. Raises ConfigError where it is not one of verdicts."""
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(parquet(dataset, FILE, COLUMNS), columns=list(COLUMNS))
    return [Row(**row) for row in table.to_pylist()]


def split(rows: Iterable[Row], how: VerifierEvaluation) -> Split:
    """Split by question, the same on every machine and whatever the order of the rows: a question's text, not its
    row, decides, so that none is both learnt from and measured on."""
    rows = list(rows)
    questions = sorted({_key(row) for row in rows}, key=_shuffled)
    count = math.ceil(how.holdout * len(questions))
    if count >= len(questions):
        raise ConfigError(f"dataset: {len(questions)} questions are too few to hold {how.holdout:.0%} of them out")
    held_out = set(questions[:count])
    measured = [row for row in rows if _key(row) in held_out]
    measured.sort(key=lambda row: _shuffled(f"{_key(row)}\0{row.student_answer}"))
    return Split([row for row in rows if _key(row) not in held_out], measured[: how.max_rows])


def _key(row: Row) -> str:
    return " ".join(row.question.lower().split())


def _shuffled(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
