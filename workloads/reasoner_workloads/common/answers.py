r"""The short answer in a response: the last `\boxed{...}`, else the last line introduced by "final answer", "the
answer is" and the like (General-Reasoner, section 3.2). Used by curation's candidates and by the GRPO reward."""

from __future__ import annotations

import re

#: How deep braces may nest inside a box.
MAX_DEPTH = 3

_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_BRACES = re.compile(r"\\.|[{}]", re.DOTALL)
_INTRODUCTION = re.compile(
    r"(?:\bfinal\s+answer(?:\s+is)?|\banswer\s+is|\b(?:answer|solution|ans)\s*\**\s*(?=[:：]))\s*[*_]*\s*[:：]?\s*[*_]*(.*)",
    re.IGNORECASE,
)
#: Marks around an answer that are the sentence's and not the answer's: pairs, then a closing full stop.
_WRAPPINGS = (("**", "**"), ("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("`", "`"))


def extract_answer(response: str) -> str | None:
    """The answer that a response ends with, or None where it gives none."""
    return boxed_answer(response) or introduced_answer(response)


def boxed_answer(response: str) -> str | None:
    r"""What the last `\boxed{...}` holds that is not empty, whose braces close and nest to MAX_DEPTH at most."""
    answer, end = None, 0
    for opening in _BOX.finditer(response):
        if opening.start() < end:
            continue
        close = _closing(response, opening.end())
        if close is None:
            continue
        answer, end = response[opening.end() : close].strip() or answer, close
    return answer


def introduced_answer(response: str) -> str | None:
    """What follows the last introduction: the rest of its line, or the next line that says something."""
    lines = response.splitlines()
    end = len(lines)
    for number in range(len(lines) - 1, -1, -1):
        found = _last_introduction(lines[number])
        if found is None:
            continue
        for text in (found, *lines[number + 1 : end]):
            if answer := _bare(text):
                return answer
        end = number
    return None


def _last_introduction(line: str) -> str | None:
    """What follows the last introduction in a line: "the answer is not the final answer: 4" gives 4."""
    rest = None
    found = _INTRODUCTION.search(line)
    while found:
        rest = found.group(1)
        found = _INTRODUCTION.search(rest)
    return rest


def _closing(text: str, start: int) -> int | None:
    """Position of the brace that closes the box whose content starts at `start`."""
    depth = 0
    for mark in _BRACES.finditer(text, start):
        if mark.group() == "{":
            depth += 1
            if depth > MAX_DEPTH:
                return None
        elif mark.group() == "}":
            if depth == 0:
                return mark.start()
            depth -= 1
    return None


def _bare(text: str) -> str:
    """The text without the sentence's marks around it."""
    while True:
        before = text
        text = text.strip()
        text = text.removesuffix(".").strip() if not text.endswith("..") else text
        if text.endswith("**") and text.count("**") == 1:
            text = text.removesuffix("**")
        for left, right in _WRAPPINGS:
            if len(text) >= len(left) + len(right) and text.startswith(left) and text.endswith(right):
                inner = text[len(left) : len(text) - len(right)]
                # "$1$ or $2$" is two, not one wrapped.
                if left not in inner and right not in inner:
                    text = inner
        if text == before:
            return text
