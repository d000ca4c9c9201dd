"""Equivalence by rules: sure or silent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reasoner_workloads.common.equivalence import is_math, rule
from reasoner_workloads.common.math_worker import MathWorker

#: Ground truth, answer, what the cheap rules say (None: nothing).
RULES: dict[str, tuple[str, str, bool | None]] = {
    "the same": ("Paris", "Paris", True),
    "dollars and a full stop": ("4.9 J", "$4.9 J$.", True),
    "a command for text": ("4.9 J", r"4.9 \text{J}", True),
    "a typographic minus": ("-5", "−5", True),
    "a raised exponent": ("2^3", "2³", True),
    "a raised exponent is no digit": ("22", "2²", None),
    "thousands": ("1,234", "1234", True),
    "thousands as LaTeX sets them": (r"1,\!234", "1234", True),
    "a list is no number of thousands": ("1, 200", "1200", None),
    "nor with its space before the comma": ("1 ,200", "1200", None),
    "nor written closely": ("1, 200", "1,200", None),
    "nor with a unit": ("1, 200 m", "1200 m", None),
    "a list of thousands": ("1,200, 300", "1200300", None),
    "a list written closely": ("1, 2, 1200", "1,2,1200", True),
    "a tuple written closely": ("(1, 200)", "(1,200)", True),
    "integers that differ": ("12", "13", False),
    "an integer as a decimal": ("5", "5.0", True),
    "no tolerance around an integer": ("1000", "1000.5", None),
    "rounding": ("3.1416", "3.14159", True),
    "more than rounding": ("3.1416", "3.1", None),
    "scientific notation": ("0.001", "1e-3", True),
    "options": ("B", "(B)", True),
    "options that differ": ("B", "C", False),
    "booleans": ("yes", "True", True),
    "booleans that differ": ("No", "yes", False),
    "a percentage is no plain number": ("50%", "0.5", None),
    "units that differ by case": ("5 mW", "5 MW", None),
    "words": ("the mitochondrion", "mitochondria", None),
    "a lower-case variable is no option": ("a", "b", None),
    "a square of a chessboard is no number": ("5", "e5", None),
    "an exponent alone": ("10^5", "*10^5", None),
    "integers longer than a float is exact": ("12345678901234567890", "12345678901234567891", False),
    "a large integer times a power": ("1e27", r"10000000000000000000000 \times 10^5", True),
    "integers larger than any float": ("9" * 400, "9" * 399 + "8", False),
    "integers longer than an answer": ("5", "9" * 200_000, None),
    "two numbers that no float holds": ("1e999", "2e999", None),
    "a product of powers without end": ("5", r"\cdot 10^5" * 5000, None),
}

#: Ground truth, answer, whether algebra is asked, what it says.
MATH: dict[str, tuple[str, str, bool, bool]] = {
    "fractions": ("-1/4", r"-\frac{1}{4}", True, True),
    "a fraction and a decimal": ("1/2", "0.5", True, True),
    "an expansion": ("(x+1)^2", "x^2+2x+1", True, True),
    "different polynomials": ("(x+1)^2", "x^2+1", True, False),
    "roots": (r"\sqrt{8}", r"2\sqrt{2}", True, True),
    "units that differ": ("4.9 J", "4.9 N", False, False),
    "a unit left out": ("4.9 J", "4.9", False, False),
    "prose": ("5 and 2", "7 and 2", False, False),
    "a list": ("2, 5", "5, 2", False, False),
    "a tower of powers": ("3", "9^{9^{9^{9}}}", False, False),
    "a power of a power": ("64", "(2^{2})^{3}", True, True),
    "a number of a billion digits": ("3", "10^{1000000000}", False, False),
    "the factorial of a large number": ("3", "10000000!", False, False),
    "a factorial": ("120", "5!", True, True),
    "brackets without end": ("x", "(" * 80 + "x" + ")" * 80, False, False),
    "a sign that parsers pass over": ("A + B", "A ⊕ B", False, False),
    "a command that parsers pass over": ("A + B", r"A \oplus B", False, False),
    "a logarithm": (r"2\ln 3", r"\ln 9", True, True),
    "not a formula": ("x", "}{x", True, False),
}


@pytest.mark.parametrize(("truth", "answer", "says"), RULES.values(), ids=RULES.keys())
def test_rules(truth: str, answer: str, says: bool | None) -> None:
    ruling = rule(truth, answer)
    assert (ruling.equal if ruling else None) is says


@pytest.fixture(scope="module")
def worker() -> Iterator[MathWorker]:
    with MathWorker(timeout_seconds=2) as made:
        yield made


@pytest.mark.parametrize(("truth", "answer", "asked", "says"), MATH.values(), ids=MATH.keys())
def test_algebra(worker: MathWorker, truth: str, answer: str, asked: bool, says: bool) -> None:
    assert is_math(truth, answer) is asked
    if asked:
        assert worker.equal(truth, answer) is says


def test_a_comparison_after_one_that_never_ended(worker: MathWorker) -> None:
    assert not worker.equal("3", "9^{9^{9^{9}}}")
    assert worker.equal("1/2", "0.5")
