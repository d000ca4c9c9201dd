"""What a GRPORun is measured on, and what it must gain (General-Reasoner, section 4). Used by `grpo`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from reasoner_api.base import Digest, Model, StoreURI, rules
from reasoner_api.common import SecretKeyRef, VerifierPrompt
from reasoner_api.reward import CompletionsAPI
from reasoner_api.verifier import ColumnName


class BenchmarkColumns(Model):
    """Columns of a benchmark's file by what they hold."""

    question: ColumnName = "question"
    """The question."""
    answer: ColumnName = "answer"
    """The right short answer."""
    options: ColumnName | None = None
    """The choices of a multiple-choice question, a list of texts: they follow the question, lettered from A."""


class Benchmark(Model):
    """Questions from a file of your own, asked once the last step is done."""

    model_config = rules(
        ("self.samples == 1 || self.temperature > 0.0", "several samples need a temperature above 0"),
    )

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9_.]*[a-z0-9])?$")]
    """Name that its accuracy is reported under."""
    uri: Annotated[StoreURI, Field(pattern=r"^(s3|file)://.+\.(parquet|jsonl)$")]
    """The file: Parquet or JSON Lines. It is read with the run's own credentials."""
    digest: Digest | None = None
    """sha256 that the file must have."""
    columns: BenchmarkColumns = BenchmarkColumns()
    """Names of its columns."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Questions that are asked at most, from the first."""
    samples: Annotated[int, Field(ge=1, le=1024)] = 1
    """Responses to each question; the mean counts (the paper: 32 for AIME)."""
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    """Sampling temperature; 0 is greedy decoding."""


class JudgeRef(Model):
    """A strong model that judges the answers to benchmarks, in place of the verifier."""

    endpoint: Annotated[str, Field(pattern=r"^https?://.+", max_length=2048)]
    """Base URL (`.../v1`) of an OpenAI-compatible server."""
    model: Annotated[str, Field(min_length=1, max_length=256)]
    """Model name at that endpoint."""
    api: CompletionsAPI = "chat"
    """How it is asked: `/chat/completions`, or `/completions` with the prompt as it is."""
    api_key_secret_ref: SecretKeyRef | None = None
    """Secret that holds the API key."""
    prompt: VerifierPrompt = VerifierPrompt()
    """What it is asked, and how its verdict is read."""


class GRPOEvaluation(Model):
    """Measurement on held-out questions before, during and after training, and on benchmarks at its end."""

    model_config = rules(
        ("self.samples == 1 || self.temperature > 0.0", "several samples need a temperature above 0"),
        (
            "!has(self.benchmarks) || self.benchmarks.all(x, self.benchmarks.exists_one(y, y.name == x.name))",
            "names of benchmarks must differ",
        ),
    )

    prompts: Annotated[int, Field(ge=1)] = 100
    """Questions of the dataset's test split that are asked at most."""
    every_steps: Annotated[int, Field(ge=0)] = 20
    """Optimizer steps between measurements, the paper's 5 generations; 0 for none but the first and the last."""
    samples: Annotated[int, Field(ge=1, le=1024)] = 1
    """Responses to each question; the mean counts."""
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    """Sampling temperature; 0 is greedy decoding."""
    min_gain: Annotated[float, Field(ge=-1, le=1)] | None = None
    """Held-out accuracy after the last step less that before the first, below which the model is published as
    `artifacts.candidate` and not promoted to `artifacts.model`."""
    benchmarks: Annotated[list[Benchmark], Field(max_length=32)] = Field(default_factory=list)
    """Files of questions asked at the end."""
    judge: JudgeRef | None = None
    """What judges the answers to `benchmarks`; the verifier when absent."""
