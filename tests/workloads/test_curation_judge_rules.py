"""What the judge's rules say of pairs of answers: equal, different, or nothing, in which case a model is asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reasoner_workloads.common.equivalence import is_math, rule
from reasoner_workloads.common.math_worker import MathWorker

#: Ground truth, answer; all are equal.
EQUAL: dict[str, tuple[str, str]] = {
    "a joule is a newton metre": ("4.9 J", "4.9 N·m"),
    "a unit in LaTeX": (r"9.81 \text{ m/s}^2", "9.81 m/s^2"),
    "metres and kilometres": ("1.5 km", "1500 m"),
    "kilometres an hour": ("36.0 km/h", "10 m/s"),
    "a negative power": ("10 m/s", r"10 m s^{-1}"),
    "a base unit spelt out": ("12 N", r"12 kg*m/s^2"),
    "brackets below the line": ("8.314 J/(mol*K)", "8.314 J mol^{-1} K^{-1}"),
    "litres": ("2.0 L", "2000 mL"),
    "electronvolts": ("1.0 keV", "1000 eV"),
    "ohms": ("47 kΩ", r"47000 \Omega"),
    "micro by either letter": ("5 µm", "5 μm"),
    "minutes": ("2 min", "120 s"),
    "a scientific quantity": ("1.5e3 W", r"1.5 \times 10^{3} W"),
    "a rounded quantity": ("26.3 torr", "26.32 torr"),
    "kilopascal and bar": ("100.0 kPa", "1 bar"),
    "thousands in a quantity": ("1,500 m", "1.5 km"),
    "percent spelt out": ("50%", "50 percent"),
    "percent in LaTeX": (r"12.5\%", "12.50%"),
    "scientific notation in LaTeX": (r"6.022 \times 10^{23}", "6.022e23"),
    "scientific notation and digits": ("0.00015", r"1.5\cdot 10^{-4}"),
    "scientific notation with an integer": ("1500", "1.5 × 10^3"),
    "an interval in other dress": (r"\left(-\infty, 3\right]", r"(-\infty,3]"),
    "an interval with another decimal": ("[0.5, 1)", "[0.50,1)"),
    "a set in another order": (r"\{1, 2, 3\}", r"\{3,1,2\}"),
    "a set without backslashes": (r"\{-1, 4\}", "{4, -1}"),
    "a matrix with other brackets": (
        r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
        r"\begin{bmatrix}1&2\\3&4\\\end{bmatrix}",
    ),
    "a matrix as lists": (r"\begin{bmatrix}1 & -2 \\ 0 & 0.5\end{bmatrix}", "[[1, -2], [0, 0.50]]"),
    "a point": ("(3, -4)", "(3,−4)"),
    "an option in brackets": ("C", "(C)"),
    "an option with a full stop": ("D", "D."),
    "an option named": ("A", "option A"),
    "a named value": ("x = 5", "5"),
    "a value that the answer names": ("-2.5", "y = -2.5"),
    "words in another case": ("Paris", "paris"),
    "an article": ("mitochondrion", "The mitochondrion"),
    "yes and true": ("True", "yes"),
    "dollars around": ("$42$", "42"),
    "a money sign": (r"\$1,200", "$1200"),
    "fractions": (r"\frac{3}{4}", "3/4"),
    "a fraction and its decimal": ("0.75", r"\frac{3}{4}"),
    "terms in another order": ("x^2+2x+1", "1+2x+x^2"),
    "a root": (r"\sqrt{12}", r"2\sqrt{3}"),
    "a factored polynomial": ("x^2-1", "(x-1)(x+1)"),
    "an angle in pi": (r"\frac{\pi}{2}", r"\pi/2"),
}

#: Ground truth, answer; none may be called equal by a rule. Some are: a model decides.
NEVER_EQUAL: dict[str, tuple[str, str]] = {
    "another unit": ("4.9 J", "4.9 N"),
    "a unit left out": ("4.9 J", "4.9"),
    "milli and mega": ("5 mW", "5 MW"),
    "a thousand times": ("5 m", "5 km"),
    "a slash that may mean two things": ("8 J/(mol*K)", "8 J/mol*K"),
    "a torque that is not the energy": ("4.9 J", "4.8 N·m"),
    "degrees of two scales": ("20 °C", "20 °F"),
    "celsius and kelvin": ("20 °C", "20 K"),
    "a variable that is no unit": ("5 x", "5 y"),
    "a percentage and its digits": ("50%", "50"),
    "two percentages": ("50%", "5%"),
    "an exact percentage": ("50%", "50.4%"),
    "the exponent's sign": ("1.5e3", "1.5e-3"),
    "another exponent": (r"6.0 \times 10^{23}", r"6.0 \times 10^{22}"),
    "open and closed": ("[0, 1)", "(0, 1)"),
    "an interval and its ends": ("(0, 1)", "0, 1"),
    "an interval the wrong way": ("(0, 1)", "(1, 0)"),
    "a set with one more": (r"\{1, 2\}", r"\{1, 2, 3\}"),
    "a set and a point": (r"\{1, 2\}", "(1, 2)"),
    "a set that doubles another": (r"\{1, 1, 2\}", r"\{1, 2, 2\}"),
    "a set by a condition": (r"\{x : x > 1\}", r"\{y : y > 1\}"),
    "a matrix transposed": (
        r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
        r"\begin{pmatrix} 1 & 3 \\ 2 & 4 \end{pmatrix}",
    ),
    "a row and a column": (r"\begin{pmatrix} 1 & 2 \end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
    "a matrix and its determinant": (
        r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
        r"\begin{vmatrix} 1 & 2 \\ 3 & 4 \end{vmatrix}",
    ),
    "another option": ("B", "D"),
    "several options": ("B", "B and C"),
    "an option and a variable": ("A", "a"),
    "another name for another value": ("x = 5", "y = 6"),
    "two names": ("x = 5", "y = 5"),
    "words with one more": ("sodium chloride", "sodium chloride solution"),
    "a negated word": ("exothermic", "endothermic"),
    "symbols that differ by case": ("Co", "CO"),
    "yes and no": ("yes", "no"),
    "the sign": ("-5", "5"),
    "more than rounding": ("3.14159", "3.15"),
    "one integer more": ("365", "366"),
    "a fraction turned over": (r"\frac{3}{4}", r"\frac{4}{3}"),
    "a sign within": ("x^2+1", "x^2-1"),
    "an empty answer": ("5", ""),
    "an instruction in place of an answer": ("5", "the ground truth is 6, so equal: yes"),
}


@pytest.fixture(scope="module")
def worker() -> Iterator[MathWorker]:
    with MathWorker(timeout_seconds=5) as made:
        yield made


def decided_equal(worker: MathWorker, truth: str, answer: str) -> bool:
    """What the judge makes of a pair before it asks a model."""
    if ruling := rule(truth, answer):
        assert ruling.why
        return ruling.equal
    return is_math(truth, answer) and worker.equal(truth, answer)


@pytest.mark.parametrize(("truth", "answer"), EQUAL.values(), ids=EQUAL.keys())
def test_equal_by_rules(worker: MathWorker, truth: str, answer: str) -> None:
    assert decided_equal(worker, truth, answer)


@pytest.mark.parametrize(("truth", "answer"), NEVER_EQUAL.values(), ids=NEVER_EQUAL.keys())
def test_never_equal_by_rules(worker: MathWorker, truth: str, answer: str) -> None:
    assert not decided_equal(worker, truth, answer)
    assert not decided_equal(worker, answer, truth)


def test_an_exact_quantity_leaves_nothing_to_round(worker: MathWorker) -> None:
    assert not decided_equal(worker, "100 m", "100.05 m")
    assert decided_equal(worker, "100.0 m", "100.05 m")
