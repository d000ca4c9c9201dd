"""What a run is made from: dataset, base model, benchmarks, fetched and read. Called by `train`; needs torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reasoner_api.grpo import GRPOSettings, Lineage
from reasoner_api.task import GRPOTask
from reasoner_workloads.common.run import ConfigError, Run
from reasoner_workloads.grpo import benchmark, data
from reasoner_workloads.grpo.reward import Tokens
from reasoner_workloads.grpo.tokens import tokens_of
from reasoner_workloads.training import hub, model
from reasoner_workloads.training.inputs import fetch_base_model, fetch_dataset
from reasoner_workloads.training.world import World


@dataclass(frozen=True)
class Inputs:
    """All of it, on this process's side."""

    policy: Any
    """The base model, which is trained."""
    tokenizer: Any
    tokens: Tokens
    """The same tokenizer as the reward uses it."""
    questions: data.Questions
    benchmarks: list[benchmark.Questions]
    lineage: Lineage


def fetch(this: Run[GRPOTask], folder: Path, world: World) -> Inputs:
    """Fetch and read the inputs, what is large once for the processes of a node. Raises ConfigError where one will not
    do."""
    work, own = this.task.work, folder / f"inputs-{world.local_rank}"
    dataset = fetch_dataset(this.task.dataset, work.storage, own / "dataset")
    # Fifteen gigabytes for the paper's 7B: not eight times on each node's disk.
    base = world.once_a_node(
        lambda: hub.pinned(fetch_base_model(work.base_model, work.storage, folder / "base"), this.store)
    )
    verifier = this.task.verifier
    lineage = Lineage(
        dataset=dataset.identity, verifier=verifier.digest if verifier else None, base_model=base.identity
    )
    this.reporter.update(lineage=lineage)
    policy, tokenizer = model.load(base, bf16=False)
    require_room(policy.config, work.grpo)
    tokens = tokens_of(tokenizer)
    questions = data.read(dataset, work.grpo, work.evaluation, tokens.count)
    for why, count in questions.left_out.items():
        if count:
            print(f"dataset: {count} training questions left out: {why.replace('_', ' ')}", flush=True)
    benchmarks = [benchmark.read(*each, own, work, tokens.count) for each in enumerate(work.evaluation.benchmarks)]
    return Inputs(policy, tokenizer, tokens, questions, benchmarks, lineage)


def require_room(config: Any, settings: GRPOSettings) -> None:
    """Raise ConfigError where prompt and response may be longer than the base model has positions for: vLLM refuses
    that, and transformers goes on, beyond what the model has ever seen. A model that stretches its positions (YaRN and
    the like) says elsewhere how far."""
    room, rope = getattr(config, "max_position_embeddings", None), getattr(config, "rope_parameters", None)
    if room is None or (rope and rope.get("rope_type") != "default"):
        return
    longest = settings.max_prompt_tokens + settings.max_completion_length
    if longest > room:
        raise ConfigError(
            f"grpo.maxPromptTokens + grpo.maxCompletionLength: {settings.max_prompt_tokens} + "
            f"{settings.max_completion_length} tokens are more than the {room} that the base model takes"
        )
