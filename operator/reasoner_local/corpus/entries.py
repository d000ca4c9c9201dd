"""The corpus's entries and expected outcomes as typed values. Used through `reasoner_local.corpus`."""

from __future__ import annotations

import html
import re
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from reasoner_api.curation import AnswerType, Category, Difficulty

#: The folder that the corpus's robots.txt closes to crawlers.
DISALLOWED = "/open-texts/instructors/"

Layout = Literal["forum", "forum-classic", "textbook", "faq", "qapage-jsonld", "qapage-microdata"]


class Frozen(BaseModel):
    """Unknown fields refused, values frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Answer(Frozen):
    """One answer as its page shows it."""

    author: str
    votes: int = 0
    accepted: bool = False
    """Whether the page marks it as the solution; the first such answer is the reference."""
    bot: bool = False
    """Whether the page says that no person wrote it."""
    body: str
    """Text or HTML."""


class Comment(Frozen):
    """A remark below the question; never an answer."""

    author: str
    body: str


class Teacher(Frozen):
    """What the stand-in teacher knows about a question."""

    verifiable: bool = True
    why_not: Literal["opinion", "multi_part", "open_ended", "no_short_answer"] | None = None
    """Why there is no short verifiable answer; set exactly when `verifiable` is false."""
    question: str | None = None
    """Clean single-turn question; the page's own text when absent."""
    answer: str | None = None
    answer_type: AnswerType | None = None
    category: Category | None = None
    difficulty: Difficulty | None = None
    solve_rate: int | None = Field(default=None, ge=0, le=8)
    """How many of its 8 candidates are right."""
    equivalents: tuple[str, ...] = ()
    """Right answers in other words, as its right candidates put them."""
    wrong: tuple[str, ...] = ()
    """Wrong answers, as its wrong candidates put them."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        known = (self.answer, self.answer_type, self.category, self.difficulty, self.solve_rate)
        if self.verifiable and any(value is None for value in known):
            raise ValueError("a verifiable question needs answer, answer_type, category, difficulty and solve_rate")
        if self.verifiable == (self.why_not is not None):
            raise ValueError("why_not is set exactly when the question is not verifiable")
        return self


class Entry(Frozen):
    """One page and what is known about it."""

    id: str
    subject: str = ""
    """Name of the file it stands in."""
    layout: Layout
    variant: int = 0
    """Which of its layout's variants draws it."""
    host: str
    """The virtual site it belongs to: the first segment of its path."""
    path: str
    """URL path under the web server."""
    moved_from: str | None = None
    """The old address, which redirects here; the listing still has it."""
    status: int = 200
    """HTTP status that the server answers with."""
    charset: Literal["utf-8", "iso-8859-1"] = "utf-8"
    charset_header: bool = True
    """Whether the Content-Type header names the charset, too, or the page alone does."""
    title: str
    question: str
    """What the asker wrote, text or HTML."""
    answers: tuple[Answer, ...] = ()
    gate: Literal["login", "paywall", "interaction"] | None = None
    """The wall that the page shows in place of its answers."""
    comments: tuple[Comment, ...] = ()
    same_as: str | None = None
    """Id of the entry that asks the same question elsewhere; its teacher knowledge applies here, too."""
    teacher: Teacher | None = None
    """Absent where the page never gets as far as a model."""

    @property
    def listed_path(self) -> str:
        """The path in the listing, which is what `expected()` goes by."""
        return self.moved_from or self.path

    @property
    def question_text(self) -> str:
        """What the asker wrote, without markup."""
        return plain(self.question)

    @property
    def clean_question(self) -> str:
        """The single-turn question that a good extractor makes of this page."""
        return (self.teacher and self.teacher.question) or self.question_text

    @property
    def reference(self) -> Answer | None:
        """The answer that the page marks as the solution."""
        return next((answer for answer in self.answers if answer.accepted), None)


class Outcome(Frozen):
    """What must become of one page."""

    outcome: Literal["kept", "dropped"]
    stage: str | None = None
    reason: str | None = None
    evidence: str | None = None
    """Finer than the reason: which wall, why not verifiable."""


class StageTotal(BaseModel):
    """Rows in and out of one stage."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    rows_in: int = Field(alias="in")
    rows_out: int = Field(alias="out")
    dropped: dict[str, int] = {}


class Expected(Frozen):
    """The funnel, by listed path and by stage."""

    stages: dict[str, StageTotal]
    pages: dict[str, Outcome]


def plain(markup: str) -> str:
    """HTML to one line of text. Inline tags leave no gap: `a<sup>2</sup>` reads `a2`, as browsers copy it."""
    apart = re.sub(r"</?(p|ul|ol|li|div|pre|br|dd|dt|h[1-6])\b[^>]*>", " ", markup)
    return " ".join(html.unescape(re.sub(r"</?[a-zA-Z][^>]*>", "", apart)).split())
