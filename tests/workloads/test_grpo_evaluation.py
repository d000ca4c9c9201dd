"""What a run is measured on, end to end: held-out questions every other step, benchmarks with a judge of their own, a
reward term of an installed package; and the command line scores the run's own completions alike."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy
import pyarrow
import pyarrow.parquet
import pytest
import torch
import yaml
from aiohttp import web
from transformers import set_seed

from reasoner_workloads.grpo import score
from reasoner_workloads.grpo.examine import apart, seed_of
from support.http_server import serving
from support.stand_ins import Pod, grpo_task

SUMS = [{"q": f"{number} + 1", "options": ["1", "2", "3"], "a": number} for number in range(3)]


class Judge:
    """Passes every answer, over the chat API."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.keys: set[str | None] = set()

    async def complete(self, request: web.Request) -> web.Response:
        self.keys.add(request.headers.get("Authorization"))
        self.asked.append((await request.json())["messages"][0]["content"])
        return web.json_response({"choices": [{"index": 0, "message": {"content": "Final Decision: Yes"}}]})


def test_measured_every_other_step_and_on_benchmarks(
    seeds: Path,
    tmp_path: Path,
    house_rewards: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in SUMS))
    spread = [{"question": "7 + 1 =", "answer": "8"}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(spread), tmp_path / "spread.parquet")
    judge, app = Judge(), web.Application()
    app.router.add_post("/v1/chat/completions", judge.complete)
    task = grpo_task(seeds, tmp_path / "out")
    with serving(app) as url:
        task["work"]["evaluation"] = {
            "prompts": 3,
            "everySteps": 2,
            "benchmarks": [
                {
                    "name": "sums",
                    "uri": f"{tmp_path.as_uri()}/sums.jsonl",
                    "columns": {"question": "q", "answer": "a", "options": "options"},
                },
                {"name": "spread", "uri": f"{tmp_path.as_uri()}/spread.parquet", "samples": 4, "temperature": 1.0},
            ],
            "judge": {"endpoint": f"{url}/v1", "model": "judge"},
        }
        task["work"]["reward"] = {"terms": [{"name": "brevity", "weight": 0.5, "args": {"limit": 30}}]}
        env = {"PYTHONPATH": str(house_rewards), "JUDGE_API_KEY": "s3cret"}
        pod = Pod("grpo", task, tmp_path / "pod", env)
        code, report, log = pod.run()
        assert code == 0, log
        # The model lost, a later pod knows what was measured and asks nobody again.
        asked = len(judge.asked)
        shutil.rmtree(Path(report.artifacts["model"].uri.removeprefix("file://")))
        code, again, log_of_another = pod.run()
    assert code == 0, log_of_another
    assert len(judge.asked) == asked
    figures = {name for name in report.metrics if name.startswith("benchmark") or name.endswith(("_before", "_after"))}
    assert len(figures) == 10
    assert {name: again.metrics[name] for name in figures} == {name: report.metrics[name] for name in figures}
    store = Path(report.artifacts["model"].uri.removeprefix("file://")).parent
    measured = {path.stem: json.loads(path.read_text()) for path in (store / "evaluation").iterdir()}
    assert measured.keys() == {"step-00000000", "step-00000002", "step-00000004", "benchmark-sums", "benchmark-spread"}
    for figure in ("reward", "accuracy"):
        assert report.metrics[f"{figure}_before"] == measured["step-00000000"][figure]
        assert report.metrics[f"{figure}_after"] == measured["step-00000004"][figure]
    assert {"benchmark/sums", "benchmark/spread"} <= report.metrics.keys()
    assert (report.metrics["benchmark_questions/sums"], report.metrics["benchmark_questions/spread"]) == (3, 1)
    kept = {
        what: pyarrow.parquet.read_table(
            store / "completions" / f"{what}-step-{step:08d}-rank-0000.parquet"
        ).to_pylist()
        for what, step in (("test", 0), ("benchmark-sums", 4), ("benchmark-spread", 4))
    }
    assert [len(rows) for rows in kept.values()] == [3, 3, 4]
    assert [row["ground_truth"] for row in kept["benchmark-sums"]] == ["A", "B", "C"]
    assert kept["benchmark-sums"][0]["question"] == "0 + 1\nA. 1\nB. 2\nC. 3"
    # Every answer to a benchmark went to the judge, which passes it, and none of another question.
    answered = [row for name in ("benchmark-sums", "benchmark-spread") for row in kept[name] if row["answer"]]
    assert all(row["verdict"] for row in answered)
    assert len(judge.asked) == len({(row["question"], row["answer"]) for row in answered})
    assert judge.keys <= {"Bearer s3cret"}
    assert "reward_term/brevity" in log

    # The command gives every completion of the run the very reward that the policy learnt from.
    spec = {name: task["work"][name] for name in ("baseModel", "storage", "reward")}
    spec |= {"dataset": {"uri": "file:///none"}, "verifier": {"rules": {}}}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({"kind": "GRPORun", "spec": spec}))
    monkeypatch.syspath_prepend(str(house_rewards))
    learnt = store / "completions" / "train-step-00000003-rank-0000.parquet"
    assert score.main([str(learnt), "--run", str(tmp_path / "run.yaml"), "-o", "json"]) == 0
    rewards = [row["reward"] for row in json.loads(capsys.readouterr().out)["rows"]]
    assert rewards == [row["reward"] for row in pyarrow.parquet.read_table(learnt).to_pylist()]
    assert len(rewards) == 8


def test_what_is_drawn_in_a_measurement_is_nobody_elses_business() -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(numpy.random.random()), float(torch.rand(1))

    set_seed(7)
    undisturbed = [draw() for _ in range(3)]
    set_seed(7)
    inside = []
    disturbed = []
    for _ in range(3):
        with apart(3):
            inside.append(draw())
        disturbed.append(draw())
    assert disturbed == undisturbed
    assert len(set(inside)) == 1


@pytest.mark.parametrize(
    ("use_vllm", "mode", "seeds"),
    [(True, "colocate", [42, 42, 43, 43]), (True, "server", [42, 43, 44, 45]), (False, "colocate", [42, 43, 44, 45])],
)
def test_processes_that_share_an_engine_draw_alike(use_vllm: bool, mode: str, seeds: list[int]) -> None:
    args = SimpleNamespace(seed=42, use_vllm=use_vllm, vllm_mode=mode, vllm_tensor_parallel_size=2)
    assert [seed_of(args, rank) for rank in range(4)] == seeds  # type: ignore[arg-type]
