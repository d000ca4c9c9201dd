"""A GRPORun's task -> the vLLM server that generates its responses: command and environment. Called by `server`;
pure."""

from __future__ import annotations

import json
from collections.abc import Mapping

from reasoner_api.grpo import GRPOWork
from reasoner_api.rollout import RolloutServer
from reasoner_api.task import ROLLOUT_PORT, GRPOTask
from reasoner_workloads.common.run import ConfigError

#: What the workers can say of the weights that they hold: see `sums`.
EXTENSION = "reasoner_workloads.grpo.rollout.sums.WorkerSums"
#: Arguments that TRL's weight sync and the checks of the policy version stand on.
OWNED = (
    "--host", "--port", "--tensor-parallel-size", "-tp", "--data-parallel-size", "-dp", "--weight-transfer-config",
    "--logprobs-mode", "--worker-extension-cls", "--dtype", "--quantization", "-q", "--served-model-name",
)  # fmt: skip
#: The trainers' rendezvous is not the engine's.
_NOT_ITS = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "RANK", "LOCAL_RANK", "WORLD_SIZE")


def command(task: GRPOTask, model: str, host: str) -> list[str]:
    """`vllm serve` as TRL 1.16 wants it: weights by NCCL, the log-probabilities that were sampled from.

    Raises:
        ConfigError: an argument of the spec's that is not the user's to set, or GPUs that do not divide.
    """
    work, settings = task.work, task.work.rollout.server or RolloutServer()
    for given in settings.args:
        name = given.partition("=")[0].replace("_", "-")
        if name in OWNED:
            raise ConfigError(f"rollout.server.args: {name} is not yours to set here")
    parallel = work.rollout.tensor_parallel_size
    gpus = task.topology.processes_per_node
    if gpus % parallel:
        raise ConfigError(
            f"rollout.tensorParallelSize: {parallel} does not divide the {gpus} GPUs of the server's node"
        )
    return [
        "vllm", "serve", model,
        f"--host={host}",
        f"--port={ROLLOUT_PORT}",
        f"--tensor-parallel-size={parallel}",
        f"--data-parallel-size={gpus // parallel}",
        f"--gpu-memory-utilization={settings.gpu_memory_utilization}",
        f"--max-model-len={longest(work)}",
        # The weights that the trainer sends are rounded to this, as its own forward passes are.
        f"--dtype={'bfloat16' if work.grpo.bf16 else 'float32'}",
        f"--seed={work.grpo.seed}",
        f"--weight-transfer-config={json.dumps({'backend': 'nccl'})}",
        "--logprobs-mode=processed_logprobs",
        "--max-logprobs=-1",
        f"--worker-extension-cls={EXTENSION}",
        # Asked every second.
        "--disable-access-log-for-endpoints=/health",
        *settings.args,
    ]  # fmt: skip


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """The pod's environment as the server's."""
    kept = {name: value for name, value in env.items() if name not in _NOT_ITS}
    # The routes by which weights are updated are development routes to vLLM; the pod's port is open to the run alone.
    return {**kept, "VLLM_SERVER_DEV_MODE": "1"}


def longest(work: GRPOWork) -> int:
    """Tokens of a prompt and its response at most."""
    return work.grpo.max_prompt_tokens + work.grpo.max_completion_length
