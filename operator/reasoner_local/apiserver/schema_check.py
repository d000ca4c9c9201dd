"""Validation of a custom resource against its CRD's schema, in the words of a real API server.

Called by `custom` for every write of a custom resource. A part of the object that an update leaves as it was is
not looked at again (validation ratcheting). CEL rules are evaluated apart, in `cel_rules`.
"""

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import re2  # type: ignore[import-untyped]

from .errors import FieldProblem, bad_value, duplicate, not_supported, required
from .field_types import ANY, Schema, list_layout
from .formats import FORMATS
from .objects import clone

MISSING: Any = object()


@cache
def _regex(pattern: str) -> Any:
    return re2.compile(pattern)


def _type_name(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return "integer"
    return {float: "number", str: "string", list: "array", dict: "object"}[type(value)]


def _has_type(value: Any, wanted: str) -> bool:
    found = _type_name(value)
    return found == wanted or (wanted == "number" and found == "integer")


def _type_problem(value: Any, schema: Schema, path: str) -> FieldProblem | None:
    if value is None and schema.get("nullable"):
        return None
    found = _type_name(value)
    if schema.get("x-kubernetes-int-or-string"):
        fits, wanted = found in ("integer", "string"), "integer,string"
    else:
        wanted = schema.get("type", "")
        fits = not wanted or _has_type(value, wanted)
    if fits:
        return None
    said = f'{path} in body must be of type {wanted}: "{found}"'
    return FieldProblem(path or "<nil>", f'Invalid value: "{found}": {said}', "FieldValueTypeInvalid")


def _number_problems(value: Any, schema: Schema, path: str) -> Iterator[FieldProblem]:
    low, high, step = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    if low is not None:
        strict = schema.get("exclusiveMinimum") is True
        if value < low or (strict and value == low):
            word = "greater than" if strict else "greater than or equal to"
            yield bad_value(path, value, f"{path} in body should be {word} {low}")
    if high is not None:
        strict = schema.get("exclusiveMaximum") is True
        if value > high or (strict and value == high):
            word = "less than" if strict else "less than or equal to"
            yield bad_value(path, value, f"{path} in body should be {word} {high}")
    if step and not math.isclose(value / step, round(value / step), abs_tol=1e-9):
        yield bad_value(path, value, f"{path} in body should be a multiple of {step}")


def _string_problems(value: str, schema: Schema, path: str) -> Iterator[FieldProblem]:
    if len(value) < schema.get("minLength", 0):
        yield bad_value(path, value, f"{path} in body should be at least {schema['minLength']} chars long")
    if len(value) > schema.get("maxLength", math.inf):
        detail = f"Too long: may not be more than {schema['maxLength']} bytes"
        yield FieldProblem(path, detail, "FieldValueTooLong")
    if "pattern" in schema and not _regex(schema["pattern"]).search(value):
        yield bad_value(path, value, f"{path} in body should match '{schema['pattern']}'")
    fits = FORMATS.get(schema.get("format", ""))
    if fits and not fits(value):
        yield bad_value(path, value, f'{path} in body must be of type {schema["format"]}: "{value}"')


def _keyed(values: Any, schema: Schema) -> dict[str, Any]:
    """The elements of a keyed list by their keys: how an old element is matched with a new one."""
    layout = list_layout(schema)
    if layout.kind != "map" or not isinstance(values, list):
        return {}
    return {str(layout.identity(item)): item for item in values}


def old_items(values: list[Any], schema: Schema, old: Any) -> list[Any]:
    """For every element its former self, MISSING where lists of this type cannot be compared by element."""
    layout, before = list_layout(schema), _keyed(old, schema)
    return [before.get(str(layout.identity(item)), MISSING) if before else MISSING for item in values]


def _list_problems(value: list[Any], schema: Schema, path: str, old: Any) -> Iterator[FieldProblem]:
    if len(value) < schema.get("minItems", 0):
        yield bad_value(path, value, f"{path} in body should have at least {schema['minItems']} items")
    if len(value) > schema.get("maxItems", math.inf):
        detail = f"Too many: {len(value)}: must have at most {schema['maxItems']} items"
        yield FieldProblem(path, detail, "FieldValueTooMany")
    layout = list_layout(schema)
    seen: list[Any] = []
    for index, (item, former) in enumerate(zip(value, old_items(value, schema, old), strict=True)):
        yield from schema_problems(item, schema.get("items", ANY), f"{path}[{index}]", former)
        identity = layout.identity(item) if layout.kind == "map" else item
        if layout.kind in ("map", "set") and identity in seen:
            yield duplicate(f"{path}[{index}]", identity)
        seen.append(clone(identity))


def _map_problems(value: dict[str, Any], schema: Schema, path: str, old: Any) -> Iterator[FieldProblem]:
    prefix = path + "." if path else ""
    for name in schema.get("required", ()):
        if name not in value:
            yield required(prefix + name)
    if len(value) < schema.get("minProperties", 0):
        yield bad_value(path, value, f"{path} in body should have at least {schema['minProperties']} properties")
    if len(value) > schema.get("maxProperties", math.inf):
        detail = f"Too many: {len(value)}: must have at most {schema['maxProperties']} items"
        yield FieldProblem(path, detail, "FieldValueTooMany")
    extra = schema.get("additionalProperties")
    before = old if isinstance(old, dict) else {}
    for key, item in value.items():
        node = schema.get("properties", ANY).get(key, extra if isinstance(extra, dict) else None)
        if node is not None:
            yield from schema_problems(item, node, prefix + key, before.get(key, MISSING))


def _holds(value: Any, schema: Schema, path: str) -> bool:
    return next(schema_problems(value, schema, path), None) is None


def _combined_problems(value: Any, schema: Schema, path: str) -> Iterator[FieldProblem]:
    for node in schema.get("allOf", ()):
        yield from schema_problems(value, node, path)
    if "anyOf" in schema and not any(_holds(value, node, path) for node in schema["anyOf"]):
        yield bad_value(path, "", f"{path} in body must validate at least one schema (anyOf)")
    if "oneOf" in schema:
        count = sum(_holds(value, node, path) for node in schema["oneOf"])
        if count != 1:
            found = "Found none valid" if count == 0 else f"Found {count} valid alternatives"
            yield bad_value(path, "", f"{path} in body must validate one and only one schema (oneOf). {found}")
    if "not" in schema and _holds(value, schema["not"], path):
        yield bad_value(path, "", f"{path} in body must not validate the schema (not)")


def schema_problems(value: Any, schema: Schema, path: str = "", old: Any = MISSING) -> Iterator[FieldProblem]:
    """Every fault of `value`; `old` is the value that an update replaces."""
    if old is not MISSING and old == value:
        return
    wrong = _type_problem(value, schema, path)
    if wrong is not None:
        yield wrong
        return
    if value is None:
        return
    if "enum" in schema and value not in schema["enum"]:
        yield not_supported(path, value, schema["enum"])
    if isinstance(value, str):
        yield from _string_problems(value, schema, path)
    elif isinstance(value, list):
        yield from _list_problems(value, schema, path, old)
    elif isinstance(value, dict):
        yield from _map_problems(value, schema, path, old)
    elif not isinstance(value, bool):
        yield from _number_problems(value, schema, path)
    yield from _combined_problems(value, schema, path)
