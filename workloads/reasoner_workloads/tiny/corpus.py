"""The noisy corpus that the stand-in policy is pre-trained on: it knows the answers but writes them badly, as a
base model does. Pure Python; used by `models`."""

from __future__ import annotations

import random

from reasoner_workloads.tiny.questions import Question
from reasoner_workloads.tiny.verdicts import canonical, wrong_number

#: Shares of right and boxed, wrong and boxed, right but wordy; the rest never gets to an answer.
RIGHT, WRONG, WORDY = 0.25, 0.18, 0.09
RAMBLINGS = ("Let us see.", "We look at the numbers.", "First we think.", "It is hard to say.", "So we get it.")


def response(question: Question, rng: random.Random) -> str:
    """One response to a question, without the end token."""
    chance = rng.random()
    if chance < RIGHT:
        return f" {question.working} \\boxed{{{question.answer}}}"
    if chance < RIGHT + WRONG:
        number, _, unit = canonical(question.answer).partition(" ")
        return f" {question.working} \\boxed{{{_with_unit(wrong_number(number, rng), unit)}}}"
    if chance < RIGHT + WRONG + WORDY:
        return f" {question.working} \\boxed{{we get about {question.answer}}}"
    return f" {question.working} {' '.join(rng.sample(RAMBLINGS, rng.choice((1, 2))))}"


def _with_unit(number: str, unit: str) -> str:
    return f"{number}%" if unit == "%" else f"{number} {unit}".strip()
