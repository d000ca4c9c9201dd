"""Signs on a page: walls before the answer, answers that no person wrote, answers that the page vouches for. Called by
`page` and `layouts`."""

from __future__ import annotations

import re
from typing import Literal

from lxml import etree
from lxml.html import HtmlElement

from reasoner_workloads.curation.markup import classes

Gate = Literal["login", "paywall", "interaction"]

_SEE = r"(?:see|view|read|show|access|unlock|reveal|continue)"
_THING = r"(?:answer|solution|repl(?:y|ies)|response|content|explanation|full|rest|post|thread)"
_WALLS: tuple[tuple[Gate, re.Pattern[str]], ...] = (
    (
        "paywall",
        re.compile(
            rf"\b(?:premium|paying|paid)\s+(?:subscribers?|members?|users?)\s+only|\bsubscribers?[- ]only"
            rf"|\bsubscribe\b.{{0,60}}\bto\s+{_SEE}|\bunlock\s+(?:this|the)\b.{{0,40}}\b{_THING}"
            rf"|\b(?:upgrade|buy|purchase|pay)\b.{{0,40}}\bto\s+{_SEE}\b.{{0,30}}\b{_THING}",
            re.IGNORECASE | re.DOTALL,
        ),
    ),
    (
        "interaction",
        re.compile(
            rf"\b(?:click|tap|press)\s+(?:here\s+)?to\s+{_SEE}\b.{{0,30}}\b{_THING}"
            rf"|\b{_THING}\s+(?:is|are)\s+hidden\b|\bcomplete\s+the\b.{{0,40}}\bto\s+{_SEE}"
            r"|\b(?:verify|prove|confirm)\s+(?:that\s+)?you\s+are\s+(?:a\s+)?human|\bi\s+am\s+(?:a\s+)?human,"
            rf"|\b(?:watch|take|complete)\b.{{0,40}}\b(?:ad|video|survey|quiz)\b.{{0,30}}\bto\s+{_SEE}",
            re.IGNORECASE | re.DOTALL,
        ),
    ),
    (
        "login",
        re.compile(
            rf"\b(?:log|sign)(?:ged)?[- ]?(?:in|up)\b.{{0,40}}\bto\s+{_SEE}\b.{{0,40}}\b{_THING}"
            rf"|\b(?:must|need\s+to)\s+(?:be\s+)?(?:a\s+)?(?:registered|logged|log|sign|register|a\s+member)"
            rf"\b.{{0,60}}\bto\s+{_SEE}|\bmembers?[- ]only\b|\bonly\s+(?:registered\s+)?members\s+can\s+{_SEE}",
            re.IGNORECASE | re.DOTALL,
        ),
    ),
)
#: Shortest and longest text that can be a wall in an answer's place.
_SHORTEST_WALL, _WALL_LENGTH = 10, 800

_CAPTCHAS = frozenset({"h-captcha", "g-recaptcha", "cf-turnstile", "captcha-challenge"})
_WALL_CLASS = re.compile(r"(?:^|[-_])(?:pay|login|register|registration|reg)-?_?wall(?:$|[-_])|^paywall", re.IGNORECASE)

_MACHINE = r"(?:an?\s+)?(?:AI|A\.I\.|bot|artificial\s+intelligence|language\s+model|LLM|ChatGPT|GPT-?\d*|Gemini|Claude)"
_BOT_NOTICE = re.compile(
    rf"\b(?:AI|bot)[- ](?:generated|written)\b|\b(?:generated|written|created|produced|answered|posted)\s+"
    rf"(?:automatically\s+)?(?:by|with|using)\s+{_MACHINE}\b|\bautomated\s+(?:account|answer|reply|response)\b"
    rf"|\bautomatically\s+generated\b|\bI(?:'m|\s+am)\s+a\s+bot\b",
    re.IGNORECASE,
)
_BOT_CLASS = re.compile(r"^(?:ai|bot)(?:[-_](?:answer|generated|notice|reply|response|badge|label).*)?$|_bot$|-bot$")

_ACCEPTED_CLASS = re.compile(
    r"^(?:is-|js-)?(?:accepted|best|solved|verified|chosen)(?:[-_]?(?:answer|solution|reply|post))?$|^bestanswer$"
    r"|(?:--|__)(?:accepted|best|solved|verified)$"
)
_ACCEPTED_TEXT = re.compile(
    r"\s*\W*\s*(?:best|accepted|verified|chosen|correct)\s+(?:answer|solution|reply)\W*|\s*\W*\s*solution\s+accepted\W*",
    re.IGNORECASE,
)


def wall_in(text: str) -> Gate | None:
    """The wall that a text is, if it is one: short, and asking for something before it shows the answer."""
    if not _SHORTEST_WALL <= len(text) <= _WALL_LENGTH:
        return None
    return next((gate for gate, words in _WALLS if words.search(text)), None)


def wall_on(root: HtmlElement) -> Gate | None:
    """The wall on a page that shows no answer."""
    for node in root.iterfind(".//*[@class]"):
        names = classes(node)
        if names & _CAPTCHAS:
            return "interaction"
        if any(_WALL_CLASS.search(name) for name in names):
            return "paywall" if any("pay" in name for name in names) else "login"
    for node in root.iter("p", "dd", "li", "td", "section", "div", "h2", "h3", "h4", "button", "a", "span"):
        if gate := wall_in(_start(node)):
            return gate
    return None


def _start(node: HtmlElement) -> str:
    """A node's text, folded; of one that is too long for a wall, only so much that this shows."""
    words: list[str] = []
    length = 0
    for text in node.itertext():
        for word in text[: 2 * _WALL_LENGTH].split():
            words.append(word)
            length += len(word) + 1
        if length > _WALL_LENGTH + 1:
            break
    return " ".join(words)


def closed_by_markup(data: object) -> bool:
    """Whether schema.org data says that the page is not free to read."""
    if isinstance(data, dict):
        free = data.get("isAccessibleForFree")
        return str(free).lower() == "false" or any(closed_by_markup(value) for value in data.values())
    return isinstance(data, list) and any(closed_by_markup(value) for value in data)


def by_bot(block: HtmlElement, body: HtmlElement) -> bool:
    """Whether an answer is marked as a machine's: by markup anywhere in its block, or by words beside its body (a
    person may well write of bots)."""
    for node in (block, *block.iterdescendants(etree.Element)):
        if "algorithmicmedia" in (node.get("data-digital-source-type") or "").lower():
            return True
        if (node.get("itemtype") or "").endswith("/SoftwareApplication"):
            return True
        if any(_BOT_CLASS.search(name) for name in classes(node)):
            return True
    return bool(_BOT_NOTICE.search(_beside(block, body)))


def says_bot(text: str) -> bool:
    """Whether a text begins by saying that a machine wrote it."""
    return bool(_BOT_NOTICE.search(text[:200]))


def vouched(block: HtmlElement, body: HtmlElement) -> bool:
    """Whether the page marks an answer as accepted, best, verified."""
    if any(_ACCEPTED_CLASS.search(name) for name in classes(block)):
        return True
    inside = set(body.iter())
    return any(
        _ACCEPTED_TEXT.fullmatch(text)
        or (node is not block and any(_ACCEPTED_CLASS.search(name) for name in classes(node)))
        for node in block.iterdescendants(etree.Element)
        if node not in inside and len(text := node.text_content()) < 60
    )


def _beside(block: HtmlElement, body: HtmlElement) -> str:
    """A block's text without its body's."""
    if block is body:
        return ""
    inside = set(body.iter())
    parts = (text for node in block.iter() if node not in inside for text in (node.text, *(c.tail for c in node)))
    return " ".join(text for text in parts if text)
