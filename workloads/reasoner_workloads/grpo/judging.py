"""Who decides whether answers are right: the words that `verifier_client`, `rules_judge` and `scoring` share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Case(NamedTuple):
    """An answer to be judged."""

    question: str
    ground_truth: str
    answer: str


class Judge(Protocol):
    """Whatever decides whether answers are right."""

    async def judge(self, cases: Sequence[Case]) -> list[bool | None]:
        """The verdicts, in the order of the cases; None where there is none, however often it was asked."""

    async def close(self) -> None:
        """Let go of connections and processes."""
