"""Bytes of a page to text, as browsers do it. Called by `fetch`."""

from __future__ import annotations

import codecs
import re

_META = re.compile(rb"""<meta[^>]+charset\s*=\s*["']?\s*([\w-]+)""", re.IGNORECASE)
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
#: Names that pages use for the superset that they mean (WHATWG Encoding).
_MEANT = {"iso8859-1": "cp1252", "ascii": "cp1252", "gb2312": "gb18030", "gbk": "gb18030", "euc_kr": "cp949"}


def decode(body: bytes, header: str | None) -> str:
    """By its byte order mark, the header's charset, the page's own; UTF-8 if it is that, else Windows-1252."""
    for mark, name in _MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(name, errors="replace")
    meta = _META.search(body[:4096])
    for label in (header, meta.group(1).decode() if meta else None):
        if label and (text := _by(label, body)) is not None:
            return text
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body.decode("cp1252", errors="replace")


def _by(label: str, body: bytes) -> str | None:
    """The text by a label, or None where that names no text encoding."""
    try:
        name = codecs.lookup(label).name
        return body.decode(_MEANT.get(name, name), errors="replace")
    except (LookupError, UnicodeError):
        return None
