"""CEL values made from JSON by schema, as Kubernetes types them. Used by `cel_rules`."""

import re
from functools import cache
from typing import Any

from celpy import celtypes
from celpy.adapter import json_to_cel

from .field_types import ANY, Schema
from .objects import meta

# Words that CEL keeps for itself; a property of that name is reached as __word__.
RESERVED = frozenset(
    [
        *("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if"),
        *("import", "let", "loop", "package", "namespace", "return", "var", "void", "while"),
    ]
)
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@cache
def escaped(name: str) -> str | None:
    """The name by which rules reach a property; None when they cannot."""
    if name in RESERVED:
        return f"__{name}__"
    text = re.sub(r"__|[.\-/]", lambda found: _ESCAPES[found[0]], name)
    return text if _IDENTIFIER.fullmatch(text) else None


def _string(value: str, schema: Schema) -> Any:
    made = {"date-time": celtypes.TimestampType, "duration": celtypes.DurationType}.get(schema.get("format", ""))
    if made is not None:
        try:
            return made(value)
        except ValueError:
            # The schema's own check of the format has said so already.
            return celtypes.StringType(value)
    return celtypes.StringType(value)


# What was made of a value's parts, by the identities of part and schema: rules at several levels see the same parts.
Made = dict[tuple[int, int], Any]


def to_object(value: dict[str, Any], schema: Schema, done: Made, only: frozenset[str] | None = None) -> Any:
    """The CEL map of an object, or of the fields alone that a rule reads of it."""
    known, extra = schema.get("properties", ANY), schema.get("additionalProperties")
    made: dict[Any, Any] = {}
    for key, item in value.items():
        if key in known:
            name = escaped(key)
            if name is not None and (only is None or name in only):
                made[celtypes.StringType(name)] = to_cel(item, known[key], done)
        elif isinstance(extra, dict):
            made[celtypes.StringType(key)] = to_cel(item, extra, done)
        elif extra is True or schema.get("x-kubernetes-preserve-unknown-fields"):
            made[celtypes.StringType(key)] = json_to_cel(item)
    return celtypes.MapType(made)


def to_cel(value: Any, schema: Schema, made: Made) -> Any:
    """The CEL value of a JSON value of that type: an integer in a `number` field is a double, and so on. What `made`
    holds must outlive neither the values nor the schemas that it was made of."""
    if value is None or isinstance(value, bool):
        return json_to_cel(value)
    if isinstance(value, str):
        return _string(value, schema)
    if isinstance(value, dict | list):
        key = (id(value), id(schema))
        if key not in made:
            if isinstance(value, dict):
                made[key] = to_object(value, schema, made)
            else:
                made[key] = celtypes.ListType([to_cel(item, schema.get("items", ANY), made) for item in value])
        return made[key]
    if schema.get("type") == "number" or isinstance(value, float):
        return celtypes.DoubleType(value)
    return celtypes.IntType(value)


_NAMES: Schema = {"type": "object", "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}}}


def root_schema(schema: Schema) -> Schema:
    """The type of `self` at the root: of the metadata, rules see the names alone."""
    text: Schema = {"type": "string"}
    base = {"apiVersion": text, "kind": text, "metadata": _NAMES}
    return {**schema, "properties": {**schema.get("properties", ANY), **base}}


def root_value(obj: dict[str, Any]) -> dict[str, Any]:
    """The object as rules at the root see it."""
    names = {key: meta(obj)[key] for key in ("name", "generateName") if key in meta(obj)}
    return {**obj, "metadata": names}
