"""Questions and answers that a page declares as schema.org data: JSON-LD and microdata. Called by `page` and
`layouts`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from lxml import etree
from lxml.html import HtmlElement

from reasoner_workloads.curation.blocks import MOST_BLOCKS, Answer, Block
from reasoner_workloads.curation.markup import DEEPEST, integer, text_of, text_of_html
from reasoner_workloads.curation.signs import by_bot

#: By libxml2: a walk in Python over all that nested items hold takes seconds.
_with_property = etree.XPath(
    "(descendant::*[@itemprop][contains(concat(' ', normalize-space(@itemprop), ' '), concat(' ', $name, ' '))])"
    f"[position() <= {MOST_BLOCKS}]"
)
_items = etree.XPath("descendant::*[@itemprop][@itemscope]")
_ANSWERS = ("acceptedAnswer", "suggestedAnswer")


def json_ld(root: HtmlElement) -> list[object]:
    """The page's JSON-LD values; what does not parse says nothing."""
    values: list[object] = []
    for script in root.iter("script"):
        if (script.get("type") or "").lower() == "application/ld+json":
            try:
                value = json.loads(script.text or "", strict=False)
            except (ValueError, RecursionError):  # also a number of thousands of digits, nesting without end
                continue
            if _is_shallow(value):
                values.append(value)
    return values


def _is_shallow(value: object) -> bool:
    """Whether a value is nested as deep as data is, and no deeper."""
    level = [value]
    for _ in range(DEEPEST):
        if not level:
            return True
        level = [
            child
            for one in level
            if isinstance(one, (dict, list))
            for child in (one.values() if isinstance(one, dict) else one)
        ]
    return False


def from_json_ld(values: list[object]) -> list[Block]:
    """The Questions of QAPage and FAQPage data."""
    questions = (value for value in _objects(values) if "Question" in _types(value))
    return [_block(value) for value in islice(questions, MOST_BLOCKS)]


def _objects(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for child in value.values():
            yield from _objects(child)
    elif isinstance(value, list):
        for child in value:
            yield from _objects(child)


def _types(value: dict[str, Any]) -> list[str]:
    return [str(kind).rpartition("/")[2] for kind in _list(value.get("@type"))]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _block(value: dict[str, Any]) -> Block:
    question = text_of_html(str(value.get("text") or value.get("name") or ""))
    answers = (
        _answer(answer, accepted=key == "acceptedAnswer")
        for key in _ANSWERS
        for answer in _list(value.get(key))
        if isinstance(answer, dict)
    )
    return Block(question, tuple(islice(answers, MOST_BLOCKS)))


def _answer(value: dict[str, Any], accepted: bool) -> Answer:
    authors = [author for author in _list(value.get("author")) if isinstance(author, dict)]
    machine = any("SoftwareApplication" in _types(author) for author in authors)
    source = str(value.get("digitalSourceType") or "")
    return Answer(
        text=text_of_html(str(value.get("text") or "")),
        accepted=accepted,
        votes=integer(str(value.get("upvoteCount") or "")),
        bot=machine or "algorithmicmedia" in source.lower(),
    )


def from_microdata(root: HtmlElement) -> list[Block]:
    """The itemscope Questions."""
    questions = (
        node
        for node in root.iter(etree.Element)
        if (node.get("itemtype") or "").rstrip("/").endswith("schema.org/Question")
    )
    return [
        Block(_own_text(node, "text") or _own_text(node, "name"), tuple(islice(_item_answers(node), MOST_BLOCKS)))
        for node in islice(questions, MOST_BLOCKS)
    ]


def _item_answers(question: HtmlElement) -> Iterator[Answer]:
    for node in _items(question):
        names = node.get("itemprop").split()
        if not set(names) & set(_ANSWERS):
            continue
        body = _own(node, "text")
        if body is not None:
            accepted = "acceptedAnswer" in names
            yield Answer(text_of(body), accepted, _votes(node), by_bot(node, body))


def _votes(node: HtmlElement) -> int:
    count = _own(node, "upvoteCount")
    if count is None:
        return 0
    return integer(count.get("content") or count.get("data-value") or count.text_content())


def _own_text(node: HtmlElement, name: str) -> str:
    found = _own(node, name)
    return text_of(found) if found is not None else ""


def _own(scope: HtmlElement, name: str) -> HtmlElement | None:
    """The first element with the property that belongs to this item and not to one nested in it; of nested ones, so
    many are passed over."""
    for node in _with_property(scope, name=name):
        owner = next((above for above in node.iterancestors() if above.get("itemscope") is not None), None)
        if owner is scope:
            return node
    return None
