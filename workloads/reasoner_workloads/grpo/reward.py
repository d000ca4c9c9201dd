"""The reward (General-Reasoner, section 3.3): a pure function of a response's answer and its verdict. Used by
`scoring`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from reasoner_api.reward import Reward
from reasoner_workloads.common.answers import extract_answer

#: The paper's parts of a reward, as `Score.terms` names them.
NO_ANSWER, CORRECT, LENGTH = "no_answer", "correct", "length_penalty"


@dataclass(frozen=True)
class Tokens:
    """The policy's tokenizer, as far as the reward needs it."""

    encode: Callable[[str], Sequence[int]]
    """Tokens of a text."""
    decode: Callable[[Sequence[int]], str]
    """Text of tokens, special ones left out."""

    def count(self, text: str) -> int:
        """How many tokens a text has."""
        return len(self.encode(text))


@dataclass(frozen=True)
class Response:
    """What is scored."""

    prompt: str
    question: str
    ground_truth: str
    text: str
    ids: Sequence[int]
    """The tokens of `text`, as the policy sampled them."""


@dataclass(frozen=True)
class Score:
    """What a response is worth, and why."""

    answer: str | None
    """The short answer in it; None where there is none."""
    verdict: bool | None
    """Whether the answer is right; None where the verifier says neither."""
    terms: Mapping[str, float]
    """The parts of the reward by name."""

    @property
    def reward(self) -> float | None:
        """Their sum; None where there is no verdict: a reward is never made up."""
        return None if self.verdict is None else sum(self.terms.values())


def answer_of(completion_ids: Sequence[int], tokens: Tokens, reward: Reward) -> str | None:
    """The short answer that a response ends with; only its last tokens are searched, so that a huge answer is never
    extracted."""
    return extract_answer(tokens.decode(completion_ids[-reward.extraction_window :]))


def paper_terms(
    ground_truth: str, answer: str | None, verdict: bool | None, tokens: Tokens, reward: Reward
) -> dict[str, float]:
    """`noAnswer` without an answer; else nothing for one that is not right; else 1, less a penalty for each token by
    which it is longer or shorter than the ground truth."""
    if answer is None:
        return {NO_ANSWER: reward.no_answer}
    if not verdict:
        return {}
    difference = abs(tokens.count(ground_truth) - tokens.count(answer))
    return {CORRECT: 1.0, LENGTH: -reward.length_penalty * min(reward.max_length_difference, difference)}
