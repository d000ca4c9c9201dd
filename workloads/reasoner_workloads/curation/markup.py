"""HTML to the text that people read, formulas kept. Called by `layouts` and `page`."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from functools import cache

from lxml import etree, html
from lxml.html import HtmlElement

from reasoner_workloads.curation.records import Dropped

_BLOCKS = frozenset(
    {"address", "article", "aside", "blockquote", "br", "dd", "details", "div", "dl", "dt", "figure", "footer"}
    | {"h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "ol", "p", "pre", "section", "summary"}
    | {"table", "tr", "ul"}
)
_SILENT = frozenset(
    {"script", "style", "noscript", "template", "button", "form", "input", "select", "textarea", "svg", "iframe"}
    | {"head", "nav"}
)
#: Attributes of a tag, or what may be some: quotes are not told from apostrophes.
MOST_ATTRIBUTES = 20_000
_TAG = re.compile(r"""<[a-zA-Z](?:[^"'>]++|"[^"]*+"|'[^']*+')*+""")
#: How deep elements are nested at most, pairs of an element and one around it, characters of text times the elements
#: around them. Real pages stay at a tenth.
DEEPEST = 120
MOST_PAIRS = 2_000_000
MOST_HEFT = 150_000_000
#: Stands for a space of preformatted text until the others are folded (a private-use character).
_KEPT_SPACE = "\ue000"
#: Spaces, and the control characters that pages hold by mistake.
_GAP = re.compile(r"[ \t\f\v\r\xa0\x00-\x08\x0e-\x1f\x7f]+")
_RAISED = {"sup": "^", "sub": "_"}


def parse(text: str) -> HtmlElement | None:
    """The document, or None where there is none to speak of. Raises Dropped with `unreadable` where it is built to
    wear its reader out."""
    if _has_endless_tag(text):
        raise Dropped("unreadable", "a tag without end")
    parser = html.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        # As bytes: a declared encoding inside a string would be refused.
        root = html.document_fromstring(text.encode(errors="replace"), parser=parser, ensure_head_body=True)
    except (etree.ParserError, etree.XMLSyntaxError):
        return None
    if fault := _fault_of(root):
        raise Dropped("unreadable", fault)
    return root


def _has_endless_tag(text: str) -> bool:
    """Whether a tag may have so many attributes that parsing, which compares each with all before it, takes minutes."""
    for match in _TAG.finditer(text):
        if match.end() - match.start() < MOST_ATTRIBUTES:
            continue
        tag = match.group()
        slashes = tag.count("/")
        # Any of them parts attributes. Slashes are also common in embedded images: one in 64 characters.
        if tag.count("=") + len(tag.split()) + (slashes if slashes * 8 > len(tag) else 0) > MOST_ATTRIBUTES:
            return True
    return False


def _fault_of(root: HtmlElement) -> str | None:
    """Why a document is not to be read, if it is not: what walks it recursively, or compares each element with what is
    inside it, must come to an end."""
    depth = pairs = heft = 0
    for event, node in etree.iterwalk(root, events=("start", "end")):
        if event == "end":
            depth -= 1
            continue
        depth += 1
        pairs += depth
        heft += depth * (len(node.text or "") + len(node.tail or ""))
        if depth > DEEPEST:
            return f"nested more than {DEEPEST} deep"
        if pairs > MOST_PAIRS or heft > MOST_HEFT:
            return "too many elements inside each other"
    return None


def text_of(node: HtmlElement) -> str:
    """The node's text: a line for each block, formulas as LaTeX, `x<sup>2</sup>` as `x^2`, images by their alt."""
    text = "".join(_pieces(node))
    lines = (_GAP.sub(" ", line).strip() for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip().replace(_KEPT_SPACE, " ")


def text_of_html(fragment: str) -> str:
    """The text of a piece of HTML, such as JSON-LD carries."""
    root = parse(f"<div>{fragment}</div>")
    return text_of(root) if root is not None else ""


def _pieces(node: HtmlElement) -> Iterator[str]:
    tag = node.tag if isinstance(node.tag, str) else ""
    if tag == "script" and (node.get("type") or "").startswith("math/tex"):
        yield f"${node.text or ''}$"
    elif tag == "math":
        yield _formula(node)
    elif tag == "br":
        yield "\n"
    elif tag == "img":
        yield node.get("alt") or ""
    elif tag in _RAISED:
        inside = "".join(_inside(node)).strip()
        yield (_RAISED[tag] + (inside if len(inside) == 1 else f"{{{inside}}}")) if inside else ""
    elif tag and tag not in _SILENT:
        edge = "\n" if tag in _BLOCKS else " " if tag in ("td", "th") else ""
        yield edge
        yield from _inside(node)
        yield edge
        if tag == "p":
            yield "\n"


def _inside(node: HtmlElement) -> Iterator[str]:
    keep = node.tag == "pre" or any(above.tag == "pre" for above in node.iterancestors("pre"))
    for text, child in ((node.text, None), *((child.tail, child) for child in node)):
        if child is not None:
            yield from _pieces(child)
        if text:
            # A line break in the source is a space, but in preformatted text, whose own spaces all count.
            yield text.replace(" ", _KEPT_SPACE) if keep else text.replace("\n", " ")


def _formula(node: HtmlElement) -> str:
    """A MathML formula by its LaTeX, which it mostly carries along."""
    written = node.get("alttext") or next(
        (note.text for note in node.iter("annotation") if "tex" in (note.get("encoding") or "").lower()), None
    )
    return f"${written.strip()}$" if written else "".join(node.itertext())


def classes(node: HtmlElement) -> set[str]:
    """The class names of an element, in lower case."""
    return set((node.get("class") or "").lower().split())


def integer(text: str) -> int:
    """The first number in a text, such as a score; 0 where there is none. Pages write numbers without end."""
    found = re.search(r"([-−]?)([0-9][0-9,]{0,11})", text)
    return int(found.group(2).replace(",", "")) * (-1 if found.group(1) else 1) if found else 0


def by_class(node: HtmlElement, *names: str) -> list[HtmlElement]:
    """Descendants that have one of the classes, in document order."""
    found: list[HtmlElement] = _having(names)(node)
    return found


@cache
def _having(names: tuple[str, ...]) -> etree.XPath:
    """By libxml2: in Python a walk over a page's elements takes longer than parsing it."""
    upper, lower = string.ascii_uppercase + "\t\n\r", string.ascii_lowercase + "   "
    listed = f"concat(' ', translate(@class, '{upper}', '{lower}'), ' ')"
    tests = (f"contains({listed}, ' {name} ')" for name in names)
    return etree.XPath(f"descendant::*[{' or '.join(tests)}]")


def remove(nodes: list[HtmlElement]) -> None:
    """Take elements out of their document; what follows them stays. An element without anything is left: lxml would
    not take back its own text where that holds control characters."""
    for node in nodes:
        if node.getparent() is not None:
            node.clear(keep_tail=True)
            node.tag = "span"
