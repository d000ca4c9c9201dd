"""The reward (General-Reasoner, section 3.3): a pure function of a response's answer and its verdict. Used by
`scoring`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reasoner_api.reward import Reward
from reasoner_workloads.common.answers import extract_answer


@dataclass(frozen=True)
class Tokens:
    """The policy's tokenizer, as far as the reward needs it."""

    count: Callable[[str], int]
    """Tokens of a text."""
    decode: Callable[[Sequence[int]], str]
    """Text of tokens, special ones left out."""


def answer_of(completion_ids: Sequence[int], tokens: Tokens, reward: Reward) -> str | None:
    """The short answer that a response ends with; only its last tokens are searched, so that a huge answer is never
    extracted."""
    return extract_answer(tokens.decode(completion_ids[-reward.extraction_window :]))


def value(ground_truth: str, answer: str | None, verdict: bool, tokens: Tokens, reward: Reward) -> float:
    """`noAnswer` without an answer; else 0 for a wrong one; else 1, less a penalty for each token by which it is
    longer or shorter than the ground truth."""
    if answer is None:
        return reward.no_answer
    if not verdict:
        return 0.0
    difference = abs(tokens.count(ground_truth) - tokens.count(answer))
    return 1.0 - reward.length_penalty * min(reward.max_length_difference, difference)
