"""Bytes of a page to text, as browsers do it, and strangers' text to such as any file holds. Called by `recrawl`, the
sources and `records`."""

from __future__ import annotations

import codecs
import re

_UNSPEAKABLE = re.compile(r"[\x00-\x1f\x7f]+")
_HALVES = re.compile("[\ud800-\udfff]")
_PARAMETER = re.compile(r""";\s*charset\s*=\s*["']?([\w.:-]+)""", re.IGNORECASE | re.ASCII)
_META = re.compile(rb"""<meta[^>]+charset\s*=\s*["']?\s*([\w-]+)""", re.IGNORECASE)
_XML = re.compile(rb"""\s*<\?xml\b[^>]{0,200}?\bencoding\s*=\s*["']([\w-]+)""", re.IGNORECASE)
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
#: The encodings of the web (WHATWG Encoding), by Python's names. Others that Python knows are no pages' (UTF-7 smuggles
#: markup, `unicode_escape` warns, `punycode` takes time that grows with the square of the length).
_KNOWN = frozenset(
    {"utf-8", "utf-16", "utf-16-le", "utf-16-be", "ascii", "cp866", "koi8-r", "koi8-u", "mac-roman", "mac-cyrillic"}
    | {f"iso8859-{part}" for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16)}
    | {"cp874", "tis-620", "iso8859-11", *(f"cp125{digit}" for digit in range(9))}
    | {"gb2312", "gbk", "gb18030", "big5", "big5hkscs", "euc_jp", "iso2022_jp", "shift_jis", "cp932", "euc_kr", "cp949"}
)
#: Names that pages use for the superset that they mean (WHATWG Encoding).
_MEANT = {"iso8859-1": "cp1252", "ascii": "cp1252", "gb2312": "gb18030", "gbk": "gb18030", "euc_kr": "cp949"} | {
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "shift_jis": "cp932",
    "big5": "big5hkscs",
}
#: Names of the web that Python does not know.
_LABELS = {f"x-cp125{digit}": f"cp125{digit}" for digit in range(9)} | {
    "x-sjis": "cp932",
    "windows-31j": "cp932",
    "x-gbk": "gb18030",
    "x-x-big5": "big5hkscs",
    "x-euc-jp": "euc_jp",
    "x-mac-roman": "mac-roman",
    "x-mac-cyrillic": "mac-cyrillic",
    "dos-874": "cp874",
    "iso-8859-8-i": "iso8859-8",
}


def storable(text: str) -> str:
    """Text without what no file takes: NUL, and half surrogate pairs, in whose place a sign stands that no host's name
    holds."""
    return _HALVES.sub("\N{REPLACEMENT CHARACTER}", text.replace("\0", ""))


def header_value(text: str) -> str:
    """A header's value as it may be kept and sent back: on one line, storable."""
    return storable(_UNSPEAKABLE.sub(" ", text).strip())


def charset_of(content_type: str) -> str | None:
    """The charset parameter of a Content-Type, read as browsers do: without the escapes of mail."""
    found = _PARAMETER.search(content_type)
    return found.group(1) if found else None


def decode(body: bytes, header: str | None) -> str:
    """By its byte order mark, the header's charset, the page's own; UTF-8 if it is that, else Windows-1252."""
    for mark, name in _MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(name, errors="replace")
    if found := _encoding(header or ""):
        return body.decode(found, errors="replace")
    for declared in (_META.search(body[:4096]), _XML.match(body[:4096])):
        found = _encoding(declared.group(1).decode()) if declared else None
        # A page whose declaration can be read like this is no UTF-16.
        if found and not found.startswith("utf-16"):
            return body.decode(found, errors="replace")
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body.decode("cp1252", errors="replace")


def _encoding(label: str) -> str | None:
    """The encoding of the web that a label names, by Python's name; None where it names none."""
    try:
        name = codecs.lookup(_LABELS.get(label.lower(), label)).name
    except (LookupError, ValueError):
        return None
    return _MEANT.get(name, name) if name in _KNOWN else None
