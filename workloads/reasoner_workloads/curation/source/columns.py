"""What a row's columns say, by the spec's names or by those of WebInstruct's published shapes. Called by `source`."""

from __future__ import annotations

import hashlib
import re
import zlib
from typing import Any
from urllib.parse import urlsplit

from reasoner_api.curation import Columns
from reasoner_workloads.curation.charset import storable
from reasoner_workloads.curation.records import Row

#: Names recognised without being told, the best first. WebInstructSub and WebInstructFull keep the crawled words in
#: `orig_question` beside a rewritten `question`; WebInstruct-verified has `id`, `question`, `answer`, `answer_type`,
#: `category` and `difficulty`.
KNOWN = {
    "id": ("id", "index"),
    "url": ("url", "source_url", "page_url", "webpage", "link"),
    "question": ("orig_question", "question", "instruction", "query", "text"),
}
#: Longer is no address of a page.
LONGEST_URL = 4096
#: A hint tells a page's questions apart; more of it says nothing more.
LONGEST_HINT = 20_000
LONGEST_ID = 256

_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")


class Malformed(Exception):
    """A row that cannot be used; the message goes on from "row 7 ..."."""

    def __init__(self, why: str) -> None:
        super().__init__(storable(why))


class Capture(dict[str, Any]):
    """The columns of a captured page, and the page: a file's own columns never say what a page holds."""

    def __init__(self, response: bytes, **columns: Any) -> None:
        super().__init__(columns)
        self.response = response


def names_of(columns: Columns) -> dict[str, tuple[str, ...]]:
    """The names that each column goes by."""
    return {role: (own,) if (own := getattr(columns, role)) else known for role, known in KNOWN.items()}


def row_of(found: dict[str, Any] | Malformed, columns: Columns) -> Row:
    """The row of some values. Raises Malformed."""
    if isinstance(found, Malformed):
        raise found
    names = names_of(columns)
    url = _url(_first(found, names["url"]), found, names["url"])
    name = _text(_first(found, names["id"]))[:LONGEST_ID].strip()
    hint = _text(_first(found, names["question"]))[:LONGEST_HINT]
    return Row(
        id=name or hashlib.sha256(f"{url}\n{hint}".encode()).hexdigest()[:16],
        url=url,
        hint=hint,
        packed=zlib.compress(found.response, 1) if isinstance(found, Capture) else None,
    )


def _first(found: dict[str, Any], names: tuple[str, ...]) -> Any:
    """The first of the columns that says anything."""
    return next((found[name] for name in names if found.get(name) not in (None, "")), None)


def _url(value: Any, found: dict[str, Any], names: tuple[str, ...]) -> str:
    if value is None:
        raise Malformed(f"has no URL in {_listed(names)}; its columns: {_listed(map(str, found))[:300]}")
    if not isinstance(value, str):
        raise Malformed(f"has a URL of type {type(value).__name__}")
    url = value.strip()
    if len(url) > LONGEST_URL:
        raise Malformed(f"has a URL of {len(url)} characters")
    if "\N{REPLACEMENT CHARACTER}" in url:
        raise Malformed(f"has a URL that is no UTF-8: {url[:100]!a}")
    try:
        url.encode()
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # UnicodeEncodeError, of half a surrogate pair, is one
        sound = False
    if not sound or _UNPRINTABLE.search(url):
        raise Malformed(f"has no web address for a URL: {url[:100]!a}")
    return url


def _listed(names: Any) -> str:
    return ", ".join(names) or "none"


def _text(value: Any) -> str:
    """A value as text that any file can hold."""
    text = value if isinstance(value, str) else "" if value is None or isinstance(value, (dict, list)) else str(value)
    return storable(text)
