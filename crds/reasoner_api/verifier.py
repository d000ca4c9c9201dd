"""Spec and status of VerifierTraining: verdicts in, a small generative answer verifier out, served over the
OpenAI API (General-Reasoner, section 3.2)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from reasoner_api.base import Model
from reasoner_api.common import (
    Compute,
    DatasetRef,
    DeepSpeed,
    Passthrough,
    Scheduling,
    Seed,
    Storage,
    VerifierPrompt,
)
from reasoner_api.serving import Serving
from reasoner_api.status import Artifact, Checkpoint, RunStatus

#: A model as transformers names it (`Qwen/Qwen2.5-Math-1.5B`), or a published artifact (`s3://...`).
BaseModelName = Annotated[str, Field(min_length=1, max_length=2048)]


#: The name of a column of the user's own data.
ColumnName = Annotated[str, Field(min_length=1, max_length=256)]


class LoRA(Model):
    """Low-rank adapters in place of full weights. What is published is the base model with the adapters merged in."""

    r: Annotated[int, Field(ge=1, le=4096)] = 16
    """Rank of the adapters."""
    alpha: Annotated[int, Field(ge=1, le=8192)] = 32
    """Scale: the adapters' output counts `alpha / r` times."""
    dropout: Annotated[float, Field(ge=0, le=0.9)] = 0.05
    """Dropout in the adapters while training."""
    target_modules: list[Annotated[str, Field(min_length=1, max_length=256)]] = Field(default_factory=list)
    """Names of the modules that get adapters, for example `q_proj`; every linear layer when empty."""


class SFTTraining(Model):
    """Supervised fine-tuning by TRL's SFTTrainer, in TRL's own names. Loss on the completion alone."""

    learning_rate: Annotated[float, Field(ge=0)] = 1e-5
    """Peak learning rate."""
    num_train_epochs: Annotated[float, Field(ge=0.001)] = 1.0
    """Passes over the data; `maxSteps` wins when set."""
    max_steps: Annotated[int, Field(ge=1)] | None = None
    """Optimizer steps."""
    per_device_train_batch_size: Annotated[int, Field(ge=1)] = 8
    """Rows a step on each process."""
    gradient_accumulation_steps: Annotated[int, Field(ge=1)] = 1
    """Forward passes an optimizer step."""
    lr_scheduler_type: Annotated[str, Field(max_length=64)] = "cosine"
    """Learning-rate schedule."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Steps until the peak learning rate."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Weight decay."""
    adam_beta2: Annotated[float, Field(ge=0, le=1)] = 0.999
    """Second beta of Adam."""
    max_grad_norm: Annotated[float, Field(ge=0)] = 1.0
    """Gradient norm is clipped to this."""
    max_length: Annotated[int, Field(ge=1)] = 4096
    """Tokens of a row at most; longer rows are cut."""
    packing: bool = False
    """Whether short rows share a sequence."""
    bf16: bool = True
    """Whether training runs in bfloat16; false for full precision."""
    gradient_checkpointing: bool = True
    """Whether activations are recomputed to save memory."""
    seed: Seed = 42
    """Seed of the data order and of fresh weights."""
    save_steps: Annotated[int, Field(ge=1)] = 500
    """Optimizer steps between checkpoints."""
    deepspeed: DeepSpeed | None = None
    """DeepSpeed settings; plain data parallelism when absent."""
    lora: LoRA | None = None
    """Adapters to train; every weight when absent."""
    args: Passthrough = Field(default_factory=dict)
    """More arguments of TRL's SFTConfig, in its names (snake case). What a field of this spec sets is refused here."""


class VerifierColumns(Model):
    """Columns of the data by what they hold; the defaults are those that a CurationJob publishes."""

    question: ColumnName = "question"
    """The question."""
    ground_truth: ColumnName = "ground_truth"
    """The right short answer."""
    student_answer: ColumnName = "student_answer"
    """The short answer that is judged."""
    verdict: ColumnName = "verdict"
    """The teacher's verdict: a boolean, or yes and no, true and false, 1 and 0."""
    reasoning: ColumnName = "reasoning"
    """The teacher's chain of thought; optional."""
    answer_type: ColumnName = "answer_type"
    """Type of the answer, to balance and measure by; optional."""
    category: ColumnName = "category"
    """Subject, to measure by; optional."""


class VerifierData(Model):
    """How rows are read and chosen to learn from. Rows held out are not balanced: they are measured as they come."""

    columns: VerifierColumns = VerifierColumns()
    """Names of the columns in Parquet and JSON Lines files of your own."""
    max_verdict_ratio: Annotated[float, Field(ge=1)] = 2.0
    """Rows of the more frequent verdict at most for each row of the rarer one, within an answer type."""
    max_answer_type_ratio: Annotated[float, Field(ge=1)] = 3.0
    """Rows of one answer type at most, in multiples of the mean over the types."""


class VerifierEvaluation(Model):
    """Measurement on rows held out by question."""

    holdout: Annotated[float, Field(ge=0.001, le=0.5)] = 0.05
    """Share of the questions that is held out of training."""
    max_rows: Annotated[int, Field(ge=1)] = 1000
    """Held-out rows that are measured at most."""
    min_agreement: Annotated[float, Field(ge=0, le=1)] | None = None
    """Agreement with the teacher below which the verifier is published but not served (the paper: about 0.9)."""


class VerifierWork(Model):
    """The part of the spec that decides what the verifier will be: the pods read it, the digest covers it."""

    base_model: BaseModelName
    """Model to start from (the paper: Qwen/Qwen2.5-Math-1.5B)."""
    data: VerifierData = VerifierData()
    """How the rows are read and chosen."""
    training: SFTTraining = SFTTraining()
    """Training settings."""
    evaluation: VerifierEvaluation = VerifierEvaluation()
    """How it is measured, and what it must reach to be served."""
    prompt: VerifierPrompt = VerifierPrompt()
    """Prompt template and decision markers."""
    storage: Storage
    """Where artifacts and checkpoints go."""


class VerifierTrainingSpec(VerifierWork):
    """Desired state of a VerifierTraining. Immutable but for `suspend` and `serving`."""

    dataset: DatasetRef
    """Rows of question, ground truth, student answer, verdict and reasoning."""
    serving: Serving = Serving()
    """How it is served; mutable."""
    suspend: bool = False
    """Whether training is paused; mutable."""
    compute: Compute = Compute()
    """Where and on what the training pods run."""
    scheduling: Scheduling = Scheduling()
    """How the work is queued and retried."""


class ModelArtifacts(Model):
    """What the run has published."""

    model: Artifact | None = None
    """Weights, tokenizer, generation config and metrics, loadable by transformers and vLLM."""


class VerifierTrainingStatus(RunStatus):
    """Observed state of a VerifierTraining."""

    step: int | None = None
    """Optimizer steps done."""
    max_steps: int | None = None
    """Optimizer steps in all."""
    loss: float | None = None
    """Training loss of the last logged step."""
    tokens_per_second: float | None = None
    """Tokens trained on a second, over all processes."""
    last_checkpoint: Checkpoint | None = None
    """Newest checkpoint, which a replaced pod resumes from."""
    agreement: float | None = None
    """Share of held-out rows on which its verdict is the teacher's."""
    agreement_percent: str | None = None
    """The same as text, for `kubectl get`."""
    precision: float | None = None
    """Share of the answers it passes that the teacher passes."""
    recall: float | None = None
    """Share of the answers the teacher passes that it passes."""
    baseline_agreement: float | None = None
    """Agreement of rules alone (math-verify) on the same rows."""
    artifacts: ModelArtifacts | None = None
    """What was published."""
    endpoint: str | None = None
    """Base URL of the OpenAI API (`.../v1`) once it is served."""
    served_model: str | None = None
    """Model name to send to the endpoint: `<name>@<digest>`, which no server of another digest answers to."""
    ready_replicas: int | None = None
    """Replicas that answer."""
