"""A question with its answers as a page shows them. Made by `layouts` and `structured`, read by `page`."""

from __future__ import annotations

from dataclasses import dataclass

#: Questions of a page that are looked at, and answers to each; a page with more is read so far.
MOST_BLOCKS = 500


@dataclass(frozen=True)
class Answer:
    """One answer's text and what the page says of it."""

    text: str
    accepted: bool = False
    votes: int = 0
    bot: bool = False


@dataclass(frozen=True)
class Block:
    """One question."""

    question: str
    answers: tuple[Answer, ...] = ()
