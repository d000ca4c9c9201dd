"""A GRPO run as its pod runs it: measured, trained, measured, published; cut short and resumed; the verifier away."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pyarrow.parquet
from aiohttp import web

from reasoner_api.manifest import ArtifactManifest
from reasoner_api.task import TASK
from reasoner_workloads.common.artifact import publish, verify
from reasoner_workloads.common.store import open_store
from support.http_server import serving
from support.stand_ins import Pod, grpo_task


class Verifier:
    """A verifier that passes what equals the truth, as long as `status` is 200."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.asked = 0
        self.leaves_after: int | None = None

    async def complete(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.leaves_after is not None and self.asked > self.leaves_after:
            self.status = 503
        truth, answer = (await request.json())["prompt"].split("|")[1:]
        text = "PASS" if truth == answer else "FAIL"
        return web.json_response({"choices": [{"index": 0, "text": text}]}, status=self.status)

    @contextmanager
    def served(self) -> Iterator[dict[str, Any]]:
        """A task's `verifier`."""
        app = web.Application()
        app.router.add_post("/v1/completions", self.complete)
        with serving(app) as url:
            yield {
                "endpoint": f"{url}/v1",
                "model": "verifier",
                "prompt": {
                    "template": "{question}|{ground_truth}|{student_answer}",
                    "passMarker": "PASS",
                    "failMarker": "FAIL",
                },
                "digest": f"sha256:{'0' * 64}",
            }


def test_measured_trained_published_and_resumed_without_measuring_again(seeds: Path, tmp_path: Path) -> None:
    pod = Pod("grpo", grpo_task(seeds, tmp_path / "out"), tmp_path / "pod")
    code, report, log = pod.run()
    assert (code, report.state, report.complete) == (0, "Succeeded", True), log
    figures = {"step", "max_steps", "reward", "accuracy", "response_length", "kl", "extraction_failures"}
    figures |= {"tokens_per_second", "generation_seconds", "reward_seconds", "update_seconds"}
    assert figures | {"reward_before", "reward_after"} <= report.metrics.keys()
    assert all(report.metrics[f"{part}_seconds"] > 0 for part in ("generation", "reward", "update"))
    assert (report.metrics["step"], report.metrics["max_steps"]) == (4, 4)
    assert -0.5 <= report.metrics["reward_before"] <= 1
    assert report.lineage is not None
    assert report.lineage.dataset and report.lineage.base_model
    assert report.lineage.verifier is None
    model = Path(report.artifacts["model"].uri.removeprefix("file://"))
    manifest = verify(report.artifacts["model"].uri, digest=report.artifacts["model"].digest)
    assert manifest.inputs == {
        "dataset": report.lineage.dataset, "base_model": report.lineage.base_model, "verifier": "math-verify",
    }  # fmt: skip
    files = {"model.safetensors", "tokenizer.json", "metrics.json", "README.md", "report.html"}
    assert files <= {path.name for path in model.iterdir()}
    kept = sorted(path.name for path in (model.parent / "completions").iterdir())
    assert [name for name in kept if name.startswith("train")] == [
        f"train-step-{step:08d}-rank-0000.parquet" for step in range(4)
    ]
    rows = pyarrow.parquet.read_table(model.parent / "completions" / kept[-1]).to_pylist()
    assert len(rows) == 8
    assert [(row["step"], row["policy_version"]) for row in rows] == [(3, 3)] * 8
    assert all(row["question_id"].startswith("tiny-") for row in rows)

    # The model lost, the last checkpoint there: nothing is left to train, the first measurement stands.
    baseline = model.parent / "evaluation" / "step-00000000.json"
    baseline.write_text(json.dumps({**json.loads(baseline.read_text()), "reward": 0.25}))
    shutil.rmtree(model)
    code, again, log = pod.run()
    assert (code, again.metrics["reward_before"], again.metrics["step"]) == (0, 0.25, 4), log
    assert "resuming after step 4" in log
    assert "reward_after" in again.metrics
    # What the first pod has logged is what the second publishes.
    assert {name: again.metrics[name] for name in ("reward", "kl")} == {
        name: report.metrics[name] for name in ("reward", "kl")
    }


def test_a_dataset_too_small_for_a_generation_trains_nothing_and_does_not_pass_for_success(
    seeds: Path, tmp_path: Path
) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for split, rows in (("train", 1), ("test", 4)):
        table = pyarrow.parquet.read_table(seeds / "questions" / f"{split}.parquet")
        pyarrow.parquet.write_table(table.slice(0, rows), few / f"{split}.parquet")
    publish(open_store(tmp_path.as_uri()), few, "dataset", ArtifactManifest(type="dataset", files=[]))
    task = grpo_task(seeds, tmp_path / "out") | {"dataset": {"uri": f"{tmp_path.as_uri()}/dataset"}}
    code, report, log = Pod("grpo", task, tmp_path / "pod").run()
    assert (code, report.reason) == (2, "BadConfig"), log
    assert report.message.startswith("dataset: 1 training questions can be asked, and a generation asks 2 different")


def test_a_run_pauses_for_want_of_its_store_and_goes_on_once_it_is_there(
    seeds: Path, tmp_path: Path, endpoint: str
) -> None:
    storage = {"uri": "s3://later/models", "endpoint": endpoint}
    task = grpo_task(seeds, tmp_path) | {"output": "s3://later/models/grporuns/default/small"}
    task["work"]["storage"] = storage
    code, report, log = Pod("grpo", task, tmp_path / "pod").run()
    assert (code, report.state, report.reason) == (3, "Paused", "StoreUnavailable"), log
    assert "NoSuchBucket" in report.message and "goes on by itself" in report.message
    with contextlib.closing(boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")) as client:
        client.create_bucket(Bucket="later")
    code, report, log = Pod("grpo", task, tmp_path / "pod").run()
    assert (code, report.state) == (0, "Succeeded"), log


def test_sigterm_ends_at_a_point_that_the_next_pod_resumes_from(seeds: Path, tmp_path: Path) -> None:
    # Four optimizer steps learn from one generation: only between generations may a run be cut.
    task = grpo_task(seeds, tmp_path / "out", maxSteps=16, stepsPerGeneration=4, perDeviceTrainBatchSize=4)
    task["work"]["checkpoint"]["everySteps"] = 16
    with Verifier().served() as endpoint:
        pod = Pod("grpo", task | {"verifier": endpoint}, tmp_path / "pod")
        process = pod.start()
        assert process.stdout is not None
        for line in process.stdout:
            if "'grad_norm'" in line:
                break
        process.send_signal(signal.SIGTERM)
        code, report, log = pod.wait(process)
        assert (code, report.reason) == (143, "Terminated"), log
        assert report.last_checkpoint is not None
        stopped = report.last_checkpoint.step
        assert stopped % 4 == 0
        code, report, log = pod.run()
    assert (code, report.metrics["step"]) == (0, 16), log
    assert f"resuming after step {stopped}" in log
    assert report.lineage is not None
    assert report.lineage.verifier == endpoint["digest"]


def test_a_run_that_resumes_within_a_generation_is_in_step_again_with_the_next(seeds: Path, tmp_path: Path) -> None:
    def task(output: Path, passes: int, steps: int) -> dict[str, Any]:
        made = grpo_task(seeds, output, maxSteps=steps, stepsPerGeneration=passes, perDeviceTrainBatchSize=4)
        made["work"] |= {"checkpoint": {"everySteps": passes}, "evaluation": {"prompts": 1}}
        return made

    # A checkpoint of step 2, where a generation of four steps is half learnt from: what a stop in a hurry leaves.
    first, then = task(tmp_path / "first", 2, 2), task(tmp_path / "then", 4, 8)
    code, _, log = Pod("grpo", first, tmp_path / "pod").run()
    assert code == 0, log
    (kept,) = (tmp_path / "first").glob("*/checkpoints")
    prefix = tmp_path / "then" / TASK.validate_python(then).digest.removeprefix("sha256:")
    shutil.copytree(kept, prefix / "checkpoints")
    code, report, log = Pod("grpo", then, tmp_path / "pod").run()
    assert (code, report.metrics["step"]) == (0, 8), log
    assert "resuming after step 2" in log
    generations = sorted((prefix / "completions").glob("train-*"))
    assert [path.name for path in generations] == [f"train-step-{step:08d}-rank-0000.parquet" for step in (2, 4)]
    rest, whole = ({row["question"] for row in pyarrow.parquet.read_table(path).to_pylist()} for path in generations)
    assert len(rest) == len(whole) == 4
    assert not rest & whole


def test_a_verifier_that_refuses_pauses_the_run_and_no_reward_is_made_up(seeds: Path, tmp_path: Path) -> None:
    with Verifier(status=404).served() as endpoint:
        task = grpo_task(seeds, tmp_path / "out") | {"verifier": endpoint}
        code, report, log = Pod("grpo", task, tmp_path / "pod").run()
    assert (code, report.state, report.reason) == (3, "Paused", "VerifierUnavailable"), log
    assert "404" in report.message
    assert not any(name.startswith("reward") for name in report.metrics)


def test_a_verifier_that_leaves_costs_no_step_and_its_return_ends_the_run(seeds: Path, tmp_path: Path) -> None:
    """Two processes; the checkpoint is made when the wait is over, not when one was due."""
    task = grpo_task(seeds, tmp_path / "out", maxSteps=6) | {"topology": {"processesPerNode": 2}}
    task["work"]["checkpoint"]["everySteps"] = 6
    task["work"]["evaluation"]["prompts"] = 1
    task["work"]["reward"] = {"verifierUnavailable": {"waitSeconds": 0.5}, "noAnswer": -0.5}
    found = Verifier()
    with found.served() as endpoint:
        pod = Pod("grpo", task | {"verifier": endpoint}, tmp_path / "pod")
        found.leaves_after = 12
        code, report, log = pod.run()
        assert (code, report.state, report.reason) == (3, "Paused", "VerifierUnavailable"), log
        stopped = report.metrics["step"]
        assert report.last_checkpoint is not None
        assert 0 < report.last_checkpoint.step == stopped < 6
        found.status, found.leaves_after = 200, None
        code, report, log = pod.run()
    assert (code, report.metrics["step"]) == (0, 6), log
    assert f"resuming after step {stopped:.0f}" in log


def test_two_processes_train_together_and_one_reports_for_both(seeds: Path, tmp_path: Path) -> None:
    task = grpo_task(seeds, tmp_path / "out", maxSteps=2) | {"topology": {"processesPerNode": 2}}
    code, report, log = Pod("grpo", task, tmp_path / "pod").run()
    assert (code, report.state, report.complete) == (0, "Succeeded", True), log
    assert report.metrics["step"] == 2
    model = Path(report.artifacts["model"].uri.removeprefix("file://"))
    kept = {path.name for path in (model.parent / "completions").iterdir()}
    assert {f"train-step-{step:08d}-rank-{rank:04d}.parquet" for step in range(2) for rank in range(2)} <= kept
    checkpoint = model.parent / "checkpoints" / "step-00000002"
    assert {"rng_state_0.pth", "rng_state_1.pth", "manifest.json"} <= {path.name for path in checkpoint.iterdir()}
