"""The job's result, once every bucket is done: duplicates dropped, test questions set apart, dataset, verifier data and
report published. Called by `run`. The records are read twice, one at a time, and whatever must be known of all of them
is on disk; two pods that publish at once publish the same bytes."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from reasoner_api.curation import STAGES, CurationWork
from reasoner_api.digest import digest_of
from reasoner_api.manifest import ArtifactManifest
from reasoner_api.report import RunReport
from reasoner_api.status import Artifact, Progress, StageCount, total
from reasoner_api.task import CurationTask
from reasoner_workloads.common.artifact import find, publish
from reasoner_workloads.common.store import Missing, Store
from reasoner_workloads.curation import buckets
from reasoner_workloads.curation.buckets import Done
from reasoner_workloads.curation.dedupe import Questions
from reasoner_workloads.curation.ledger import usages
from reasoner_workloads.curation.llm import ROLES
from reasoner_workloads.curation.models import notes
from reasoner_workloads.curation.records import Funnel, Record
from reasoner_workloads.curation.report import Tally
from reasoner_workloads.curation.tables import Tables

#: The final report of the whole job, kept so that a later pod has nothing to do but to give it.
REPORT = "report.json"
#: What of an endpoint decides the answers; the rest says how they are got.
_ENDPOINT = {"base_url", "model", "temperature", "max_tokens"}


def published(store: Store) -> RunReport | None:
    """The final report of a job that is done."""
    try:
        return RunReport.model_validate_json(store.get(REPORT))
    except Missing:
        return None


def publish_all(task: CurationTask, store: Store) -> RunReport:
    """Publish the result of a job whose buckets are all done."""
    done = buckets.markers(store, buckets.names_done(store))
    used = usages(store)
    with tempfile.TemporaryDirectory() as temporary, closing(Questions()) as questions:
        folder, filters = Path(temporary), task.work.filters
        for place, record in enumerate(buckets.records(store, done)):
            if _is_judged(record):
                questions.add(place, record)
        questions.settle(filters.near_duplicate_similarity, task.work.split.test)
        tally = Tally()
        with Tables(folder) as tables:
            stages = _write(store, done, questions, tables, tally)
            tables.write_funnel(stages)
        (folder / "report").mkdir()
        html = tally.html(task.name, task.work, stages, used)
        (folder / "report" / "report.html").write_text(html, encoding="utf-8")
        kept = tables.train.count + tables.test.count
        rows = {"dataset": kept, "verifier-data": tables.verdicts.count, "report": None}
        artifacts = {name.replace("-", "_"): _publish(task, store, folder, name, rows[name]) for name in rows}
    report = RunReport(
        state="Succeeded",
        complete=True,
        message=f"{kept} questions of {stages[0].rows_in} rows",
        progress=Progress(percent=100, eta_seconds=0, display=f"{kept} questions"),
        stages=stages,
        usage=total(used.values()),
        artifacts=artifacts,
    )
    for key in store.list(notes.ROOT):
        # Of pods that died: no row is left that wants what these batches bring.
        store.delete(key)
    store.put_new(REPORT, report.model_dump_json(by_alias=True).encode())
    return RunReport.model_validate_json(store.get(REPORT))


def _write(store: Store, done: list[Done], questions: Questions, tables: Tables, tally: Tally) -> list[StageCount]:
    """Write and count all records; returns the whole funnel."""
    funnel, last = Funnel(dict.fromkeys(STAGES, 0)), STAGES[-1]
    for one in done:
        funnel.merge(one.stages)
    funnel.entered[last] = funnel.passed.get(STAGES[-2], 0)
    for place, record in enumerate(buckets.records(store, done)):
        fate = questions.fate(place) if _is_judged(record) else None
        if record.drop is None and fate is not None:
            if fate.drop is not None:
                record = record.model_copy(update={"drop": fate.drop})
                funnel.drop(last, fate.drop.reason)
            else:
                funnel.passed[last] = funnel.passed.get(last, 0) + 1
        tables.add(record, fate)
        tally.add(record)
    return funnel.counts()


def _is_judged(record: Record) -> bool:
    """Whether a question's candidates have their verdicts."""
    return record.drop is None or record.drop.stage == "filter"


def _publish(task: CurationTask, store: Store, folder: Path, name: str, rows: int | None) -> Artifact:
    endpoints = {role: getattr(task.work.models, role) or task.work.models.extractor for role in ROLES}
    inputs = {"source": task.work.source.uri, **{role: one.model for role, one in endpoints.items()}}
    about = ArtifactManifest(
        type=name, files=[], rows=rows, inputs=inputs, spec_digest=digest_of(content_of(task.work))
    )
    if name == "report" and (there := find(store, name)):
        # Of two pods that publish at once one may have counted a request more.
        return there
    return publish(store, folder / name, name, about)


def content_of(work: CurationWork) -> dict[str, Any]:
    """What of the work decides the dataset. By how many pods, within which limits and to where does not: the same
    content has the same digest."""
    found = work.model_dump(mode="json", by_alias=True, exclude={"shards", "storage", "models"})
    endpoints = {role: getattr(work.models, role) or work.models.extractor for role in ROLES}
    models = {role: one.model_dump(mode="json", by_alias=True, include=_ENDPOINT) for role, one in endpoints.items()}
    return {**found, "models": models}
