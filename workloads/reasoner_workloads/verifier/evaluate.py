"""Measures a verifier against the teacher on held-out rows. Called by `train`; needs torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from reasoner_api.common import VerifierPrompt
from reasoner_workloads.training.rules import RulesJudge
from reasoner_workloads.verifier.data import Row
from reasoner_workloads.verifier.prompt import ask

#: Rows generated for at once.
BATCH = 64


@dataclass(frozen=True)
class Speaker:
    """A verifier that replies greedily."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    max_length: int
    """Tokens of prompt and reply at most: what it was trained on."""


def verdicts(speaker: Speaker, prompts: Sequence[str], tell: Callable[[float], None]) -> list[str]:
    """Greedy replies to prompts. `tell` hears the share that is done."""
    model, tokenizer = speaker.model.eval(), speaker.tokenizer
    tokenizer.padding_side = "left"
    # Prompts of like length together: less padding, and short replies do not wait for long ones.
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    replies = [""] * len(prompts)
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        batch = tokenizer([prompts[index] for index in chosen], padding=True, return_tensors="pt").to(model.device)
        room = max(1, speaker.max_length - batch["input_ids"].shape[1])
        with torch.inference_mode():
            output = model.generate(**batch, do_sample=False, max_new_tokens=room)
        texts = tokenizer.batch_decode(output[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        for index, text in zip(chosen, texts, strict=True):
            replies[index] = text
        tell((start + len(chosen)) / len(order))
    return replies


def measure(said: Sequence[bool], rows: Sequence[Row]) -> dict[str, float]:
    """Agreement with the teacher, and precision and recall of the verdict yes."""
    right = sum(row.verdict == mine for mine, row in zip(said, rows, strict=True))
    both = sum(row.verdict and mine for mine, row in zip(said, rows, strict=True))
    mine_yes, teacher_yes = sum(said), sum(row.verdict for row in rows)
    return {
        "agreement": right / len(rows),
        "precision": both / mine_yes if mine_yes else 0.0,
        "recall": both / teacher_yes if teacher_yes else 0.0,
        "held_out_rows": float(len(rows)),
    }


def baseline(rows: Sequence[Row]) -> float:
    """Agreement with the teacher of rules alone, on the same rows."""
    with RulesJudge() as rules:
        said = rules.judge([(row.ground_truth, row.student_answer) for row in rows])
    return measure(said, rows)["agreement"]


def questions(prompt: VerifierPrompt, rows: Sequence[Row]) -> list[str]:
    """The prompts for rows."""
    return [ask(prompt, row.question, row.ground_truth, row.student_answer) for row in rows]
