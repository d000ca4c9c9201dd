"""The recipe in TRL's terms, and that nothing heavy is loaded before it is needed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SETTINGS = """
import importlib.util, json, sys
from pathlib import Path
from reasoner_api.grpo import CheckpointSettings, GRPOWork
from reasoner_workloads.common.run import ConfigError
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: sys if name == "vllm" else find(name, *a)
from reasoner_workloads.grpo.settings import arguments, resumable_every
work = GRPOWork.model_validate(json.loads(sys.argv[1]))
config = arguments(work, Path("/tmp/none"))
found = {name: getattr(config, name) for name in json.loads(sys.argv[2])}
print(json.dumps(found | {"every": resumable_every(config)}))
try:
    arguments(work.model_copy(update={"checkpoint": CheckpointSettings(every_steps=81)}), Path("/tmp/none"))
except ConfigError as error:
    print(error)
"""


def test_the_defaults_are_the_papers() -> None:
    expected = {
        "learning_rate": 5e-7,
        "lr_scheduler_type": "constant",
        "max_steps": 2800,
        "num_generations": 8,
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 8,
        "steps_per_generation": 32,
        "generation_batch_size": 256,  # of each process; 32 of them make 8,192
        "max_completion_length": 8192,
        "temperature": 1.0,
        "epsilon": 0.3,
        "delta": 10.0,
        "beta": 1e-4,
        "use_bias_correction_kl": False,
        "entropy_coef": 0.001,
        "loss_type": "bnpo",
        "scale_rewards": "group",
        "num_iterations": 1,
        "weight_decay": 0.01,
        "max_grad_norm": 1.0,
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_max_model_length": 9216,
        "vllm_importance_sampling_correction": False,
        "save_steps": 80,
    }
    # bf16 is checked against the device when the configuration is made.
    work = {"baseModel": "Qwen/Qwen2.5-7B", "storage": {"uri": "s3://b/p"}, "grpo": {"bf16": False}}
    command = [sys.executable, "-c", SETTINGS, json.dumps(work), json.dumps(list(expected))]
    found, refused = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-2:]
    assert json.loads(found) == {**expected, "every": 4}
    # Within a generation the trainer's buffered completions are lost: a run could not go on as it was.
    assert refused.startswith("checkpoint.everySteps: 81 must be a multiple of 4")


@pytest.mark.parametrize(
    "module", ["verifier", "grpo", "verifier.run", "grpo.run", "verifier.serve", "training.launch"]
)
def test_importing_a_workload_loads_no_torch(module: str) -> None:
    heavy = "{'torch', 'transformers', 'trl'}"
    code = f"import sys, reasoner_workloads.{module}; print(sorted({heavy} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert found.stdout.strip() == "[]"
