"""Whether two short answers are the same, by rules alone. Sure or silent: where a rule could be wrong it says nothing
and a model decides. Used by curation's judge and, through `math_worker`, by whoever judges without a model."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass

from reasoner_workloads.common.structures import read_structure
from reasoner_workloads.common.units import read_quantity

#: Relative difference of two decimals that rounding explains.
TOLERANCE = 1e-3
#: Longer than this is no short answer, and slow to parse.
MAX_MATH_LENGTH = 200

#: Digits of an integer that is read as one: a longer one is no short answer.
MAX_DIGITS = 1000

_WHOLE = r"(?:\d{1,3}(?:,\d{3})+|\d+)"
_INTEGER = re.compile(rf"[-+]?{_WHOLE}")
_NUMBER = re.compile(rf"[-+]?(?:{_WHOLE}(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?")
_OPTION = re.compile(r"(?:option|choice)?\s*[(\[]?([A-Ha-h])[)\].:]?", re.IGNORECASE)
_TRUE, _FALSE = frozenset({"yes", "true"}), frozenset({"no", "false"})
#: A number or quantity with the name of what it is before it.
_NAMED = re.compile(r"^[a-zA-Z]=(?=[-+\d.])")
_ARTICLE = re.compile(r"^(?:the|an?) (?=[^\W\d_]{4})", re.IGNORECASE)
_WORDS = re.compile(r"[^\W\d_]{4,}(?:[ -][^\W\d_]{2,})*")
_SCIENTIFIC = re.compile(r"(.*)\*10\^(?:\{([-+]?\d{1,3})\}|\(?([-+]?\d{1,3})\)?)")
#: Towers of powers, large exponents, factorials: an algebra system would write the number down.
_HUGE = re.compile(r"\^[{(]*[-+]?\d{5,}|\d[})]*\^[{(]*\d+\^|\d{4,}\s*!|!\s*!|binom\s*\{?\d{5,}")
#: Brackets within brackets, beyond which parsing takes its time twice over for each.
_DEEPEST = 12
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
_DRESS = re.compile(r"\\(?:text|mathrm|mathbf|textbf|operatorname)\s*\{([^{}]*)\}|\\(?:left|right|displaystyle|[,;: ])")
#: A comma that parts a list though three digits follow: without its space it would be one of thousands.
_LISTED = re.compile(r"(?<=\d)(?:, | , ?)(?=\d{3}(?!\d))")
_SIGNS = {ord(old): new for old, new in zip("−–×·’“”µ", '--**\'""μ', strict=True)}
_RAISED = {ord(old): new for old, new in zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+", strict=True)}
_UNIT_WORD = re.compile(r"(?<=[\d.]) ?(percent|per cent)\b|\\Omega\b")
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
    if _close(left, right):
        return Ruling(True, f"{right} is {left} up to rounding.")
    if _same_quantity(left, right):
        return Ruling(True, f"{right} and {left} are the same quantity.")
    if _same_structure(truth, answer):
        return Ruling(True, f"{right} and {left} have the same parts.")
    if _same_words(left, right):
        return Ruling(True, f"{right} and {left} are the same words.")
    return None


def _close(left: str, right: str) -> bool:
    """Whether two numbers are the same but for rounding, a percentage with a percentage; one may be named, as in
    `x=5`."""
    if (named := _NAMED.match(left)) is None or not _NAMED.match(right):
        left = left[named.end() :] if named else left
        right = _NAMED.sub("", right) if named is None else right
    if left.endswith("%") and right.endswith("%"):
        left, right = left[:-1].strip(), right[:-1].strip()
    known, given = _number(left), _number(right)
    if known is None or given is None:
        return False
    return math.isclose(known, given, rel_tol=0 if _integer(left) is not None else TOLERANCE)


def _same_quantity(left: str, right: str) -> bool:
    known, given = read_quantity(left), read_quantity(right)
    if known is None or given is None or known.dimension != given.dimension:
        return False
    # An exact number leaves nothing to round, but a change of units computes.
    return math.isclose(known.value, given.value, rel_tol=1e-12 if known.whole else TOLERANCE)


def _same_structure(truth: str, answer: str) -> bool:
    """Cell by cell; those of a set in any order."""
    known, given = read_structure(truth), read_structure(answer)
    if known is None or given is None or known.form != given.form or len(known.cells) != len(given.cells):
        return False
    left, right = [normalise(cell) for cell in known.cells], [normalise(cell) for cell in given.cells]
    if known.form == "set":
        left, right = sorted(left), sorted(right)
    return all(one == other or _close(one, other) for one, other in zip(left, right, strict=True))


def _same_words(left: str, right: str) -> bool:
    """Words but for case and article. Short ones are symbols and units, where case tells."""
    sides = [_ARTICLE.sub("", text) for text in (left, right)]
    return sides[0].casefold() == sides[1].casefold() and all(_WORDS.fullmatch(side) for side in sides)


def normalise(text: str) -> str:
    """The answer without dress: one spelling of signs, no LaTeX markup, no closing full stop; case is kept, since it
    tells mW from MW."""
    text = unicodedata.normalize("NFC", text.strip().removesuffix(".").strip("$ ")).translate(_SIGNS)
    text = _EXPONENT.sub(lambda found: f"^{found.group().translate(_RAISED)}", text)
    # A space that is negative closes up, as in 1,\!200.
    text = _DRESS.sub(lambda found: found.group(1) or " ", text.replace(r"\!", ""))
    text = _UNIT_WORD.sub(lambda found: "%" if found.group(1) else "Ω", text)
    text = text.replace(r"\%", "%").replace(r"\$", "$").lstrip("$").replace(r"\cdot", "*").replace(r"\times", "*")
    text = re.sub(r"\s+", " ", text).strip()
    return ", ".join(re.sub(r"\s*([-+*/=,;:%^])\s*", r"\1", part) for part in _LISTED.split(text))


def is_math(truth: str, answer: str) -> bool:
    """Whether a computer algebra system may be asked: formulas of known signs and not sentences, the same letters on
    both sides (units differ by letters), no lists (whose order may matter)."""
    sides = [_undressed(text) for text in (truth, answer)]
    if max(map(len, sides)) > MAX_MATH_LENGTH or not all(_FORMULA.fullmatch(side) for side in sides):
        return False
    if any(_HUGE.search(side) or _depth(side) > _DEEPEST for side in sides):
        return False
    if any(command[1:] not in _KNOWN for side in sides for command in _COMMAND.findall(side)):
        return False
    # math-verify takes 50% for 0.5 and also for 50.
    if ("%" in sides[0]) != ("%" in sides[1]):
        return False
    bare = [_COMMAND.sub(" ", side) for side in sides]
    letters = [{word for word in _WORD.findall(side) if word not in _FUNCTIONS} for side in bare]
    return letters[0] == letters[1] and all(len(word) == 1 for word in letters[0])


def _depth(text: str) -> int:
    """How deep brackets nest."""
    level = deepest = 0
    for sign in text:
        level += (sign in "([{") - (sign in ")]}")
        deepest = max(deepest, level)
    return deepest


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
    if found := _SCIENTIFIC.fullmatch(text):
        # By way of text: 1.5 * 10**-3 is not quite 0.0015.
        text = f"{found.group(1)}e{found.group(2) or found.group(3)}"
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text.replace(",", ""))
    # Beyond what a float holds all numbers would be the same.
    return value if math.isfinite(value) else None


def _integer(text: str) -> int | None:
    if len(text) > MAX_DIGITS or not _INTEGER.fullmatch(text):
        return None
    return int(text.replace(",", ""))


def _option(text: str) -> str | None:
    found = _OPTION.fullmatch(text)
    return found.group(1).upper() if found and (text.isupper() or len(text) > 1) else None


def _boolean(text: str) -> bool | None:
    word = text.casefold()
    return True if word in _TRUE else False if word in _FALSE else None
