"""Spec and status of GRPORun: dataset, verifier and base model in, a reasoning model out
(General-Reasoner, section 3)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from reasoner_api.base import Digest, Model, Open, rules
from reasoner_api.common import Compute, DatasetRef, DeepSpeed, Passthrough, Scheduling, Seed, Storage
from reasoner_api.evaluation import GRPOEvaluation
from reasoner_api.guards import Guards
from reasoner_api.reward import Reward, VerifierRef
from reasoner_api.rollout import Rollout
from reasoner_api.status import Artifact, Checkpoint, RunStatus, Warned
from reasoner_api.verifier import BaseModelName


class GRPOSettings(Model):
    """GRPO by TRL's GRPOTrainer, in TRL's own names; the defaults are the paper's."""

    model_config = rules(
        (
            "!has(self.delta) || self.delta > 1.0 + self.epsilon",
            "delta must be above 1 + epsilon: it bounds what epsilon leaves unclipped",
        ),
    )

    learning_rate: Annotated[float, Field(ge=0)] = 5e-7
    """Learning rate."""
    lr_scheduler_type: Annotated[str, Field(max_length=64)] = "constant"
    """Learning-rate schedule."""
    max_steps: Annotated[int, Field(ge=1)] = 2800
    """Optimizer steps: the paper's 700 generations of 4 mini-batches each."""
    num_generations: Annotated[int, Field(ge=2, le=1024)] = 8
    """Completions sampled for each prompt."""
    per_device_train_batch_size: Annotated[int, Field(ge=1)] = 8
    """Completions a forward pass on each process."""
    gradient_accumulation_steps: Annotated[int, Field(ge=1)] = 8
    """Forward passes an optimizer step."""
    steps_per_generation: Annotated[int, Field(ge=1)] = 32
    """Forward passes that one generation of completions serves."""
    num_iterations: Annotated[int, Field(ge=1)] = 1
    """Times that each generation is learnt from."""
    max_prompt_tokens: Annotated[int, Field(ge=1)] = 1024
    """Questions whose prompt is longer are left out."""
    max_completion_length: Annotated[int, Field(ge=1)] = 8192
    """Tokens of a response at most."""
    temperature: Annotated[float, Field(ge=0.01, le=2)] = 1.0
    """Sampling temperature."""
    epsilon: Annotated[float, Field(ge=0)] = 0.3
    """Clip ratio."""
    delta: Annotated[float, Field(ge=0)] | None = 10.0
    """Dual-clip bound."""
    beta: Annotated[float, Field(ge=0)] = 1e-4
    """Coefficient of the KL loss term."""
    entropy_coef: Annotated[float, Field(ge=0)] = 0.001
    """Coefficient of the entropy bonus."""
    loss_type: Literal["bnpo", "grpo", "dr_grpo", "dapo", "luspo", "cispo", "sapo", "vespo"] = "bnpo"
    """Normalisation of the loss; `bnpo` is the token mean."""
    scale_rewards: Literal["group", "batch", "none"] = "group"
    """Standard deviation that advantages are divided by."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Weight decay."""
    max_grad_norm: Annotated[float, Field(ge=0)] = 1.0
    """Gradient norm is clipped to this."""
    bf16: bool = True
    """Whether training runs in bfloat16; false for full precision."""
    gradient_checkpointing: bool = True
    """Whether activations are recomputed to save memory."""
    seed: Seed = 42
    """Seed of data order and sampling."""
    deepspeed: DeepSpeed | None = None
    """DeepSpeed settings; plain data parallelism when absent."""
    instruction: Annotated[str, Field(max_length=4096)] = (
        "Please reason step by step, and put your final answer within \\boxed{}."
    )
    """Text that follows each question in the prompt."""
    args: Passthrough = Field(default_factory=dict)
    """More arguments of TRL's GRPOConfig, in its names (snake case). What a field of this spec sets is refused here."""


class CheckpointSettings(Model):
    """What is kept to resume from."""

    every_steps: Annotated[int, Field(ge=1)] = 80
    """Optimizer steps between checkpoints."""
    keep: Annotated[int, Field(ge=1)] = 3
    """Checkpoints kept; the oldest go first."""
    grace_period_seconds: Annotated[int, Field(ge=10, le=86400)] = 600
    """Seconds between SIGTERM and SIGKILL (the pods' terminationGracePeriodSeconds): a step must end, and a checkpoint
    be written and brought away in them."""


class GRPOWork(Model):
    """The part of the spec that decides what the model will be: the pods read it, the digest covers it."""

    base_model: BaseModelName
    """Model to start from (the paper: Qwen/Qwen2.5-7B and others, without SFT before)."""
    reward: Reward = Reward()
    """The reward."""
    grpo: GRPOSettings = GRPOSettings()
    """Training settings."""
    rollout: Rollout = Rollout()
    """How responses are generated."""
    checkpoint: CheckpointSettings = CheckpointSettings()
    """What is kept to resume from."""
    guards: Guards = Guards()
    """What is watched while nobody looks."""
    evaluation: GRPOEvaluation = GRPOEvaluation()
    """What is measured, and what must be gained."""
    storage: Storage
    """Where artifacts and checkpoints go."""


class GRPORunSpec(GRPOWork):
    """Desired state of a GRPORun. Immutable but for `suspend`."""

    dataset: DatasetRef
    """Questions with their short answers."""
    verifier: VerifierRef
    """What judges the answers."""
    suspend: bool = False
    """Whether training is paused; mutable."""
    compute: Compute = Compute()
    """Where and on what the training pods run."""
    scheduling: Scheduling = Scheduling()
    """How the work is queued and retried."""


class Lineage(Open):
    """What the model was made from, by digest."""

    dataset: Digest | None = None
    """Digest of the dataset's manifest."""
    verifier: Digest | None = None
    """Digest of the verifier's manifest; absent for a foreign endpoint or rules."""
    base_model: str | None = None
    """Base model, by digest where it is an artifact, else by its name and commit on the Hugging Face Hub."""


class PolicyArtifacts(Model):
    """What the run has published."""

    model: Artifact | None = None
    """The reasoning model: weights, tokenizer, generation config and metrics, loadable by transformers and vLLM."""
    candidate: Artifact | None = None
    """The same where it gained less than `evaluation.minGain`: published, not promoted."""


class BenchmarkScore(Open):
    """What the model reached on a benchmark."""

    name: str
    """Name of the benchmark."""
    accuracy: float
    """Share of the responses judged right."""
    questions: int | None = None
    """Questions that were asked."""


class StepSeconds(Open):
    """Seconds of a generation with all its steps, by what they went into: the mean of the processes."""

    generation: float | None = None
    """Sampling the responses, and bringing the weights to the sampler."""
    reward: float | None = None
    """Waiting for their scores: the verifier is asked beside whatever needs no rewards."""
    update: float | None = None
    """Forward and backward passes, and the optimizer, of the generation before."""


class GRPORunStatus(RunStatus):
    """Observed state of a GRPORun."""

    step: int | None = None
    """Optimizer steps done."""
    max_steps: int | None = None
    """Optimizer steps in all."""
    reward: float | None = None
    """Mean training reward of the last generation."""
    reward_text: str | None = None
    """The same as text, for `kubectl get`."""
    accuracy: float | None = None
    """Share of the last generation that the verifier passed."""
    response_length: float | None = None
    """Mean response length of the last generation, tokens."""
    kl: float | None = None
    """Mean KL divergence from the base model, where it is measured."""
    reward_before: float | None = None
    """Mean reward on held-out questions before training."""
    reward_after: float | None = None
    """Mean reward on held-out questions at the newest measurement."""
    extraction_failures: float | None = None
    """Share of the last generation that no answer could be extracted from."""
    tokens_per_second: float | None = None
    """Tokens read and generated a second, all processes together."""
    seconds: StepSeconds | None = None
    """Where the time of the last generation went."""
    restarts: int | None = None
    """Failures after which the run went on."""
    warnings: list[Warned] = Field(default_factory=list)
    """What went wrong without ending the run, newest last."""
    last_checkpoint: Checkpoint | None = None
    """Newest checkpoint."""
    accuracy_before: float | None = None
    """Share of held-out questions answered right before training."""
    accuracy_after: float | None = None
    """Share of held-out questions answered right at the newest measurement."""
    benchmarks: list[BenchmarkScore] = Field(default_factory=list)
    """What was reached on `evaluation.benchmarks`."""
    artifacts: PolicyArtifacts | None = None
    """What was published."""
    lineage: Lineage | None = None
    """What the model was made from."""
