"""What a page says to a row: the question that the row means, and the answers that people wrote to it. Called by
`stages`; what the page holds as a whole is in `survey`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reasoner_workloads.curation.blocks import Answer
from reasoner_workloads.curation.records import Dropped
from reasoner_workloads.curation.signs import says_bot
from reasoner_workloads.curation.survey import Asked, Survey, words_of

#: Answers given to a model, best first, and characters of each text: more costs and does not help.
MAX_ANSWERS = 5
MAX_CHARACTERS = 8000


@dataclass(frozen=True)
class Page:
    """A question and its human answers, best first."""

    title: str
    question: str
    answers: tuple[Answer, ...]


def read(found: Survey, hint: str) -> Page:
    """The page's question that is closest to `hint`, with its answers. Raises Dropped: `gated` where a wall stands
    before the answer (evidence: login, paywall or interaction), `no_human_answer` where no person gave one."""
    asked = _meant(found, hint)
    question, answers = (asked.block.question, asked.answers) if asked else (hint or found.title, found.main)
    human = [answer for answer in answers if not (answer.bot or says_bot(answer.text))]
    if found.closed:
        raise Dropped("gated", "paywall")
    if not answers and found.gate:
        raise Dropped("gated", found.gate)
    if not human:
        raise Dropped("no_human_answer", "bot" if answers else "none")
    human.sort(key=lambda answer: (not answer.accepted, -answer.votes))
    best = tuple(replace(answer, text=answer.text[:MAX_CHARACTERS]) for answer in human[:MAX_ANSWERS])
    return Page(found.title, (question or hint)[:MAX_CHARACTERS], best)


def _meant(found: Survey, hint: str) -> Asked | None:
    """The best question of the first layout that shows answers to its best, else of the first that shows a question."""
    fallback: Asked | None = None
    wanted = words_of(hint)
    for asks in found.layouts:
        best = max(asks, key=lambda asked: (_likeness(asked.words, wanted), bool(asked.block.answers)))
        if best.block.answers:
            return best
        fallback = fallback or best
    return fallback


def _likeness(words: frozenset[str], wanted: frozenset[str]) -> float:
    """Share of the question's words that are wanted."""
    return len(words & wanted) / len(words) if words else 0.0
