"""Matrices, sets, intervals and tuples as answers write them, to their cells. Used by `equivalence`."""

from __future__ import annotations

import re
from dataclasses import dataclass

_MATRIX = re.compile(r"\\begin\{([pbB]?matrix)\}(.*)\\end\{\1\}", re.DOTALL)
_LISTS = re.compile(r"\[\s*(\[[^\[\]]*\](?:\s*,\s*\[[^\[\]]*\])*)\s*\]")
_SIZE = re.compile(r"\\(?:left|right|bigl?|bigr|Bigl?|Bigr)(?![a-zA-Z])")
_CLOSING = {"(": ")]", "[": ")]"}


@dataclass(frozen=True)
class Structure:
    """Cells in a form: two of the same form are the same when their cells are."""

    form: str
    """`matrix 2x3`, `set`, or the brackets of an interval or a tuple with the number of its cells."""
    cells: tuple[str, ...]


def read_structure(text: str) -> Structure | None:
    """The structure that an answer is, or None."""
    text = _SIZE.sub("", text.strip().removesuffix(".").strip("$ \n")).strip()
    if found := _MATRIX.fullmatch(text):
        rows = [row.split("&") for row in found.group(2).strip().removesuffix(r"\\").split(r"\\")]
        return _matrix(rows)
    if found := _LISTS.fullmatch(text):
        return _matrix([row.split(",") for row in re.findall(r"\[([^\[\]]*)\]", found.group(1))])
    if text.startswith(r"\{") and text.endswith(r"\}"):
        return _set(text[2:-2])
    if text.startswith("{") and text.endswith("}"):
        return _set(text[1:-1])
    if len(text) > 2 and text[-1] in _CLOSING.get(text[0], ""):
        cells = _split(text[1:-1])
        return Structure(f"{text[0]}{len(cells)}{text[-1]}", tuple(cells)) if cells and len(cells) > 1 else None
    return None


def _matrix(rows: list[list[str]]) -> Structure | None:
    if len({len(row) for row in rows}) != 1:
        return None
    cells = tuple(cell.strip() for row in rows for cell in row)
    return Structure(f"matrix {len(rows)}x{len(rows[0])}", cells) if all(cells) else None


def _set(inside: str) -> Structure | None:
    cells = _split(inside)
    # A set described by a condition has no cells.
    if cells is None or any(sign in inside for sign in ("|", ":", r"\mid", "...", r"\ldots", r"\dots")):
        return None
    return Structure("set", tuple(cells))


def _split(inside: str) -> list[str] | None:
    """The parts between commas outside of brackets; None where the brackets do not match or a part is empty."""
    parts, depth = [""], 0
    for sign in inside:
        depth += (sign in "([{") - (sign in ")]}")
        if depth < 0:
            return None
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    parts = [part.strip() for part in parts]
    return parts if depth == 0 and all(parts) else None
