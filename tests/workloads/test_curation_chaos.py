"""A job among failures, in small: a model that fails in five ways, pods that are killed, a spec that is edited.
`benchmarks/curation_chaos.py` has it in full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reasoner_api.report import RunReport
from reasoner_local import web
from support import chaos
from support.http_server import serving

#: Rows of the corpus, and pods that are killed.
ROWS, KILLS = 60, 3


@pytest.fixture(scope="module")
def pages() -> Iterator[str]:
    with serving(web.make_app()) as url:
        yield url


@pytest.fixture(scope="module")
def model() -> Iterator[chaos.Model]:
    with chaos.model() as found:
        yield found


def make_job(pages: str, model: chaos.Model, folder: Path, **work: Any) -> chaos.Job:
    source = {"uri": f"{pages}/source.jsonl", "limit": ROWS}
    return chaos.Job(chaos.make_task(pages, model.url, {"uri": folder.as_uri()}, source=source, **work), folder)


def final(reports: list[RunReport]) -> RunReport:
    return next(report for report in reports if report.complete)


@pytest.fixture(scope="module")
def undisturbed(
    pages: str, model: chaos.Model, tmp_path_factory: pytest.TempPathFactory
) -> tuple[chaos.Job, RunReport]:
    """A job that nothing happens to, and what it says."""
    job = make_job(pages, model, tmp_path_factory.mktemp("undisturbed"))
    report = final(job.run())
    model.wanted = Counter(model.answered)
    return job, report


def test_failures_and_kills_change_nothing_in_the_result(
    undisturbed: tuple[chaos.Job, RunReport], pages: str, model: chaos.Model, tmp_path: Path
) -> None:
    model.reset()
    model.faults = chaos.FAULTS
    job = make_job(pages, model, tmp_path, shards=3)
    report, (_, hoped) = final(job.run_under_fire(model, KILLS)), undisturbed
    assert job.kills == KILLS
    assert set(model.injected) == set(chaos.FAULTS)
    assert report.stages == hoped.stages
    assert report.stages[0].rows_in == ROWS
    for name in ("dataset", "verifier_data"):
        assert report.artifacts[name].digest == hoped.artifacts[name].digest
    assert not model.paid_twice
    # What was kept when a pod was killed is much of what had been answered.
    assert len(model.kept) > 0.3 * len(model.wanted)


def test_an_edited_filter_pays_for_nothing_again(
    undisturbed: tuple[chaos.Job, RunReport], pages: str, model: chaos.Model
) -> None:
    """Another spec is another job with another result; what it asks that another has asked is kept in the storage."""
    model.reset()
    earlier, before = undisturbed
    filters = {"minCorrect": 2, "maxCorrect": 6, "minMathDifficulty": "graduate", "nearDuplicateSimilarity": 0.9}
    job = make_job(pages, model, earlier.folder, filters=filters, shards=2)
    report = final(job.run())
    assert job.task.work != earlier.task.work
    assert model.asked.total() == 0
    assert report.artifacts["dataset"].digest != before.artifacts["dataset"].digest
    assert report.stages[-1].rows_out < before.stages[-1].rows_out
    assert report.usage is not None
    assert (report.usage.requests, report.usage.cost_usd) == (0, 0.0)
    assert report.usage.reused is not None
    assert before.usage is not None
    # Rows that ask the same found an answer before as well.
    found = before.usage.reused.requests if before.usage.reused else 0
    assert 0 < report.usage.reused.requests <= before.usage.requests + found


def test_more_candidates_pay_for_those_that_are_new(
    undisturbed: tuple[chaos.Job, RunReport], pages: str, model: chaos.Model
) -> None:
    model.reset()
    job = make_job(pages, model, undisturbed[0].folder, filters={"candidates": 9})
    report = final(job.run())
    sampled = next(stage.rows_in for stage in report.stages if stage.name == "sample")
    assert model.asked.total() >= sampled
    assert not set(model.answered) & set(model.wanted)
