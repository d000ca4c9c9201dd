"""How a GRPORun generates its responses: part of its spec. Used by `grpo`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from reasoner_api.base import Model, rules


class RolloutServer(Model):
    """The vLLM server of a run whose responses are generated apart from training."""

    gpu_memory_utilization: Annotated[float, Field(ge=0.01, le=1)] = 0.9
    """Share of each GPU's memory that it takes."""
    startup_seconds: Annotated[int, Field(ge=1, le=86400)] = 1800
    """Seconds that it may take to load the model and be ready; it fails the pod beyond them."""
    args: Annotated[list[str], Field(max_length=64)] = Field(default_factory=list)
    """More arguments of `vllm serve`, for example `--max-num-seqs=512`."""


class Rollout(Model):
    """How responses are generated."""

    model_config = rules(
        ("self.mode != 'server' || self.engine == 'vllm'", "mode server takes the engine vllm"),
        ("!has(self.server) || self.mode == 'server'", "server goes with mode server"),
    )

    mode: Literal["colocate", "server"] = "colocate"
    """Where: in the training processes, or by a vLLM server on the last of `compute.nodes`, a pod of the same Job: it
    is queued, placed, started anew and ended together with the training pods."""
    engine: Literal["vllm", "transformers"] = "vllm"
    """By what: vLLM, or transformers' own generation where there is no GPU."""
    gpu_memory_utilization: Annotated[float, Field(ge=0.01, le=1)] = 0.3
    """Share of a GPU's memory that vLLM takes."""
    tensor_parallel_size: Annotated[int, Field(ge=1, le=16)] = 1
    """GPUs over which vLLM splits the model."""
    server: RolloutServer | None = None
    """Settings of the server where there is one."""
    max_logprob_difference: Annotated[float, Field(ge=0.001, le=10)] = 0.2
    """Mean difference, in nats a token, that the sampler's log-probabilities may have from the trainer's on the same
    tokens, asked of a few responses of each generation. Beyond it the sampler does not hold the policy: an error."""
    kept_completions: Annotated[int, Field(ge=0, le=65536)] = 256
    """Responses of each generation that are kept as Parquet with what was scored, at least as many as one process
    scores; 0 for none."""
