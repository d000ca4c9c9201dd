"""The recipe in TRL's terms, and that nothing heavy is loaded before it is needed."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

SETTINGS = """
import importlib.util, json, sys
from pathlib import Path
from reasoner_api.grpo import CheckpointSettings, GRPOWork
from reasoner_workloads.common.run import ConfigError
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: sys if name == "vllm" else find(name, *a)
from reasoner_workloads.grpo.settings import arguments, resumable_every
works, names = json.loads(sys.argv[1])
for given in works:
    work = GRPOWork.model_validate(given)
    config = arguments(work, Path("/tmp/none"))
    print(json.dumps({name: getattr(config, name) for name in names} | {"every": resumable_every(config)}))
try:
    arguments(work.model_copy(update={"checkpoint": CheckpointSettings(every_steps=81)}), Path("/tmp/none"))
except ConfigError as error:
    print(error)
"""
PAPER = ("7b", "14b", "qwen3-4b", "qwen3-14b")
DEFAULTS = {"baseModel": "Qwen/Qwen2.5-7B", "storage": {"uri": "s3://b/p"}}


def documented(root: Path) -> dict[str, Any]:
    """TRL's arguments in the table of the paper's recipe."""
    text = (root / "workloads" / "README.md").read_text().partition("## The paper's recipe in TRL")[2]
    rows = [line.split("|")[3] for line in text.splitlines() if line.startswith("|")]
    return {name: ast.literal_eval(value) for row in rows for name, value in re.findall(r"`(\w+)=([^`]+)`", row)}


def sample(root: Path, name: str) -> dict[str, Any]:
    """A sample's spec."""
    return dict(yaml.safe_load((root / "crds" / "samples" / "paper" / f"grpo-{name}.yaml").read_text())["spec"])


def work(spec: dict[str, Any]) -> dict[str, Any]:
    """The part of a spec that its pods read."""
    found = {name: value for name, value in spec.items() if name not in ("dataset", "verifier", "compute")}
    # bf16 is checked against the device when the configuration is made, and DeepSpeed wants a launcher.
    return {**found, "grpo": {**found.get("grpo", {}), "bf16": False, "deepspeed": None}}


def test_the_defaults_and_the_samples_are_the_papers_as_documented(root: Path) -> None:
    table = documented(root)
    assert len(table) > 20
    specs = [DEFAULTS, *(sample(root, name) for name in PAPER)]
    given = json.dumps([[work(spec) for spec in specs], list(table)])
    command = [sys.executable, "-c", SETTINGS, given]
    *found, refused = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-6:]
    for name, line in zip(("defaults", *PAPER), found, strict=True):
        assert json.loads(line) == {**table, "every": 4}, name
    # Within a generation the trainer's buffered completions are lost: a run could not go on as it was.
    assert refused.startswith("checkpoint.everySteps: 81 must be a multiple of 4")


@pytest.mark.parametrize("name", [*PAPER, "7b-server"])
def test_a_samples_generation_is_whole_mini_batches_of_whole_prompts(name: str, root: Path) -> None:
    spec = sample(root, name)
    grpo, compute, rollout = spec["grpo"], spec["compute"], spec["rollout"]
    nodes = compute["nodes"] - (rollout["mode"] == "server")
    a_pass = grpo["perDeviceTrainBatchSize"] * nodes * compute["gpusPerNode"]
    generation, mini_batch = a_pass * grpo["stepsPerGeneration"], a_pass * grpo["gradientAccumulationSteps"]
    assert (generation % mini_batch, mini_batch % grpo["numGenerations"]) == (0, 0)
    assert generation // mini_batch == 4
    assert (generation, mini_batch) == ((8448, 2112) if name == "7b-server" else (8192, 2048))
    assert compute["gpusPerNode"] % rollout["tensorParallelSize"] == 0


@pytest.mark.parametrize(
    "module", ["verifier", "grpo", "verifier.run", "grpo.run", "verifier.serve", "training.launch"]
)
def test_importing_a_workload_loads_no_torch(module: str) -> None:
    heavy = "{'torch', 'transformers', 'trl'}"
    code = f"import sys, reasoner_workloads.{module}; print(sorted({heavy} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=300)
    assert found.stdout.strip() == "[]"
