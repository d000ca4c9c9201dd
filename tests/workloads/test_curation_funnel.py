"""The whole pipeline over the corpus, as pods run it: real servers, one process a shard, held to the corpus's expected
funnel page by page."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from reasoner_api.digest import digest_of
from reasoner_api.report import RunReport
from reasoner_api.task import TASK, CurationTask
from reasoner_local import teacher, web
from reasoner_local.corpus import Entry, expected, load, normalise
from reasoner_workloads.common.artifact import verify
from reasoner_workloads.common.store import Store, open_store
from reasoner_workloads.curation.models import notes
from reasoner_workloads.curation.publish import content_of, publish_all
from support.http_server import serving

#: What pods leave of their work, beside its result.
WORK = ("parts/", "buckets/", "done/", "claims/", "pods/", "usage/")
PRICE = {"inputPerMillion": 1.0, "outputPerMillion": 2.0}


@dataclass(frozen=True)
class Job:
    """A finished run of the pipeline."""

    task: CurationTask
    store: Store
    reports: list[RunReport]
    pages: str

    def rows(self, name: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(self.store.get(name))).to_pylist()
        return rows

    @property
    def final(self) -> RunReport:
        return next(report for report in self.reports if report.complete)


@pytest.fixture(scope="module")
def pages() -> Iterator[str]:
    with serving(web.make_app()) as url:
        yield url


@pytest.fixture(scope="module")
def models() -> Iterator[str]:
    with serving(teacher.make_app()) as url:
        yield url


def make_task(
    pages: str, models: str, storage: dict[str, Any], budget: dict[str, Any] | None = None, **work: Any
) -> CurationTask:
    task = TASK.validate_python(
        {
            "budget": budget or {},
            "kind": "CurationJob",
            "namespace": "default",
            "name": "demo",
            "output": f"{storage['uri']}/default/demo",
            "work": {
                "source": {"uri": f"{pages}/source.jsonl"},
                "recrawl": {"requestsPerSecondPerHost": 500, "allowAddresses": ["127.0.0.0/8"]},
                "models": {"extractor": {"baseURL": f"{models}/v1", "model": "stand-in-teacher", "price": PRICE}},
                "split": {"test": 20},
                "storage": storage,
                **work,
            },
        }
    )
    assert isinstance(task, CurationTask)
    return task


def start_pod(task: CurationTask, folder: Path, index: int) -> subprocess.Popen[str]:
    (folder / "task.json").write_text(task.model_dump_json(by_alias=True, exclude_none=True))
    env = os.environ | {
        "POD_IP": "127.0.0.1",
        "REPORT_PORT": "0",
        "TERMINATION_MESSAGE_PATH": str(folder / f"termination-{index}"),
        "JOB_COMPLETION_INDEX": str(index),
    }
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "reasoner_workloads",
        "curation",
        "--task",
        str(folder / "task.json"),
    ]
    return subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def left(folder: Path, index: int) -> RunReport:
    return RunReport.model_validate_json((folder / f"termination-{index}").read_text())


def run_job(task: CurationTask, folder: Path, pages: str) -> Job:
    pods = [start_pod(task, folder, index) for index in range(task.work.shards)]
    for pod in pods:
        _, errors = pod.communicate(timeout=240)
        assert (pod.returncode, errors) == (0, "")
    hexed = task.digest.removeprefix("sha256:")
    storage = task.work.storage
    store = open_store(f"{task.output}/{hexed}", endpoint=storage.endpoint, region=storage.region)
    return Job(task, store, [left(folder, index) for index in range(task.work.shards)], pages)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory, pages: str, models: str) -> Job:
    """One shard, into a folder."""
    folder = tmp_path_factory.mktemp("one")
    return run_job(make_task(pages, models, {"uri": (folder / "store").as_uri()}), folder, pages)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory, pages: str, models: str, endpoint: str) -> Job:
    """Three shards at once, into an object store."""
    folder = tmp_path_factory.mktemp("three")
    storage = {"uri": "s3://reasoner/runs", "endpoint": endpoint}
    return run_job(make_task(pages, models, storage, shards=3), folder, pages)


@pytest.fixture(params=["one", "three"])
def job(request: pytest.FixtureRequest) -> Job:
    found: Job = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def known() -> dict[str, Entry]:
    return {entry.id: entry for entry in load()}


def test_every_page_ends_as_the_corpus_says(job: Job) -> None:
    outcomes: dict[str, tuple[str, ...]] = {}
    for name in ("dataset/train.parquet", "dataset/test.parquet"):
        outcomes |= {row["url"].removeprefix(job.pages): ("kept",) for row in job.rows(name)}
    evidence = {}
    for line in job.store.get("dataset/drops.jsonl").splitlines():
        drop = json.loads(line)
        path = drop["url"].removeprefix(job.pages)
        outcomes[path] = ("dropped", drop["stage"], drop["reason"])
        evidence[path] = drop["evidence"]
    hoped = expected().pages
    assert outcomes == {
        path: ("kept",) if page.outcome == "kept" else ("dropped", page.stage, page.reason)
        for path, page in hoped.items()
    }
    named = {path: page.evidence for path, page in hoped.items() if page.evidence is not None}
    assert {path: evidence[path] for path in named} == named


def test_the_funnel_is_the_corpuss(job: Job) -> None:
    hoped = {name: (total.rows_in, total.rows_out, total.dropped) for name, total in expected().stages.items()}
    assert {s.name: (s.rows_in, s.rows_out, s.dropped) for s in job.final.stages} == hoped
    written = json.loads(job.store.get("dataset/funnel.json"))["stages"]
    assert {s["name"]: (s["in"], s["out"], s["dropped"]) for s in written} == hoped


def test_rows_are_what_the_teacher_knows(job: Job, known: dict[str, Entry]) -> None:
    for row in job.rows("dataset/train.parquet") + job.rows("dataset/test.parquet"):
        entry = known[row["id"]]
        assert entry.teacher is not None
        told = entry.teacher
        facts = (row["answer"], row["answer_type"], row["category"], row["difficulty"])
        assert facts == (told.answer, told.answer_type, told.category, told.difficulty)
        assert normalise(row["question"]) == normalise(entry.clean_question)
        assert row["solve_rate"] == (told.solve_rate or 0) / 8, entry.id


def test_verdicts_are_what_the_teacher_knows(job: Job, known: dict[str, Entry]) -> None:
    """Also those on questions that are too easy or too hard for the dataset."""
    rows = job.rows("verifier-data/data.parquet")
    outcomes = {row["question_id"]: row["outcome"] for row in rows}
    assert Counter(outcomes.values()) == {"kept": 131, "trivial": 9, "unsolvable": 7}
    assert len(rows) == job.final.artifacts["verifier_data"].rows
    for row in rows:
        told = known[row["question_id"]].teacher
        assert told is not None
        right = row["student_answer"] in (told.answer, *told.equivalents)
        assert (row["verdict"], bool(row["reasoning"])) == (right, True), row
    assert {row["verdict"] for row in rows} == {True, False}


def test_the_test_split_is_apart_and_of_the_size_asked_for(job: Job) -> None:
    train, test = (job.rows(f"dataset/{name}.parquet") for name in ("train", "test"))
    assert len(test) == 20
    assert {row["id"] for row in train}.isdisjoint(row["id"] for row in test)
    assert len(train) + len(test) == job.final.artifacts["dataset"].rows


def test_artifacts_verify(job: Job) -> None:
    for artifact in job.final.artifacts.values():
        manifest = verify(artifact.uri, endpoint=job.task.work.storage.endpoint, digest=artifact.digest)
        assert manifest.spec_digest == digest_of(content_of(job.task.work))
        assert manifest.inputs["source"] == f"{job.pages}/source.jsonl"


def test_usage_is_counted(job: Job) -> None:
    usage = job.final.usage
    assert usage is not None
    assert usage.requests > 1000
    cost = usage.prompt_tokens / 1e6 * 1.0 + usage.completion_tokens / 1e6 * 2.0
    assert usage.cost_usd == pytest.approx(cost)


def test_shards_change_nothing(one: Job, three: Job) -> None:
    keys = [key for key in one.store.list() if key.startswith(("dataset/", "verifier-data/"))]
    assert len(keys) == 7
    for key in keys:
        assert one.store.get(key) == three.store.get(key), key
    assert one.final.usage == three.final.usage
    for name in ("dataset", "verifier_data"):
        assert one.final.artifacts[name].digest == three.final.artifacts[name].digest


def test_who_publishes_speaks_for_all_and_the_others_for_themselves(three: Job) -> None:
    assert {report.state for report in three.reports} == {"Succeeded"}
    for report in three.reports:
        assert ("dataset" in report.artifacts) is report.complete
        assert (report.stages[0].rows_in == 207) is report.complete


async def test_two_pods_that_publish_at_once_publish_the_same(three: Job) -> None:
    before = three.store.list()
    for key in before:
        if not key.startswith(WORK):
            three.store.delete(key)
    three.store.put(f"{notes.ROOT}solver/left", b"by a pod that died")
    both = await asyncio.gather(*(asyncio.to_thread(publish_all, three.task, three.store) for _ in range(2)))
    assert both == [three.final, three.final]
    assert three.store.list() == before


def test_a_finished_job_is_only_reported_again(one: Job, tmp_path: Path) -> None:
    before = {key: one.store.get(key) for key in one.store.list()}
    pod = start_pod(one.task, tmp_path, 0)
    pod.communicate(timeout=120)
    assert pod.returncode == 0
    assert left(tmp_path, 0) == one.final
    assert {key: one.store.get(key) for key in one.store.list()} == before


def test_a_bucket_that_is_done_is_not_done_again(three: Job, tmp_path: Path, models: str) -> None:
    """The pod died between its marker and the publishing: the next finishes without asking any model."""
    hexed = three.task.digest.removeprefix("sha256:")
    for key in three.store.list():
        if not key.startswith(WORK):
            three.store.delete(key)
    report = run_job(three.task, tmp_path, three.pages).final
    assert report == three.final
    assert hexed in report.artifacts["dataset"].uri


def test_sigterm_ends_a_pod_at_once_with_its_word(tmp_path: Path, pages: str, models: str) -> None:
    slow = {"requestsPerSecondPerHost": 0.05, "allowAddresses": ["127.0.0.0/8"]}
    pod = start_pod(make_task(pages, models, {"uri": tmp_path.as_uri()}, recrawl=slow), tmp_path, 0)
    assert pod.stdout is not None
    assert "pages" in pod.stdout.readline()
    pod.terminate()
    _, errors = pod.communicate(timeout=120)
    assert (pod.returncode, errors) == (143, "")
    assert left(tmp_path, 0).reason == "Terminated"


@pytest.mark.parametrize("limit", ["maxTokens", "maxCostUSD"])
def test_a_spent_budget_ends_the_run_and_a_raised_one_goes_on(
    tmp_path: Path, pages: str, models: str, limit: str
) -> None:
    def run(name: str, code: int, budget: dict[str, float]) -> RunReport:
        source = {"uri": f"{pages}/source.jsonl", "limit": 24}
        storage = {"uri": (tmp_path / name).as_uri()}
        pod = start_pod(make_task(pages, models, storage, budget, source=source), tmp_path, 0)
        pod.communicate(timeout=120)
        assert pod.returncode == code
        return left(tmp_path, 0)

    whole = run("undisturbed", 0, {}).usage
    assert whole is not None
    full = whole.cost_usd if limit == "maxCostUSD" else whole.prompt_tokens + whole.completion_tokens
    cap = round(0.4 * full, 6) if limit == "maxCostUSD" else int(0.4 * full)
    stopped = run("budget", 2, {limit: cap})
    assert (stopped.state, stopped.reason) == ("Failed", "BudgetExceeded")
    assert stopped.message == f"budget.{limit}: {cap:g} is spent; raise it to go on"
    assert stopped.usage is not None
    spent = stopped.usage.cost_usd if limit == "maxCostUSD" else stopped.usage.prompt_tokens
    assert spent < 0.6 * full
    finished = run("budget", 0, {limit: 2 * full}).usage
    assert finished is not None
    assert finished.reused is not None
    paid = (finished.requests, finished.prompt_tokens, finished.completion_tokens, finished.cost_usd)
    assert paid == (whole.requests, whole.prompt_tokens, whole.completion_tokens, whole.cost_usd)
    assert finished.reused.requests >= 0.5 * stopped.usage.requests
