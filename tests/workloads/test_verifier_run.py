"""A verifier's training as its pod runs it: trained, measured, published; cut short and resumed; done twice."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from reasoner_api.common import VerifierPrompt
from reasoner_api.report import RunReport
from reasoner_workloads.common.artifact import verify
from reasoner_workloads.verifier.prompt import ask
from support.stand_ins import Pod, verifier_task


def model_of(report: RunReport) -> Path:
    return Path(report.artifacts["model"].uri.removeprefix("file://"))


def decodes_as_measured(folder: Path) -> bool:
    """Whether plain transformers loads the model, and decodes it greedily without being told."""
    loaded = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompt = tokenizer(ask(VerifierPrompt(), "What is 1 + 1?", "2", "two"), return_tensors="pt")
    said = loaded.generate(**prompt, max_new_tokens=8)
    greedy = loaded.generate(**prompt, max_new_tokens=8, do_sample=False, repetition_penalty=1.0)
    return loaded.generation_config.max_new_tokens == 2048 and said.tolist() == greedy.tolist()


def test_trained_measured_published_and_not_done_twice(seeds: Path, tmp_path: Path) -> None:
    pod = Pod("verifier", verifier_task(seeds, tmp_path / "out"), tmp_path / "pod")
    code, report, log = pod.run()
    assert (code, report.state, report.complete) == (0, "Succeeded", True), log
    expected = {"step", "max_steps", "loss", "agreement", "precision", "recall", "baseline_agreement"}
    assert expected <= report.metrics.keys()
    assert (report.metrics["step"], report.metrics["max_steps"]) == (4, 4)
    assert 0.3 < report.metrics["baseline_agreement"] <= 1
    assert report.progress.percent == 100
    model = model_of(report)
    names = {path.name for path in model.iterdir()}
    assert {"model.safetensors", "tokenizer.json", "config.json", "generation_config.json", "README.md"} <= names
    assert "training_args.bin" not in names
    assert len(json.loads((model / "evaluation.json").read_text())["paperExamples"]) == 3
    assert "<h2>Training loss</h2>" in (model / "report.html").read_text()
    assert decodes_as_measured(model)
    assert json.loads((model / "verifier.json").read_text())["passMarker"] == "Final Decision: Yes"
    manifest = verify(report.artifacts["model"].uri, digest=report.artifacts["model"].digest)
    assert set(manifest.inputs) == {"dataset", "base_model"}
    assert model.parent.name == manifest.spec_digest.removeprefix("sha256:")
    checkpoints = model.parent / "checkpoints"
    assert sorted(path.name for path in checkpoints.iterdir()) == ["step-00000002", "step-00000004"]

    code, again, log = pod.run(timeout=300)
    assert (code, again.artifacts, again.metrics) == (0, report.artifacts, report.metrics)
    assert "published already" in log

    # Another pod finds no model and a damaged checkpoint: it goes on from the one before.
    shutil.rmtree(model)
    (checkpoints / "step-00000004" / "optimizer.pt").write_bytes(b"half of it")
    code, report, log = pod.run()
    assert (code, report.metrics["step"]) == (0, 4), log
    assert "warning: CheckpointDamaged: passed over the checkpoint of step 4" in log
    assert "optimizer.pt differs from its sha256" in log


def test_sigterm_leaves_a_checkpoint_that_the_next_pod_resumes_from(seeds: Path, tmp_path: Path) -> None:
    task = verifier_task(seeds, tmp_path / "out", maxSteps=60, saveSteps=1000)
    pod = Pod("verifier", task, tmp_path / "pod")
    process = pod.start()
    assert process.stdout is not None
    for line in process.stdout:
        if "'loss'" in line:
            break
    process.send_signal(signal.SIGTERM)
    code, report, log = pod.wait(process)
    assert (code, report.state, report.reason) == (143, "Failed", "Terminated"), log
    assert report.last_checkpoint is not None
    stopped = report.last_checkpoint.step
    assert 1 <= stopped < 60

    code, report, log = pod.run()
    assert (code, report.metrics["step"]) == (0, 60), log
    assert f"resuming after step {stopped}" in log


def test_a_misspelt_argument_is_the_users_fault(seeds: Path, tmp_path: Path) -> None:
    task = verifier_task(seeds, tmp_path / "out", args={"learning_rat": 1})
    code, report, log = Pod("verifier", task, tmp_path / "pod").run()
    assert (code, report.reason) == (2, "BadConfig"), log
    assert report.message == (
        "training.args.learning_rat: TRL's SFTConfig has no such argument; did you mean learning_rate?"
    )


def test_rows_that_would_be_cut_are_left_out(seeds: Path, tmp_path: Path) -> None:
    task = verifier_task(seeds, tmp_path / "out", maxSteps=1, maxLength=44)
    code, report, log = Pod("verifier", task, tmp_path / "pod").run()
    assert code == 0, log
    assert "rows left out: longer than training.maxLength" in log
    task = verifier_task(seeds, tmp_path / "short", maxLength=20)
    code, report, log = Pod("verifier", task, tmp_path / "pod").run()
    assert (code, report.reason) == (2, "BadConfig"), log
    assert "training.maxLength: every row is longer" in report.message


@pytest.mark.timeout(600)
def test_two_processes_share_zero_3_lora_packing_and_bf16(seeds: Path, tmp_path: Path) -> None:
    more = {"packing": True, "bf16": True, "gradientCheckpointing": True, "lora": {"r": 4}}
    task = verifier_task(seeds, tmp_path / "out", deepspeed={"zeroStage": 3}, **more)
    task["topology"] = {"processesPerNode": 2}
    code, report, log = Pod("verifier", task, tmp_path / "pod").run(timeout=300)
    assert (code, report.metrics["step"], report.metrics["held_out_rows"]) == (0, 4, 16), log
    model = model_of(report)
    assert not list(model.glob("adapter*")), "the adapters are merged in"
    assert decodes_as_measured(model)
    made = [(model / name).read_bytes() for name in ("model.safetensors", "evaluation.json")]
    # Another pod finds no model: it goes on from the last checkpoint of both processes. How fast others have trained is
    # not in its figures.
    shutil.rmtree(model)
    code, again, log = Pod("verifier", task, tmp_path / "pod").run(timeout=300)
    assert (code, again.metrics["step"]) == (0, 4), log
    assert "resuming after step 4" in log
    assert [(model / name).read_bytes() for name in ("model.safetensors", "evaluation.json")] == made
