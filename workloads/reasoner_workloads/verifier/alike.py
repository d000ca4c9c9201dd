"""Questions that are the same or all but: what must not be learnt from and measured on. Called by `split`; pure."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import lru_cache

#: Jaccard similarity of word pairs from which two questions with the same numbers and signs are one.
THRESHOLD = 0.8
_MARKUP = re.compile(r"\\(?:text|mathrm|left|right|displaystyle|,|;|!|\s)|[${}]")
_TOKEN = re.compile(r"[^\W\d_]+|\d+(?:\.\d+)?|[-+*/^=<>%√∫∑π°]")
_WORD = re.compile(r"[^\W\d_]+")


@lru_cache(maxsize=1 << 18)
def key(question: str) -> str:
    """What askings of one question share, whatever case, spacing, punctuation and markup."""
    return " ".join(_tokens(question))


class Alike:
    """An index of questions that finds those all but equal to another: the same numbers and signs in the same order,
    and nearly the same words. Only questions that share one of their rarer word pairs are compared."""

    def __init__(self, questions: Iterable[str]) -> None:
        self._known: list[tuple[tuple[str, ...], frozenset[str]]] = []
        self._by_pair: dict[str, list[int]] = defaultdict(list)
        sides = [(_signs(tokens), _pairs(tokens)) for tokens in sorted({tuple(_tokens(one)) for one in questions})]
        self._count = Counter(pair for _, pairs in sides for pair in pairs)
        for signs, pairs in sides:
            for pair in self._rarest(pairs):
                self._by_pair[pair].append(len(self._known))
            self._known.append((signs, pairs))

    def has(self, question: str) -> bool:
        """Whether a question all but equal to this one is in the index."""
        tokens = tuple(_tokens(question))
        signs, pairs = _signs(tokens), _pairs(tokens)
        near = {index for pair in self._rarest(pairs) for index in self._by_pair.get(pair, ())}
        return any(self._known[index][0] == signs and _jaccard(self._known[index][1], pairs) for index in near)

    def _rarest(self, pairs: frozenset[str]) -> list[str]:
        """So many of the rarest pairs that two sets over the threshold share one of them (prefix filtering)."""
        ordered = sorted(pairs, key=lambda pair: (self._count[pair], pair))
        # The product is rounded against its own error, so that 10 * 0.8 is 8 and not a little more.
        return ordered[: len(ordered) - int(len(ordered) * THRESHOLD - 1e-9)]


def _tokens(question: str) -> list[str]:
    plain = _MARKUP.sub(" ", unicodedata.normalize("NFKC", question).casefold())
    return _TOKEN.findall(plain)


def _signs(tokens: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(token for token in tokens if not _WORD.fullmatch(token))


def _pairs(tokens: tuple[str, ...]) -> frozenset[str]:
    return frozenset(f"{left} {right}" for left, right in zip(("", *tokens), (*tokens, ""), strict=True))


def _jaccard(left: frozenset[str], right: frozenset[str]) -> bool:
    return len(left & right) >= THRESHOLD * len(left | right)
