"""Whether the sampler's log-probabilities are the trainer's, on a few responses of each generation. Used by `policy`;
needs torch.

Sums say that the tensors arrived; this says that the engine makes of them what the trainer does: names mapped wrongly,
another prompt format or another precision show here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from reasoner_workloads.training.world import World

#: Responses of each process that are compared.
COMPARED = 2
#: Figure of the trainer's log.
METRIC = "sampler/logprob_difference"


@dataclass(frozen=True)
class Agreement:
    """Compares; a forward pass over a few responses a generation."""

    trainer: Any
    limit: float
    world: World

    def measure(self, made: tuple[Any, ...]) -> float | None:
        """Mean absolute difference, nats a token, over all processes; None where there is nothing to compare.
        `made`: what TRL's vLLM generation returns. Every process calls this, for the forward passes' sake."""
        prompt_ids, completion_ids, logprobs, _ = made
        args = self.trainer.args
        reshaped = args.top_p < 1.0 or args.top_k > 0 or args.min_p is not None or args.repetition_penalty != 1.0
        if logprobs is None or reshaped or not self.trainer.model.training:
            # Log-probabilities of a cut distribution, or of greedy measurement, are not the policy's.
            return None
        taken = range(min(COMPARED, len(completion_ids)))
        ours = self._trainers([prompt_ids[i] for i in taken], [completion_ids[i] for i in taken])
        total, count = 0.0, 0
        for row, i in zip(ours, taken, strict=True):
            theirs = torch.tensor([token[0] for token in logprobs[i]], dtype=torch.float32)
            total += float((row[: len(theirs)].float().cpu() - theirs).abs().sum())
            count += len(theirs)
        totals = self.world.gather((total, count))
        difference = sum(one for one, _ in totals) / max(sum(many for _, many in totals), 1)
        self.trainer._metrics["train"][METRIC].append(difference)
        return difference

    def _trainers(self, prompts: list[list[int]], completions: list[list[int]]) -> torch.Tensor:
        """The trainer's log-probabilities of the completions' tokens; what is beyond a row's end is padding."""
        trainer, device = self.trainer, self.trainer.accelerator.device
        longest = max(1, *map(len, completions))
        before = max(map(len, prompts))
        ids = torch.full((len(prompts), before + longest), trainer.processing_class.pad_token_id)
        mask = torch.zeros_like(ids)
        for row, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
            whole = slice(before - len(prompt), before + len(completion))
            ids[row, whole] = torch.tensor([*prompt, *completion])
            mask[row, whole] = 1
        with torch.no_grad():
            found = trainer._get_per_token_logps_and_entropies(
                trainer.model, ids.to(device), mask.to(device), longest, batch_size=1
            )
        return torch.as_tensor(found[0])
