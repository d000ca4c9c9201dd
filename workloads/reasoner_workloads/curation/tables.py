"""The files of the artifacts, written a row at a time: the same records in the same order are the same bytes. Used by
`publish`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from reasoner_api.status import StageCount
from reasoner_workloads.curation.dedupe import Fate
from reasoner_workloads.curation.records import Record

#: Rows of a row group: what is in memory.
GROUP = 4096

QUESTIONS = pa.schema(
    [(name, pa.string()) for name in ("id", "question", "answer", "answer_type", "category", "difficulty", "url")]
    + [("solve_rate", pa.float64())]
)
VERDICTS = pa.schema(
    [
        ("question", pa.string()),
        ("ground_truth", pa.string()),
        ("student_answer", pa.string()),
        ("verdict", pa.bool_()),
        *((name, pa.string()) for name in ("reasoning", "judge", "answer_type", "category", "question_id", "outcome")),
    ]
)


class _Table:
    """A Parquet file that is written."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []
        self.count = 0

    def add(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        self.count += 1
        if len(self._rows) == GROUP:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema), GROUP)
        self._rows = []


class Tables:
    """`dataset/` with `train.parquet`, `test.parquet`, `drops.jsonl` (why each dropped row was dropped) and
    `funnel.json`; `verifier-data/` with `data.parquet`. A context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.train = _Table(folder / "dataset" / "train.parquet", QUESTIONS)
        self.test = _Table(folder / "dataset" / "test.parquet", QUESTIONS)
        self.verdicts = _Table(folder / "verifier-data" / "data.parquet", VERDICTS)
        self._drops = (folder / "dataset" / "drops.jsonl").open("w", encoding="utf-8")

    def __enter__(self) -> Tables:
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self.train, self.test, self.verdicts, self._drops):
            one.close()

    def add(self, record: Record, fate: Fate | None) -> None:
        """Write a record where it belongs; one that was judged comes with its fate.

        What a verifier learns is whether two answers are the same: that a question turned out too easy or too hard for
        the dataset takes nothing from its verdicts. `outcome` tells them apart: `kept`, or why it was not."""
        if record.drop is not None:
            drop = {"id": record.id, "url": record.url, **record.drop.model_dump()}
            self._drops.write(json.dumps(drop, ensure_ascii=False) + "\n")
        elif fate is not None:
            (self.test if fate.test else self.train).add(_question(record))
        if fate is not None and fate.drop is None:
            for row in _verdicts(record):
                self.verdicts.add(row)

    def write_funnel(self, stages: Iterable[StageCount]) -> None:
        """Write the counts by stage."""
        counts = {"stages": [stage.model_dump(by_alias=True) for stage in stages]}
        text = json.dumps(counts, indent=2, sort_keys=True) + "\n"
        (self._folder / "dataset" / "funnel.json").write_text(text, encoding="utf-8")


def _question(record: Record) -> dict[str, Any]:
    return {**record.model_dump(include=set(QUESTIONS.names)), "solve_rate": record.solve_rate}


def _verdicts(record: Record) -> Iterable[dict[str, Any]]:
    """Each distinct answer with its verdict."""
    for candidate in {one.answer: one for one in record.candidates}.values():
        yield {
            "question": record.question,
            "ground_truth": record.answer,
            "student_answer": candidate.answer,
            "verdict": candidate.correct,
            "reasoning": candidate.reasoning,
            "judge": candidate.judge,
            "answer_type": record.answer_type,
            "category": record.category,
            "question_id": record.id,
            "outcome": record.drop.reason if record.drop else "kept",
        }
