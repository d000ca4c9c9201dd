"""Whether two short answers are the same, by rules alone. Sure or silent: where a rule could be wrong it says nothing
and a model decides. Used by curation's judge and, through `math_worker`, by whoever judges without a model."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass

#: Relative difference of two decimals that rounding explains.
TOLERANCE = 1e-3
#: Longer than this is no short answer, and slow to parse.
MAX_MATH_LENGTH = 200

_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:[eE][-+]?\d+)?")
_OPTION = re.compile(r"(?:option|choice)?\s*[(\[]?([A-Ha-h])[)\].:]?", re.IGNORECASE)
_TRUE, _FALSE = frozenset({"yes", "true"}), frozenset({"no", "false"})
_COMMAND = re.compile(r"\\[a-zA-Z]+")
_WORD = re.compile(r"[^\W\d_]+")
#: What a formula may hold: the parser passes over signs that it does not know, which makes unlike formulas alike.
_FORMULA = re.compile(r"[\w\s+\-*/^=(){}\[\]|<>.!%\\]*", re.ASCII)
_KNOWN = frozenset(
    {"frac", "dfrac", "tfrac", "sqrt", "pi", "cdot", "times", "ln", "log", "exp", "sin", "cos", "tan", "cot", "sec"}
    | {
        "csc",
        "arcsin",
        "arccos",
        "arctan",
        "sinh",
        "cosh",
        "tanh",
        "binom",
        "infty",
        "theta",
        "alpha",
        "beta",
        "lambda",
    }
)
_FUNCTIONS = frozenset({"sin", "cos", "tan", "cot", "sec", "csc", "exp", "log", "sqrt", "pi", "arcsin", "arctan"})
#: Commands that set words or space and leave formulas alone.
_DRESS = re.compile(
    r"\\(?:text|mathrm|mathbf|textbf|operatorname)\s*\{([^{}]*)\}|\\(?:left|right|displaystyle|[,;!: ])"
)
_SIGNS = {ord(old): new for old, new in zip("−–×·’“”µ", '--**\'""μ', strict=True)}
_RAISED = {ord(old): new for old, new in zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+", strict=True)}
_EXPONENT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+")


@dataclass(frozen=True)
class Ruling:
    """What a rule decided, and why in a sentence."""

    equal: bool
    why: str


def rule(truth: str, answer: str) -> Ruling | None:
    """The ruling of the cheap rules, or None where they cannot tell."""
    left, right = normalise(truth), normalise(answer)
    if left == right:
        return Ruling(True, f"Both answers read {left}.")
    for read in (_option, _boolean, _integer):
        values = read(left), read(right)
        if None not in values:
            if values[0] == values[1]:
                return Ruling(True, f"Both answers stand for {values[0]}.")
            return Ruling(False, f"The answer stands for {values[1]}, the ground truth for {values[0]}.")
    known, given = _number(left), _number(right)
    exact = _integer(left) is not None
    if known is not None and given is not None and math.isclose(known, given, rel_tol=0 if exact else TOLERANCE):
        return Ruling(True, f"{right} is {left} up to rounding.")
    return None


def normalise(text: str) -> str:
    """The answer without dress: one spelling of signs, no LaTeX markup, no closing full stop; case is kept, since it
    tells mW from MW."""
    text = unicodedata.normalize("NFC", text.strip().removesuffix(".").strip("$ ")).translate(_SIGNS)
    text = _EXPONENT.sub(lambda found: f"^{found.group().translate(_RAISED)}", text)
    text = _DRESS.sub(lambda found: found.group(1) or " ", text)
    text = text.replace(r"\%", "%").replace(r"\$", "$").replace(r"\cdot", "*").replace(r"\times", "*")
    text = re.sub(r"\s+", " ", text).strip()
    return re.sub(r"\s*([-+*/=,;:%^])\s*", r"\1", text)


def is_math(truth: str, answer: str) -> bool:
    """Whether a computer algebra system may be asked: formulas of known signs and not sentences, the same letters on
    both sides (units differ by letters), no lists (whose order may matter)."""
    sides = [_undressed(text) for text in (truth, answer)]
    if max(map(len, sides)) > MAX_MATH_LENGTH or not all(_FORMULA.fullmatch(side) for side in sides):
        return False
    if any(command[1:] not in _KNOWN for side in sides for command in _COMMAND.findall(side)):
        return False
    bare = [_COMMAND.sub(" ", side) for side in sides]
    letters = [{word for word in _WORD.findall(side) if word not in _FUNCTIONS} for side in bare]
    return letters[0] == letters[1] and all(len(word) == 1 for word in letters[0])


def math_equal(truth: str, answer: str) -> bool:
    """Whether two formulas are equal by math-verify. May take forever: call it through `math_worker`."""
    from latex2sympy2_extended import NormalizationConfig
    from math_verify import LatexExtractionConfig, parse, verify

    # Units stay: 4.9 J is not 4.9 N.
    normalisation = NormalizationConfig(basic_latex=True, units=False, malformed_operators=True, nits=True)
    config = [LatexExtractionConfig(normalization_config=normalisation)]
    sides = [
        parse(f"${_undressed(text)}$", config, fallback_mode="no_fallback", parsing_timeout=0)
        for text in (truth, answer)
    ]
    # The first entry is the formula; a parse that failed has none.
    return all(sides) and bool(verify(sides[0], sides[1], strict=True, timeout_seconds=0))


def _undressed(text: str) -> str:
    """Normalised, thousands joined."""
    return re.sub(r"(?<=\d),(?=\d{3}\b)", "", normalise(text))


def _number(text: str) -> float | None:
    if not text or not _NUMBER.fullmatch(text) or not any(c.isdigit() for c in text):
        return None
    return float(text.replace(",", ""))


def _integer(text: str) -> int | None:
    number = _number(text)
    return int(number) if number is not None and re.fullmatch(r"[-+]?[\d,]+", text) else None


def _option(text: str) -> str | None:
    found = _OPTION.fullmatch(text)
    return found.group(1).upper() if found and (text.isupper() or len(text) > 1) else None


def _boolean(text: str) -> bool | None:
    word = text.casefold()
    return True if word in _TRUE else False if word in _FALSE else None
