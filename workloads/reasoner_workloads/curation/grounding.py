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
_NUMBERS = {word: str(number) for number, word in enumerate(_DIGITS + _TEENS)}
#: Share of an answer's numbers and words that the page must have: units and notation may be set in another way.
SHARE = 0.5


def occurs(answer: str, page: Page) -> bool:
    """Whether the answer stands on the page, spacing, order and half of its notation aside."""
    wanted = _pieces(answer)
    if wanted and wanted <= _VERDICTS:
        return True
    said = "\n".join((page.question, *(one.text for one in page.answers)))
    if not wanted:  # a symbol, such as that of infinity
        return answer in said
    if _squeezed(answer) in _squeezed(said):
        return True
    known = _pieces(said)
    found = sum(piece in known or ("%" in answer and _hundredth(piece) in known) for piece in wanted)
    return found >= SHARE * len(wanted)


def _pieces(text: str) -> set[str]:
    return {_NUMBERS.get(piece, piece) for piece in _PIECE.findall(_plain(text))}


def _squeezed(text: str) -> str:
    return re.sub(r"[\W_]+", "", _plain(text))


def _plain(text: str) -> str:
    # 1,000 is 1000; full-width digits and superscripts are digits.
    return re.sub(r"(?<=\d),(?=\d{3})", "", unicodedata.normalize("NFKC", text).casefold())


def _hundredth(piece: str) -> str:
    """What a percentage's number is as a fraction: 1.98 as 0.0198."""
    if not piece[0].isdigit():
        return piece
    whole, _, part = piece.partition(".")
    digits = whole.rjust(3, "0")
    return f"{int(digits[:-2][-30:])}.{digits[-2:]}{part}".rstrip("0").rstrip(".")
