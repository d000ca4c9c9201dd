"""Has a verifier judge rows. Called by `train`; needs torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from reasoner_api.common import VerifierPrompt
from reasoner_workloads.training.rules import RulesJudge
from reasoner_workloads.verifier.data import Row
from reasoner_workloads.verifier.measure import Judged
from reasoner_workloads.verifier.prompt import ask, decided

#: Rows generated for at once.
BATCH = 64
#: Tokens of a reply at least, however long the prompt: room for a short decision.
SHORTEST_REPLY = 32


@dataclass(frozen=True)
class Room:
    """Tokens that there may be."""

    both: int
    """Prompt and reply at most: what it was trained on."""
    reply: int
    """Reply at most."""

    def after(self, prompt: int) -> int:
        """Tokens of a reply to a prompt of so many at most."""
        return min(self.reply, max(SHORTEST_REPLY, self.both - prompt))


@dataclass(frozen=True)
class Speaker:
    """A verifier that replies greedily."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    room: Room


def judge(speaker: Speaker, prompt: VerifierPrompt, rows: Sequence[Row], tell: Callable[[float], None]) -> list[Judged]:
    """The verdicts of the verifier and of rules alone on rows. `tell` hears the share that is done."""
    replies = generate(speaker, questions(prompt, rows), tell)
    with RulesJudge() as rules:
        by_rules = rules.judge([(row.ground_truth, row.student_answer) for row in rows])
    return [
        Judged(row, text, decided(prompt, text), ruled)
        for row, text, ruled in zip(rows, replies, by_rules, strict=True)
    ]


def generate(speaker: Speaker, prompts: Sequence[str], tell: Callable[[float], None]) -> list[str]:
    """Greedy replies to prompts. `tell` hears the share that is done."""
    model, tokenizer = speaker.model.eval(), speaker.tokenizer
    tokenizer.padding_side = "left"
    # Prompts of like length together: less padding, and short replies do not wait for long ones.
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    replies = [""] * len(prompts)
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        batch = tokenizer([prompts[index] for index in chosen], padding=True, return_tensors="pt").to(model.device)
        room = speaker.room.after(batch["input_ids"].shape[1])
        with torch.inference_mode():
            output = model.generate(**batch, do_sample=False, max_new_tokens=room)
        texts = tokenizer.batch_decode(output[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        for index, text in zip(chosen, texts, strict=True):
            replies[index] = text
        tell((start + len(chosen)) / len(order))
    return replies


def questions(prompt: VerifierPrompt, rows: Sequence[Row]) -> list[str]:
    """The prompts for rows."""
    return [ask(prompt, row.question, row.ground_truth, row.student_answer) for row in rows]
