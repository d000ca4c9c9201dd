"""What two askings of one question share. Used by `stretch`, `dedupe` and `filters`."""

from __future__ import annotations

import re
import unicodedata

_NOISE = re.compile(r"[\s.,;:!?'\"’“”]+")


def key(question: str) -> str:
    """A question's words and signs, whatever case, spacing and punctuation."""
    return " ".join(_NOISE.sub(" ", unicodedata.normalize("NFKC", question).casefold()).split())
