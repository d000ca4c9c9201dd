"""The job's result, once every shard is done: duplicates dropped, test questions set apart, dataset and verifier data
published. Called by `run` in whichever pod sees the last shard done; two that do publish the same bytes."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from reasoner_api.manifest import ArtifactManifest
from reasoner_api.report import RunReport
from reasoner_api.status import Progress, StageCount, Usage
from reasoner_api.task import CurationTask
from reasoner_workloads.common.artifact import publish
from reasoner_workloads.common.store import Missing, Store
from reasoner_workloads.curation import shard
from reasoner_workloads.curation.dedupe import deduplicate, key
from reasoner_workloads.curation.filters.near import drop_near
from reasoner_workloads.curation.ledger import added
from reasoner_workloads.curation.llm import ROLES
from reasoner_workloads.curation.records import Record, funnel_of
from reasoner_workloads.curation.report import make_report

#: The final report of the whole job, kept so that a later pod has nothing to do but to give it.
REPORT = "report.json"
#: The test split is at most this share of the questions.
LARGEST_TEST = 5

_QUESTIONS = pa.schema(
    [(name, pa.string()) for name in ("id", "question", "answer", "answer_type", "category", "difficulty", "url")]
    + [("solve_rate", pa.float64())]
)
_VERDICTS = pa.schema(
    [
        ("question", pa.string()),
        ("ground_truth", pa.string()),
        ("student_answer", pa.string()),
        ("verdict", pa.bool_()),
        *((name, pa.string()) for name in ("reasoning", "judge", "answer_type", "category", "question_id")),
    ]
)


def published(store: Store) -> RunReport | None:
    """The final report of a job that is done."""
    try:
        return RunReport.model_validate_json(store.get(REPORT))
    except Missing:
        return None


def publish_all(task: CurationTask, digest: str, store: Store) -> RunReport | None:
    """Publish the job's result, or return None while shards are missing."""
    markers = [shard.finished(store, number) for number in range(task.work.shards)]
    whole = [done for done in markers if done is not None]
    if len(whole) < len(markers):
        return None
    found = deduplicate(r for number, done in enumerate(whole) for r in shard.records(store, number, done))
    if (similarity := task.work.filters.near_duplicate_similarity) is not None:
        found = drop_near(found, similarity)
    stages, kept = funnel_of(found), [record for record in found if record.drop is None]
    usage = Usage()
    for done in whole:
        usage = added(usage, done.usage)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        dataset = write_dataset(folder / "dataset", kept, task.work.split.test)
        write_account(folder / "dataset", found, stages)
        html = make_report(task.name, task.work, found, stages, usage)
        (folder / "dataset" / "report.html").write_text(html, encoding="utf-8")
        verdicts = write_verdicts(folder / "verifier-data", kept)
        about = _about(task, digest)
        artifacts = {
            "verifier_data": publish(
                store, folder / "verifier-data", "verifier-data", about("verifier-data", verdicts)
            ),
            "dataset": publish(store, folder / "dataset", "dataset", about("dataset", dataset)),
        }
    report = RunReport(
        state="Succeeded",
        complete=True,
        message=f"{len(kept)} questions of {stages[0].rows_in} rows",
        progress=Progress(percent=100, eta_seconds=0, display=f"{len(kept)} questions"),
        stages=stages,
        usage=usage,
        artifacts=artifacts,
    )
    store.put(REPORT, report.model_dump_json(by_alias=True).encode())
    return report


def write_dataset(folder: Path, kept: list[Record], test: int) -> int:
    """`train.parquet` and `test.parquet`; returns their rows. The questions with the smallest hashes are the test's:
    the same whatever the shards, the order and the other questions' text."""
    folder.mkdir(parents=True)
    size = min(test, len(kept) // LARGEST_TEST)
    by_hash = sorted(kept, key=lambda record: hashlib.sha256(key(record.question).encode()).hexdigest())
    chosen = {record.id for record in by_hash[:size]}
    for name, part in (("train", False), ("test", True)):
        rows = [_question(record) for record in kept if (record.id in chosen) is part]
        _write(folder / f"{name}.parquet", rows, _QUESTIONS)
    return len(kept)


def write_account(folder: Path, found: list[Record], stages: list[StageCount]) -> None:
    """`funnel.json`, the counts by stage, and `drops.jsonl`, why each dropped row was dropped."""
    counts = [stage.model_dump(by_alias=True) for stage in stages]
    (folder / "funnel.json").write_text(json.dumps({"stages": counts}, indent=2, sort_keys=True) + "\n")
    lines = (
        json.dumps({"id": record.id, "url": record.url, **record.drop.model_dump()}, ensure_ascii=False)
        for record in found
        if record.drop is not None
    )
    (folder / "drops.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_verdicts(folder: Path, kept: list[Record]) -> int:
    """`data.parquet`, the verifier's training data: each distinct answer of each question with its verdict."""
    folder.mkdir(parents=True)
    rows = [row for record in kept for row in _verdicts(record)]
    _write(folder / "data.parquet", rows, _VERDICTS)
    return len(rows)


def _question(record: Record) -> dict[str, object]:
    fields = record.model_dump(include=set(_QUESTIONS.names))
    return {**fields, "solve_rate": record.solve_rate}


def _verdicts(record: Record) -> Iterable[dict[str, object]]:
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
        }


def _write(path: Path, rows: list[dict[str, object]], schema: pa.Schema) -> None:
    # One row group size and codec: the same rows are the same bytes.
    table = pa.Table.from_pylist(rows, schema=schema)
    pq.write_table(table, path, compression="zstd", row_group_size=65_536)


def _about(task: CurationTask, digest: str) -> Callable[[str, int], ArtifactManifest]:
    """The manifests but for their files, by type and rows."""
    endpoints = {role: getattr(task.work.models, role) or task.work.models.extractor for role in ROLES}
    inputs = {"source": task.work.source.uri, **{role: one.model for role, one in endpoints.items()}}
    return lambda kind, rows: ArtifactManifest(type=kind, files=[], rows=rows, inputs=inputs, spec_digest=digest)
