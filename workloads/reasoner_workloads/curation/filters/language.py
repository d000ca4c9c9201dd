"""The language of a question's words, its formulas and names aside. Called by `screens`."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

#: Letters of Latin words below which nothing can be said: "Solve for x", "Evaluate".
FEWEST_LETTERS = 25
#: Signs of a script of its own that are enough, such as Chinese ones.
FEWEST_SIGNS = 4
#: Probability of all other languages together from which on a question counts as foreign.
SURE = 0.95

_MATH = re.compile(
    r"\$\$?.*?\$\$?|\\\(.*?\\\)|\\\[.*?\\\]|\\begin\{(\w+\*?)\}.*?\\end\{\1\}|```.*?```|`[^`]*`", re.DOTALL
)
_COMMAND = re.compile(r"\\[a-zA-Z]+(\{[^{}]*\})*|https?://\S+|\S*[\d_^=\\{}<>/+*|]\S*")
_WORD = re.compile(r"[^\W\d_]+")


def foreign(text: str, languages: frozenset[str]) -> str | None:
    """The language that a text surely is in and that is none of those given; None where it is one of them or cannot
    be told."""
    words = [word for word in _WORD.findall(_COMMAND.sub(" ", _MATH.sub(" ", text))) if _counts(word)]
    latin = sum(len(word) for word in words if word.isascii())
    signs = sum(len(word) for word in words) - latin
    if latin < FEWEST_LETTERS and signs < FEWEST_SIGNS:
        return None
    ranked = _identifier().rank(" ".join(words))
    known = sum(probability for language, probability in ranked if language in languages)
    return str(ranked[0][0]) if known <= 1 - SURE else None


def _counts(word: str) -> bool:
    # Variables, units and abbreviations (kJ, DNA) belong to no language.
    return not word.isascii() or (len(word) > 2 and not word.isupper())


@cache
def _identifier() -> LanguageIdentifier:
    """The model, which its wheel holds: half a second to load."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
