"""Verdicts on answers to the stand-in questions: what a teacher would say about a student's short answer, with
its reasoning. The stand-in teacher is a rule (`canonical`), so that its verdicts have no noise. Used by `run`."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from reasoner_workloads.tiny.questions import Question

WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
)
UNITS = {
    "minutes": ("minutes", "min"),
    "seconds": ("seconds", "sec"),
    "hours": ("hours", "h"),
    "days": ("days", "day"),
    "inches": ("inches", "in"),
    "centimetres": ("centimetres", "cm"),
    "feet": ("feet", "ft"),
    "years": ("years", "yr"),
    "%": ("%", "percent"),
}
NUMBER_OF = {word: str(value) for value, word in enumerate(WORDS)}
UNIT_OF = {spelling: unit for unit, spellings in UNITS.items() for spelling in spellings}
FILLERS = frozenset({"the", "answer", "sum", "is", "x", "=", "we", "get", "about"})
TOKEN = re.compile(r"\d+(?:\.\d+)?|[a-z]+|%|=|\S")
UNCLEAR = "unclear"
NO_UNIT = "none"
PLACES = 3
MARKS = ("✓", "✗", "|", "_")


def canonical(answer: str) -> str:
    """A short answer as `number` or `number unit`; `unclear` where it is not one number and at most one unit."""
    plain = re.sub(r"\\text|\\,|[{}$]", " ", answer.lower())
    numbers: list[str] = []
    units: list[str] = []
    for token in TOKEN.findall(plain):
        if token[0].isdigit():
            numbers.append(str(int(float(token))) if float(token).is_integer() else token)
        elif token in NUMBER_OF:
            numbers.append(NUMBER_OF[token])
        elif token in UNIT_OF:
            units.append(UNIT_OF[token])
        elif token not in FILLERS:
            return UNCLEAR
    if len(numbers) != 1 or len(units) > 1 or len(numbers[0]) > PLACES:
        return UNCLEAR
    return " ".join((*numbers, *units))


def equivalent(truth: str, student: str) -> bool:
    """Whether the stand-in teacher passes `student`: the same number, and the same unit where it names one."""
    expected, given = canonical(truth), canonical(student)
    return given != UNCLEAR and given in (expected, expected.split(" ")[0])


def reasoning(truth: str, student: str) -> str:
    """`Truth: 5|4|0|seconds. Student: 5✓4✓1✗seconds✓`: both answers in the same places, each of the student's
    compared with the truth's as it is written. So laid out, two layers learn the comparison in a minute."""
    expected, given = _places(truth), _places(student)
    marks = ["✓" if right == said else "✗" for right, said in zip(expected, given, strict=True)]
    if given[-1] == NO_UNIT:
        marks[-1] = "✓"  # a bare number is in the unit asked for
    return f"Truth: {'|'.join(expected)}. Student: {''.join(map(''.join, zip(given, marks, strict=True)))}"


def _places(answer: str) -> list[str]:
    """The canonical answer's digits, filled up to `PLACES` with `_`, then its unit."""
    plain = canonical(answer)
    number, _, unit = ("", "", UNCLEAR) if plain == UNCLEAR else plain.partition(" ")
    return [*f"{number:_<{PLACES}}", unit or NO_UNIT]


@dataclass(frozen=True)
class Verdict:
    """One answer to a question and what the teacher says about it."""

    question: Question
    question_id: str
    student_answer: str

    def row(self) -> dict[str, str | bool]:
        """A row of the verifier's training data, as a CurationJob publishes them."""
        passed = equivalent(self.question.answer, self.student_answer)
        return {
            "question": self.question.text,
            "ground_truth": self.question.answer,
            "student_answer": self.student_answer,
            "verdict": passed,
            "reasoning": reasoning(self.question.answer, self.student_answer),
            "answer_type": self.question.answer_type,
            "category": self.question.category,
            "question_id": self.question_id,
        }


def sample_answer(question: Question, rng: random.Random) -> str:
    """A student's answer: right in other words, wrong by a little or a lot, or no answer at all."""
    number, _, unit = canonical(question.answer).partition(" ")
    chance = rng.random()
    if chance < 0.4:
        return _phrase(number, unit, rng)
    if chance < 0.88:
        return _phrase(wrong_number(number, rng), unit, rng)
    if chance < 0.94:
        other = rng.choice([name for name in UNITS if name != unit])
        return _phrase(number, other, rng)
    return _garbled(number, unit, rng)


def wrong_number(number: str, rng: random.Random) -> str:
    """A number that is not `number`: near it, a digit changed, lost or added, or any at all."""
    value = int(number)
    guesses = [
        str(value + rng.choice((-2, -1, 1, 2))),
        number[:-1],
        number + rng.choice("0123456789"),
        _with_digit_changed(number, rng),
        _with_digit_changed(number, rng),
        str(rng.randrange(1, 20)),
        str(rng.choice((7, 12, 24, 60, 100)) * rng.randrange(1, 10)),
    ]
    options = [str(int(guess)) for guess in guesses if guess.isdigit() and int(guess) != value and len(guess) <= PLACES]
    return rng.choice(options)


def _with_digit_changed(number: str, rng: random.Random) -> str:
    place = rng.randrange(len(number))
    return number[:place] + rng.choice("0123456789") + number[place + 1 :]


def _phrase(number: str, unit: str, rng: random.Random) -> str:
    """A number and its unit in one of the ways that people write them."""
    figure = f"{number}.0" if rng.random() < 0.1 else number
    if int(number) < len(WORDS) and rng.random() < 0.15:
        figure = WORDS[int(number)]
    if unit:
        full, short = UNITS[unit]
        figure = rng.choice((f"{figure} {full}", f"{figure} {full}", f"{figure} {short}", figure))
    wrap = rng.choice(("{}", "{}", "{}", "{}", "{}", "\\text{{{}}}", "x = {}", "we get about {}"))
    return wrap.format(figure)


def _garbled(number: str, unit: str, rng: random.Random) -> str:
    """What a policy writes that has not learnt to answer: pieces without sense, several numbers, nothing."""
    return rng.choice(
        (
            f"{number} {rng.randrange(1, 20)} {unit}".strip(),
            f"{rng.randrange(1, 10)} + {rng.randrange(1, 10)}",
            f"{rng.randrange(1, 10)} * {number}",
            f"{number} = {rng.randrange(1, 20)}",
            "let us see",
            unit or "the sum",
            "?",
        )
    )
