"""What a fetched page holds: the question that the row means, and the answers that people wrote to it. Called by
`stages`; the layouts that it knows are in `layouts` and `structured`."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, replace

import trafilatura
from lxml import etree
from lxml.html import HtmlElement

from reasoner_workloads.curation import layouts, structured
from reasoner_workloads.curation.blocks import Answer, Block
from reasoner_workloads.curation.markup import parse, text_of
from reasoner_workloads.curation.records import Dropped
from reasoner_workloads.curation.signs import closed_by_markup, says_bot, wall_in, wall_on

#: Answers given to a model, best first, and characters of each text: more costs and does not help.
MAX_ANSWERS = 5
MAX_CHARACTERS = 8000
#: A page without a known layout must hold at least this much text to hold an answer.
LEAST_TEXT = 200
#: Elements of such a page: one with more is dropped.
MOST_ELEMENTS = 50_000
#: Elements up to which trafilatura compares what it has found with what two other algorithms find: the time of one
#: grows with the square of the page's paragraphs.
MOST_COMPARED = 3000

_elements = etree.XPath("count(//*)")


@dataclass(frozen=True)
class Page:
    """A question and its human answers, best first."""

    title: str
    question: str
    answers: tuple[Answer, ...]


def read(text: str, hint: str) -> Page:
    """The page's question that is closest to `hint`, with its answers. Raises Dropped: `gated` where a wall stands
    before the answer (evidence: login, paywall or interaction), `no_human_answer` where no person gave one,
    `unreadable` where the page is built to wear its reader out."""
    root = parse(text)
    if root is None:
        raise Dropped("no_human_answer", "none")
    title = _title(root)
    data = structured.json_ld(root)
    block = _block(root, data, hint)
    if block is None:
        block = _main_text(text, int(_elements(root)), hint or title)
    answers = [answer for answer in block.answers if answer.text and not wall_in(answer.text)]
    human = [answer for answer in answers if not (answer.bot or says_bot(answer.text))]
    if closed_by_markup(data):
        raise Dropped("gated", "paywall")
    if not answers and (gate := wall_on(root)):
        raise Dropped("gated", gate)
    if not human:
        raise Dropped("no_human_answer", "bot" if answers else "none")
    human.sort(key=lambda answer: (not answer.accepted, -answer.votes))
    best = tuple(replace(answer, text=answer.text[:MAX_CHARACTERS]) for answer in human[:MAX_ANSWERS])
    return Page(title, (block.question or hint)[:MAX_CHARACTERS], best)


def _block(root: HtmlElement, data: list[object], hint: str) -> Block | None:
    """The best block of the first layout that shows answers, else of the first that shows a question."""
    fallback: Block | None = None
    layouts_in_turn = (find(root) for find in layouts.ALL)
    wanted = _words(hint)
    for blocks in itertools.chain((structured.from_json_ld(data),), layouts_in_turn):
        if not blocks:
            continue
        best = max(blocks, key=lambda block: (_likeness(block.question, wanted), bool(block.answers)))
        if best.answers:
            return best
        fallback = fallback or best
    return fallback


def _likeness(question: str, wanted: set[str]) -> float:
    """Share of the question's words that are wanted."""
    words = _words(question)
    return len(words & wanted) / len(words) if words else 0.0


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


def _main_text(text: str, elements: int, question: str) -> Block:
    """A page of no known layout: its main text, for the extractor to find the answer in. Raises Dropped with
    `unreadable`."""
    if elements > MOST_ELEMENTS:
        raise Dropped("unreadable", f"more than {MOST_ELEMENTS} elements in no known layout")
    fast = elements > MOST_COMPARED
    found = trafilatura.extract(text, include_comments=False, include_tables=True, favor_recall=True, fast=fast) or ""
    return Block(question, (Answer(found),) if len(found) >= LEAST_TEXT else ())


def _title(root: HtmlElement) -> str:
    heading = next(iter(root.iter("h1")), None)
    if heading is None:
        heading = next(iter(root.iter("title")), None)
    return " ".join(text_of(heading).split())[:500] if heading is not None else ""
