"""What a page holds, whichever row asks: its questions by layout, its walls. Called by `page`, for the rows of one page
together."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import trafilatura
from lxml import etree
from lxml.html import HtmlElement

from reasoner_workloads.curation import layouts, structured
from reasoner_workloads.curation.blocks import Answer, Block
from reasoner_workloads.curation.markup import parse, text_of
from reasoner_workloads.curation.records import Dropped
from reasoner_workloads.curation.signs import Gate, closed_by_markup, wall_in, wall_on

#: Pages remembered: rows of one come soon after each other, and it may have hundreds.
MOST_PAGES = 4
#: A page without a known layout must hold at least this much text to hold an answer.
LEAST_TEXT = 200
#: Elements of such a page: one with more is dropped.
MOST_ELEMENTS = 50_000
#: Elements up to which trafilatura compares what it has found with what two other algorithms find: the time of one
#: grows with the square of the page's paragraphs.
MOST_COMPARED = 3000

_elements = etree.XPath("count(//*)")


@dataclass(frozen=True)
class Asked:
    """A question as the page shows it."""

    block: Block
    answers: tuple[Answer, ...]
    """Those of the block that are no walls."""
    words: frozenset[str]
    """Of the question."""


@dataclass(frozen=True)
class Survey:
    """A page."""

    title: str = ""
    layouts: tuple[tuple[Asked, ...], ...] = ()
    """The questions by each layout that shows any, up to the first that shows answers to all."""
    main: tuple[Answer, ...] = ()
    """The main text of a page without a known layout, for the extractor to find the answer in."""
    closed: bool = False
    """Whether it says that it is not free to read."""
    gate: Gate | None = None
    """The wall on it, looked for where a question is without an answer."""


def survey(text: str) -> Survey:
    """What a page holds. Raises Dropped: `unreadable` where it is built to wear its reader out, `no_human_answer` where
    it is no page."""
    found = _survey(text)
    if isinstance(found, Survey):
        return found
    raise Dropped(*found)


def words_of(text: str) -> frozenset[str]:
    """A text's words, for comparison."""
    return frozenset(re.findall(r"\w+", text.casefold()))


@lru_cache(MOST_PAGES)
def _survey(text: str) -> Survey | tuple[str, str]:
    """As `survey`; reason and evidence of what it raises."""
    try:
        root = parse(text)
        return _of(root, text) if root is not None else ("no_human_answer", "none")
    except Dropped as end:
        return end.reason, end.evidence


def _of(root: HtmlElement, text: str) -> Survey:
    data = structured.json_ld(root)
    found = tuple(_up_to_answered(itertools.chain((structured.from_json_ld(data),), (f(root) for f in layouts.ALL))))
    main = () if found else _main_text(text, int(_elements(root)))
    answered = all(asked.answers for asks in found for asked in asks) if found else bool(main)
    return Survey(_title(root), found, main, closed_by_markup(data), None if answered else wall_on(root))


def _up_to_answered(blocks_in_turn: Iterable[list[Block]]) -> Iterator[tuple[Asked, ...]]:
    for blocks in blocks_in_turn:
        if blocks:
            yield tuple(Asked(block, _open(block.answers), words_of(block.question)) for block in blocks)
            if all(block.answers for block in blocks):
                return


def _open(answers: Iterable[Answer]) -> tuple[Answer, ...]:
    return tuple(answer for answer in answers if answer.text and not wall_in(answer.text))


def _main_text(text: str, elements: int) -> tuple[Answer, ...]:
    if elements > MOST_ELEMENTS:
        raise Dropped("unreadable", f"more than {MOST_ELEMENTS} elements in no known layout")
    fast = elements > MOST_COMPARED
    found = trafilatura.extract(text, include_comments=False, include_tables=True, favor_recall=True, fast=fast) or ""
    return _open((Answer(found),)) if len(found) >= LEAST_TEXT else ()


def _title(root: HtmlElement) -> str:
    heading = next(iter(root.iter("h1")), None)
    if heading is None:
        heading = next(iter(root.iter("title")), None)
    return " ".join(text_of(heading).split())[:500] if heading is not None else ""
