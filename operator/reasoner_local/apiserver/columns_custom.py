"""The columns that a CRD asks for with additionalPrinterColumns."""

import json
from collections.abc import Callable
from typing import Any

from .columns import Column, age
from .json_path import compile_path, find
from .objects import Obj


def _shown(value: Any, kind: str) -> Any:
    """A cell by the column's type; a value of another type is no cell at all."""
    if kind == "string":
        return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    if kind == "date":
        return age(value) if isinstance(value, str) else None
    if kind == "integer":
        return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    if kind == "number":
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None
    return value if isinstance(value, bool) else None


def _cell(path: str, kind: str) -> Callable[[Obj], Any]:
    steps = compile_path(path)

    def cell(obj: Obj) -> Any:
        found = [item for item in find(obj, steps) if item is not None]
        if not found:
            return None if kind != "date" else "<unknown>"
        if len(found) == 1:
            return _shown(found[0], kind)
        return ",".join(str(_shown(item, kind)) for item in found) if kind == "string" else _shown(found[0], kind)

    return cell


def custom_columns(declared: tuple[Obj, ...]) -> tuple[Column, ...]:
    """The columns of a CRD's version, without the name."""
    return tuple(
        Column(
            column["name"],
            _cell(column["jsonPath"], column["type"]),
            column["type"],
            column.get("format", ""),
            column.get("priority", 0),
            column.get("description", ""),
        )
        for column in declared
    )
