"""GRPOSettings -> TRL's GRPOConfig: the recipe in TRL's terms. Called by `train`; needs TRL."""

from __future__ import annotations

import importlib.util
import math
import os
from pathlib import Path
from typing import Any

from trl import GRPOConfig

from reasoner_api.grpo import GRPOWork
from reasoner_api.task import ROLLOUT_PORT, WEIGHTS_PORT
from reasoner_workloads.common.run import ConfigError
from reasoner_workloads.grpo.rollout import command, hold
from reasoner_workloads.training.arguments import build, deepspeed_config, device_arguments
from reasoner_workloads.training.trackers import trackers

#: Hours that a process waits for the others: while one uploads, or measures, the rest wait.
WAIT_SECONDS = 2 * 3600
#: TRL's arguments that other parts of the spec set, or that follow from them.
PLACES = {
    "save_steps": "checkpoint.everySteps",
    "eval_strategy": "evaluation.everySteps",
    "eval_steps": "evaluation.everySteps",
    "num_generations_eval": "evaluation.samples",
    "generation_batch_size": "grpo.stepsPerGeneration",
    "use_vllm": "rollout.engine",
    "vllm_mode": "rollout.mode",
    "vllm_server_base_url": "rollout.mode",
    "vllm_server_host": "rollout.mode",
    "vllm_server_port": "rollout.mode",
    "vllm_group_port": "rollout.mode",
    "vllm_tensor_parallel_size": "rollout.tensorParallelSize",
    "vllm_gpu_memory_utilization": "rollout.gpuMemoryUtilization",
    "vllm_max_model_length": "grpo.maxPromptTokens and grpo.maxCompletionLength",
}


def arguments(work: GRPOWork, output: Path) -> GRPOConfig:
    """GRPOConfig of the work. Raises ConfigError, also where a run could not resume from its checkpoints."""
    settings = work.grpo
    ours: dict[str, Any] = settings.model_dump(exclude={"args", "deepspeed", "instruction", "max_prompt_tokens"})
    ours |= (
        device_arguments()
        | _rollout(work)
        | {
            "output_dir": str(output),
            "deepspeed": deepspeed_config(settings.deepspeed),
            # The paper's KL is the plain low-variance estimator, without importance weights.
            "use_bias_correction_kl": False,
            "save_strategy": "steps",
            "save_steps": work.checkpoint.every_steps,
            "save_total_limit": 1,
            "logging_steps": 1,
            # A loss that is no number must show: `guards` decides what follows.
            "logging_nan_inf_filter": False,
            "report_to": trackers(os.environ) or "none",
            "disable_tqdm": True,
            "ddp_timeout": WAIT_SECONDS,
        }
    )
    config = build(GRPOConfig, ours, settings, "grpo", PLACES)
    every = resumable_every(config)
    if work.checkpoint.every_steps % every:
        # Within a generation the trainer's buffered completions are lost: it would not go on as it was.
        raise ConfigError(
            f"checkpoint.everySteps: {work.checkpoint.every_steps} must be a multiple of {every}, the optimizer steps "
            "that one generation serves (stepsPerGeneration * numIterations / gradientAccumulationSteps)"
        )
    return config


def prompts_a_generation(config: GRPOConfig) -> int:
    """Different prompts that all processes together ask at a time."""
    return int(config.generation_batch_size // config.num_generations)


def resumable_every(config: GRPOConfig) -> int:
    """Optimizer steps between the points at which a new generation starts."""
    passes = config.steps_per_generation * config.num_iterations
    return passes // math.gcd(passes, config.gradient_accumulation_steps)


def _rollout(work: GRPOWork) -> dict[str, Any]:
    if work.rollout.engine == "transformers":
        return {"use_vllm": False}
    if importlib.util.find_spec("vllm") is None:
        raise ConfigError("rollout.engine: this image holds no vllm; set it to transformers, or use a GPU image")
    shared = {
        "use_vllm": True,
        "vllm_mode": work.rollout.mode,
        # The recipe takes the sampler's tokens as the policy's own.
        "vllm_importance_sampling_correction": False,
    }
    if work.rollout.mode == "server":
        return shared | {
            "vllm_server_base_url": f"http://{hold.host()}:{ROLLOUT_PORT}",
            "vllm_group_port": WEIGHTS_PORT,
        }
    return shared | {
        "vllm_gpu_memory_utilization": work.rollout.gpu_memory_utilization,
        "vllm_tensor_parallel_size": work.rollout.tensor_parallel_size,
        "vllm_max_model_length": command.longest(work),
    }
