"""Layouts of pages with questions and answers, each a function from the document to its blocks. Called by `page`, in
the order of ALL: what says more about answers comes first."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator
from itertools import islice

from lxml import etree
from lxml.html import HtmlElement

from reasoner_workloads.curation.blocks import MOST_BLOCKS, Answer, Block
from reasoner_workloads.curation.markup import by_class, classes, integer, remove, text_of
from reasoner_workloads.curation.signs import by_bot, vouched
from reasoner_workloads.curation.structured import from_microdata

#: What stands inside an answer and is not the answer: quotes of the question, signatures, thanks, notices.
_CLUTTER = frozenset(
    {"quote", "signature", "reputation", "byline", "bot-notice", "js-post-menu", "post-menu", "post-signature"}
    | {"comments", "comment", "os-number", "solution-author", "post-thanks"}
)
#: Elements before a solution that may belong to its question.
MOST_ABOVE = 100
#: Headings that may be the solution's.
MOST_HEADINGS = 50
_HEADING = re.compile(r"\W*(?:worked\s+)?(?:solution|answer)s?\b[\s\d.:]*", re.IGNORECASE)


def stack_exchange(root: HtmlElement) -> list[Block]:
    """Stack Exchange and what imitates it: `.question` and `.answer`, bodies in `.js-post-body`."""
    bodies = ("js-post-body", "post-text", "s-prose")
    question = next((node for node in by_class(root, "question") if by_class(node, *bodies)), None)
    if question is None:
        return []
    posts = ((node, body[0]) for node in by_class(root, "answer") if (body := by_class(node, *bodies)))
    answers = (_answer(post, body, _score(post)) for post, body in posts)
    return [Block(_text(by_class(question, *bodies)[0]), tuple(islice(answers, MOST_BLOCKS)))]


def phpbb(root: HtmlElement) -> list[Block]:
    """phpBB and its kin: `.post` with a `.postbody` that holds a `.content`. The first post asks."""
    posts = [
        (post, content[0])
        for post in by_class(root, "post")
        if by_class(post, "postbody") and (content := by_class(post, "content"))
    ]
    return _thread(posts)


def vbulletin(root: HtmlElement) -> list[Block]:
    """vBulletin: bodies named `post_message_<n>` in a table or list item each. The first post asks."""
    posts = []
    for body in root.iter(etree.Element):
        if (body.get("id") or "").startswith("post_message_"):
            around = body.iterancestors("table", "li", "article")
            posts.append((next((n for n in around if (n.get("id") or "").startswith("post")), body), body))
    return _thread(posts)


def textbook(root: HtmlElement) -> list[Block]:
    """Exercises with solutions: OpenStax's `data-type`s, or blocks of class `exercise` and `solution`."""
    marked = [node for node in root.iter(etree.Element) if node.get("data-type") == "exercise"]
    if marked:
        return [block for node in islice(marked, MOST_BLOCKS) if (block := _marked_exercise(node))]
    nodes = by_class(root, "exercise", "problem", "solution", "answer")
    return _paired((node, not classes(node).isdisjoint({"exercise", "problem"}), _with_notice(node)) for node in nodes)


def faq(root: HtmlElement) -> list[Block]:
    """Lists of questions: `dl` with `dt` and `dd`, or `details` with a `summary`."""
    return list(islice(_faq(root), MOST_BLOCKS))


def _faq(root: HtmlElement) -> Iterator[Block]:
    for terms in root.iter("dl"):
        listed = any("faq" in name or "question" in name for name in classes(terms))
        if listed or any((dt.text_content() or "").strip().endswith("?") for dt in terms.iter("dt")):
            yield from _paired((node, node.tag == "dt", node) for node in terms.iter("dt", "dd"))
    for details in root.iter("details"):
        summary = next(iter(details.iter("summary")), None)
        if summary is not None:
            parts = by_class(details, "faq-answer", "answer") or [_rest(details, summary)]
            yield Block(_text(summary), tuple(_answer(part, part) for part in islice(parts, MOST_BLOCKS)))


def headed(root: HtmlElement) -> list[Block]:
    """A heading "Solution" or "Answer", and what comes before and after it."""
    headings = (node for node in root.iter("h2", "h3", "h4", "h5") if _HEADING.fullmatch(node.text_content() or ""))
    for heading in islice(headings, MOST_HEADINGS):
        above = islice(heading.itersiblings(preceding=True), MOST_ABOVE)
        before = [node for node in above if node.tag in ("p", "div", "ul", "ol")]
        after = []
        for node in heading.itersiblings():
            if node.tag in ("h1", "h2", "h3", "h4", "h5"):
                break
            after.append(node)
        if before and after:
            question = "\n".join(_text(node) for node in reversed(before))
            return [Block(question.strip(), (Answer("\n".join(_text(node) for node in after).strip()),))]
    return []


ALL = (stack_exchange, from_microdata, phpbb, vbulletin, textbook, faq, headed)


def _thread(posts: list[tuple[HtmlElement, HtmlElement]]) -> list[Block]:
    """A thread: its first post asks, the others answer, remarks aside."""
    if not posts:
        return []
    replies = [(post, body) for post, body in posts[1:] if not any("comment" in name for name in classes(body))]
    answers = (_answer(post, body, _thanks(post)) for post, body in islice(replies, MOST_BLOCKS))
    return [Block(_text(posts[0][1]), tuple(answers))]


def _marked_exercise(node: HtmlElement) -> Block | None:
    parts = list(node.iterdescendants(etree.Element))
    problem = next((part for part in parts if part.get("data-type") == "problem"), None)
    if problem is None:
        return None
    solutions = (part for part in parts if part.get("data-type") in ("solution", "answer"))
    answers = (_answer(part, next(iter(by_class(part, "os-solution-container")), part)) for part in solutions)
    return Block(_text(problem), tuple(islice(answers, MOST_BLOCKS)))


def _paired(nodes: Iterable[tuple[HtmlElement, bool, HtmlElement]]) -> list[Block]:
    """Each question with the answers that follow it: elements, whether they ask, and what says more of an answer."""
    found: list[tuple[str, list[Answer]]] = []
    for node, asks, about in nodes:
        if asks and len(found) == MOST_BLOCKS:
            break
        if asks:
            found.append((_text(node), []))
        elif found and len(found[-1][1]) < MOST_BLOCKS:
            found[-1][1].append(_answer(about, node))
    return [Block(question, tuple(answers)) for question, answers in found]


def _rest(details: HtmlElement, summary: HtmlElement) -> HtmlElement:
    """The details without their summary."""
    whole = copy.deepcopy(details)
    remove([node for node in whole.iter("summary") if node.text_content() == summary.text_content()][:1])
    return whole


def _with_notice(node: HtmlElement) -> HtmlElement:
    """The node, or the notice right before it where that says more about it."""
    before = node.getprevious()
    return before if before is not None and by_bot(before, before) else node


def _answer(block: HtmlElement, body: HtmlElement, votes: int = 0) -> Answer:
    return Answer(_text(body), vouched(block, body), votes, by_bot(block, body))


def _text(body: HtmlElement) -> str:
    """A body's text without its clutter."""
    own = copy.deepcopy(body)
    own.tail = None
    remove(by_class(own, *_CLUTTER))
    remove([node for node in own.iter("blockquote") if next(iter(node.iter("cite")), None) is not None])
    remove([node for node in own.iter("h3", "h4", "h5") if _HEADING.fullmatch(node.text_content() or "")])
    return text_of(own)


def _score(post: HtmlElement) -> int:
    return _first_integer(post.get("data-score") or "", *(n.text_content() for n in by_class(post, "js-vote-count")))


def _thanks(post: HtmlElement) -> int:
    return _first_integer(*(node.text_content() for node in by_class(post, "post-thanks", "reputation")))


def _first_integer(*texts: str) -> int:
    return next((integer(text) for text in texts if re.search("[0-9]", text)), 0)
