"""The stand-in question family: one-digit sums and differences, unit conversions, simple percentages. Pure
Python; used by `verdicts`, `corpus` and `run`."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import product

DIGITS = range(1, 10)


@dataclass(frozen=True)
class Conversion:
    """A unit, the smaller unit that it is expressed in, and how many of those it holds."""

    unit: str
    into: str
    factor: int
    category: str


CONVERSIONS = (
    Conversion("hours", "minutes", 60, "other"),
    Conversion("minutes", "seconds", 60, "other"),
    Conversion("days", "hours", 24, "other"),
    Conversion("weeks", "days", 7, "other"),
    Conversion("feet", "inches", 12, "engineering"),
    Conversion("metres", "centimetres", 100, "physics"),
    Conversion("yards", "feet", 3, "engineering"),
    Conversion("decades", "years", 10, "history"),
)


@dataclass(frozen=True)
class Question:
    """One question, its short answer, and the working that leads to it."""

    text: str
    answer: str
    working: str
    answer_type: str
    category: str
    difficulty: str = "primary"

    def row(self, number: int) -> dict[str, str]:
        """A row of the questions dataset, as a CurationJob publishes them."""
        return {
            "id": f"tiny-{number:04d}",
            "question": self.text,
            "answer": self.answer,
            "answer_type": self.answer_type,
            "category": self.category,
            "difficulty": self.difficulty,
        }


def family() -> list[Question]:
    """Every question of the family, in a fixed order."""
    return [*_sums(), *_differences(), *_conversions(), *_percentages()]


def split(seed: int, test: int) -> tuple[list[Question], list[Question]]:
    """The family shuffled by `seed`: (train, test) with `test` questions held out."""
    questions = family()
    random.Random(seed).shuffle(questions)
    return questions[test:], questions[:test]


def _sums() -> list[Question]:
    asks = ("What is {a} + {b}?", "Add {a} and {b}.", "What is the sum of {a} and {b}?")
    return [
        Question(ask.format(a=a, b=b), str(a + b), f"{a} + {b} = {a + b}.", "integer", "mathematics")
        for ask, a, b in product(asks, DIGITS, DIGITS)
    ]


def _differences() -> list[Question]:
    asks = ("What is {a} - {b}?", "Take {b} from {a}.")
    return [
        Question(ask.format(a=a, b=b), str(a - b), f"{a} - {b} = {a - b}.", "integer", "mathematics")
        for ask, a, b in product(asks, DIGITS, DIGITS)
        if a > b
    ]


def _conversions() -> list[Question]:
    asks = ("How many {c.into} are {n} {c.unit}?", "Express {n} {c.unit} in {c.into}.")
    return [
        Question(
            ask.format(c=c, n=n),
            f"{n * c.factor} {c.into}",
            f"{n} * {c.factor} = {n * c.factor}.",
            "float",
            c.category,
        )
        for ask, c, n in product(asks, CONVERSIONS, DIGITS)
    ]


def _percentages() -> list[Question]:
    wholes = ("10", "20", "50")
    return [
        Question(
            f"What percentage of {whole} is {part}?",
            f"{part * 100 // int(whole)}%",
            f"{part} / {whole} = {part * 100 // int(whole)}%.",
            "percentage",
            "business",
        )
        for whole, part in product(wholes, DIGITS)
    ]
