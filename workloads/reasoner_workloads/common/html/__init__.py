"""Reports as one self-contained HTML file: no scripts, no requests, light and dark, printable. Used by the reports of
all workloads: `page` lays out sections, `charts` draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

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
    """A table of text."""
    cells = Markup("").join(Markup("<th>{}</th>").format(name) for name in head)
    lines = Markup("").join(
        Markup("<tr>{}</tr>").format(Markup("").join(Markup("<td>{}</td>").format(cell) for cell in row))
        for row in rows
    )
    return Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(cells, lines)
