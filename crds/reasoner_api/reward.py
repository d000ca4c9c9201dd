"""What judges a GRPORun's answers, and what they are worth (General-Reasoner, section 3.3). Used by `grpo`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from reasoner_api.base import Model, rules
from reasoner_api.common import LocalRef, Passthrough, SecretKeyRef, VerifierPrompt

#: Which of the OpenAI API's two ways of asking a server takes.
CompletionsAPI = Literal["completions", "chat"]


class Rules(Model):
    """Answer equivalence by rules alone (math-verify): the paper's baseline, needing no server."""


class VerifierRef(Model):
    """What judges the answers."""

    model_config = rules(
        (
            "[has(self.verifierTrainingRef), has(self.endpoint), has(self.rules)].filter(x, x).size() == 1",
            "set exactly one of verifierTrainingRef, endpoint and rules",
        ),
        ("has(self.endpoint) == has(self.model)", "endpoint and model go together"),
        ("!has(self.apiKeySecretRef) || has(self.endpoint)", "apiKeySecretRef goes with endpoint"),
    )

    verifier_training_ref: LocalRef | None = None
    """VerifierTraining whose endpoint is used; it is waited for."""
    endpoint: Annotated[str, Field(pattern=r"^https?://.+", max_length=2048)] | None = None
    """Base URL (`.../v1`) of an OpenAI-compatible server of a verifier."""
    model: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Model name at that endpoint."""
    api: CompletionsAPI = "completions"
    """How `endpoint` is asked: `/completions` with the prompt as it is, or `/chat/completions` with the prompt as the
    user's message."""
    api_key_secret_ref: SecretKeyRef | None = None
    """Secret that holds the API key of `endpoint`."""
    prompt: VerifierPrompt | None = None
    """Prompt and markers of the verifier at `endpoint`; a VerifierTraining brings its own."""
    rules: Rules | None = None
    """Judge by rules."""


class RewardTerm(Model):
    """A reward of your own, added to the paper's: a function that a Python package in the image installs under the
    entry-point group `reasoner.rewards`."""

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")]
    """Name of the entry point."""
    weight: Annotated[float, Field(ge=-100, le=100)] = 1.0
    """What the term is multiplied by before it is added."""
    args: Passthrough = Field(default_factory=dict)
    """Keyword arguments that the function is made with."""


class VerifierUnavailable(Model):
    """What is done when the verifier is away. A reward is never made up."""

    wait_seconds: Annotated[float, Field(ge=0, le=604800)] = 600.0
    """Seconds without an answer that are waited out, trying again all the while."""
    action: Literal["Pause", "Fail"] = "Pause"
    """What follows then: `Pause` keeps a checkpoint, lets go of the GPUs and says `Stalled` with the reason
    VerifierUnavailable until the run goes on (in a queue, which restarts what others pause, its pods begin anew and
    wait); `Fail` counts as a failed pod of `scheduling.maxRestarts`."""
    retry_seconds: Annotated[int, Field(ge=1, le=604800)] = 900
    """Seconds until a paused run is started again by itself to see whether the verifier answers. Before that it goes on
    when its VerifierTraining becomes Ready anew, or when `suspend` is set and cleared."""


class Reward(Model):
    """The paper's reward: `noAnswer` when nothing can be extracted; else 0 when the verifier says no; else
    1 - lengthPenalty * min(maxLengthDifference, |tokens(ground truth) - tokens(answer)|)."""

    model_config = rules(
        (
            "!has(self.terms) || self.terms.all(x, self.terms.exists_one(y, y.name == x.name))",
            "names of terms must differ",
        ),
    )

    no_answer: Annotated[float, Field(ge=-100, le=0)] = -0.5
    """Reward when no answer can be extracted."""
    length_penalty: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Taken off for each token by which the answer is longer or shorter than the ground truth."""
    max_length_difference: Annotated[int, Field(ge=0)] = 10
    """Tokens of difference that count at most."""
    extraction_window: Annotated[int, Field(ge=1)] = 1024
    """Only this many last tokens of the response are searched for the answer."""
    terms: Annotated[list[RewardTerm], Field(max_length=16)] = Field(default_factory=list)
    """More rewards, each added with its weight."""
    rules_first: bool = False
    """Whether rules decide where they are sure, so that the verifier is asked about the rest alone."""
    concurrency: Annotated[int, Field(ge=1, le=4096)] = 128
    """Verifier requests in flight from one process."""
    batch_size: Annotated[int, Field(ge=1, le=256)] = 1
    """Answers judged by one request, where the server takes a list of prompts (vLLM does; the chat API does not)."""
    timeout_seconds: Annotated[float, Field(ge=0.1)] = 120.0
    """Seconds until a verifier request counts as failed and is tried again."""
    max_tokens: Annotated[int, Field(ge=1)] = 2048
    """Completion tokens of the verifier at most."""
    undecided_retries: Annotated[int, Field(ge=0, le=16)] = 2
    """How often an answer is put to the verifier again whose reply says neither yes nor no. After that the response is
    left unscored: it has no reward and no advantage, and is counted in `verifier_undecided`."""
    verifier_unavailable: VerifierUnavailable = VerifierUnavailable()
    """What is done when the verifier is away."""
