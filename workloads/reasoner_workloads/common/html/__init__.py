"""Reports as one self-contained HTML file: no scripts, no requests, light and dark, printable. Used by the reports of
all workloads: `page` lays out sections, `charts` draws."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

_FIGURE = re.compile(r"[-−+]?[\d,.]+(?: ?[%a-zA-Z]{1,3})?|[—-]?")
_PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


@dataclass(frozen=True)
class Section:
    """A part of a report under a heading. `body` is markup; text in it has been escaped."""

    title: str
    body: Markup
    note: str = ""
    wide: bool = False


def page(title: str, subtitle: str, facts: Sequence[tuple[str, str]], sections: Sequence[Section]) -> str:
    """The whole file. `facts` are the figures at its top, as label and value."""
    template = _PAGES.get_template("page.html.j2")
    return template.render(title=title, subtitle=subtitle, facts=facts, sections=sections) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    """A table of text. A column whose cells are all figures stands to the right."""
    right = [bool(rows) and all(_FIGURE.fullmatch(cell) for cell in column) for column in zip(*rows, strict=True)]
    right = right or [False] * len(head)
    cells = Markup("").join(_cell("th", name, figure) for name, figure in zip(head, right, strict=True))
    lines = Markup("").join(
        Markup("<tr>{}</tr>").format(
            Markup("").join(_cell("td", cell, figure) for cell, figure in zip(row, right, strict=True))
        )
        for row in rows
    )
    return Markup('<div class="scroll"><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>').format(
        cells, lines
    )


def folded(tag: str, title: str, figure: str, examples: Sequence[tuple[str, str]]) -> Markup:
    """A line that opens to show examples."""
    shown = listed(examples)
    head = Markup('<span class="tag">{}</span><b>{}</b><span class="number">{}</span>').format(tag, title, figure)
    return Markup("<details open><summary>{}</summary>{}</details>").format(head, shown)


def listed(examples: Sequence[tuple[str, str]]) -> Markup:
    """Examples, each a text and what is said of it; one below the other on a narrow screen."""
    return Markup("").join(
        Markup('<div class="example"><div>{}</div><div class="soft">{}</div></div>').format(*one) for one in examples
    )


def _cell(tag: str, text: str, figure: bool) -> Markup:
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(tag), Markup(' class="number"' if figure else ""), text)
