"""Whether an extracted answer is the page's own: a model that was talked into something else, or that solved the
question by itself, writes what the page does not say. Called by `stages`."""

from __future__ import annotations

import re
import unicodedata

from reasoner_workloads.curation.page import Page

#: Answers that sum up a text in a word of their own.
_VERDICTS = frozenset({"yes", "no", "true", "false"})
_PIECE = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+")
_TEENS = "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"
_DIGITS = "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"
_TENS = {"thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80", "ninety": "90"}
_NUMBERS = {word: str(number) for number, word in enumerate(_DIGITS + _TEENS)} | _TENS
#: Share of an answer's numbers, or of its words where it has none, that the page must have: the rest may be notation.
SHARE = 0.5


def occurs(answer: str, page: Page) -> bool:
    """Whether the answer stands on the page: its numbers, or words, in whatever order and notation."""
    said = "\n".join((page.question, *(one.text for one in page.answers)))
    wanted, known = _pieces(answer), _pieces(said)
    if not wanted:  # a symbol, such as that of infinity
        return answer in said
    if wanted <= _VERDICTS:
        return True
    numbers = {piece for piece in wanted if piece[0].isdigit()}
    if not numbers and _squeezed(answer) in _squeezed(said):
        return True
    looked_for = numbers or wanted
    found = sum(piece in known or ("%" in answer and _hundredth(piece) in known) for piece in looked_for)
    return found >= SHARE * len(looked_for)


def _pieces(text: str) -> set[str]:
    return {_NUMBERS.get(piece, piece) for piece in _PIECE.findall(_plain(text))}


def _squeezed(text: str) -> str:
    return re.sub(r"[\W_]+", "", _plain(text))


def _plain(text: str) -> str:
    """Folded: 1,000 is 1000, 1,5 is 1.5, full-width digits and superscripts are digits."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r"(?<=\d),(?=\d)", ".", re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", folded))


def _hundredth(piece: str) -> str:
    """What a percentage's number is as a fraction: 1.98 as 0.0198."""
    if not piece[0].isdigit():
        return ""
    whole, _, part = piece.partition(".")
    digits = whole.rjust(3, "0")
    return f"{int(digits[:-2][-30:])}.{digits[-2:]}{part}".rstrip("0").rstrip(".")
