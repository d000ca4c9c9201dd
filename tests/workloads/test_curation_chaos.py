"""A job among failures, in small: a model that fails in five ways, pods that are killed. `benchmarks/curation_chaos.py`
has it in full."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from reasoner_api.report import RunReport
from reasoner_local import web
from reasoner_local.corpus import expected
from support import chaos
from support.http_server import serving

KILLS = 4


@pytest.fixture(scope="module")
def pages() -> Iterator[str]:
    with serving(web.make_app()) as url:
        yield url


@pytest.fixture(scope="module")
def model() -> Iterator[chaos.Model]:
    with chaos.model() as found:
        yield found


def final(reports: list[RunReport]) -> RunReport:
    return next(report for report in reports if report.complete)


@pytest.fixture(scope="module")
def undisturbed(pages: str, model: chaos.Model, tmp_path_factory: pytest.TempPathFactory) -> RunReport:
    """The report of a job of eight pods that nothing happens to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    report = final(chaos.Job(chaos.make_task(pages, model.url, {"uri": folder.as_uri()}, shards=8), folder).run())
    model.wanted = Counter(model.answered)
    return report


def test_failures_and_kills_change_nothing_in_the_result(
    undisturbed: RunReport, pages: str, model: chaos.Model, tmp_path: Path
) -> None:
    model.reset()
    model.faults = chaos.FAULTS
    job = chaos.Job(chaos.make_task(pages, model.url, {"uri": tmp_path.as_uri()}, shards=3), tmp_path)
    report = final(job.run_under_fire(model, KILLS, seconds=200))
    assert job.kills == KILLS
    assert set(model.injected) == set(chaos.FAULTS)
    hoped = {name: (stage.rows_in, stage.rows_out, stage.dropped) for name, stage in expected().stages.items()}
    assert {stage.name: (stage.rows_in, stage.rows_out, stage.dropped) for stage in report.stages} == hoped
    for name in ("dataset", "verifier_data"):
        assert report.artifacts[name].digest == undisturbed.artifacts[name].digest
    dropped = [json.loads(line)["id"] for line in job.store.get("dataset/drops.jsonl").splitlines()]
    assert len(dropped) == len(set(dropped)) == 207 - 131
    assert not model.paid_twice
    # What was kept when a pod was killed is most of what had been answered.
    assert len(model.kept) > 0.5 * len(model.wanted)
