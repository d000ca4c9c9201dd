"""Entries to HTML pages, through the templates of their layouts. Used through `reasoner_local.corpus` by the corpus
web server and the tests."""

from __future__ import annotations

import re
import zlib
from functools import cache
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reasoner_local.corpus.entries import Entry, plain
from reasoner_local.corpus.library import FOLDER, load

_BLOCK = re.compile(r"<(p|ul|ol|pre|table|div|blockquote|figure)\b")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def render(entry: Entry) -> str:
    """The entry's page as its server would send it. A gated page holds the wall and none of its answers."""
    template = _templates().get_template(f"{entry.layout}.html.j2")
    return template.render(
        entry=entry,
        site=_sites()[entry.host],
        answers=() if entry.gate else _by_votes(entry),
        related=_related(entry),
        mathjax=bool(re.search(r"\\\(|\$[^$]+\$", entry.question + "".join(a.body for a in entry.answers))),
        number=_number(entry.id),
    )


def encode(entry: Entry) -> bytes:
    """The page in its charset; what the charset lacks becomes character references."""
    return render(entry).encode(entry.charset, errors="xmlcharrefreplace")


def _by_votes(entry: Entry) -> list[Any]:
    """The accepted answer first, then the others by votes, as Q&A sites order them."""
    return sorted(entry.answers, key=lambda answer: (not answer.accepted, -answer.votes))


def _number(name: str) -> int:
    """A stable number such as sites give to posts."""
    return zlib.crc32(name.encode()) % 90_000 + 10_000


@cache
def _neighbours() -> dict[str, list[Entry]]:
    return {subject: [e for e in load() if e.subject == subject] for subject in {e.subject for e in load()}}


def _related(entry: Entry) -> list[Entry]:
    """The next few pages of the subject, for the sidebar."""
    others = _neighbours()[entry.subject]
    start = others.index(entry)
    return [e for e in (others * 2)[start + 1 : start + 5] if e.id not in (entry.id, entry.same_as)]


@cache
def _sites() -> dict[str, dict[str, str]]:
    sites: dict[str, dict[str, str]] = yaml.safe_load((FOLDER / "sites.yaml").read_text(encoding="utf-8"))
    return sites


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(prose=_prose, plain=plain, number=_number, day=_day)
    return environment


def _prose(text: str) -> Markup:
    """A body as HTML: left alone where it has blocks of its own, else one paragraph for each blank line."""
    if _BLOCK.search(text):
        return Markup(text)
    return Markup("\n".join(f"<p>{part.strip()}</p>" for part in re.split(r"\n\s*\n", text.strip())))


def _day(name: str) -> str:
    """A stable date for a post."""
    seed = _number(name)
    return f"{_MONTHS[seed % 12]} {seed % 27 + 1}, {2009 + seed % 15}"
