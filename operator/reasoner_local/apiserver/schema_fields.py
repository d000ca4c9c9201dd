"""Pruning of unknown fields and filling in of defaults, by schema. Both change the value in place.

Called by `writes` for every object that comes in; the same code serves custom resources and built-in kinds.
"""

from collections.abc import Iterator
from typing import Any

from .field_types import ANY, Schema, resolve
from .objects import NESTED, Obj, clone

_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_EMBEDDED = "x-kubernetes-embedded-resource"
_RESOURCE_FIELDS = frozenset({"apiVersion", "kind", "metadata"})


def _keeps_unknown(schema: Schema) -> bool:
    return bool(schema.get(_PRESERVE)) or schema.get("additionalProperties") is True or not schema


def prune(value: Any, schema: Schema, path: str = "") -> Iterator[str]:
    """Drop the fields that `schema` does not know, yielding the path of each."""
    if isinstance(value, list):
        inner = resolve(schema.get("items") or ANY)
        if inner:
            for index, item in enumerate(value):
                yield from prune(item, inner, f"{path}[{index}]")
        return
    if not isinstance(value, dict) or not schema:
        return
    properties: Schema = schema.get("properties", ANY)
    extra = schema.get("additionalProperties")
    keeps = _keeps_unknown(schema)
    for key in list(value):
        here = f"{path}.{key}" if path else key
        known = properties.get(key, extra if isinstance(extra, dict) else None)
        if known is not None:
            if isinstance(value[key], NESTED):
                yield from prune(value[key], resolve(known), here)
        elif not keeps and not (schema.get(_EMBEDDED) and key in _RESOURCE_FIELDS):
            del value[key]
            yield here


def fill_defaults(value: Any, schema: Schema) -> None:
    """Set the fields that are missing and have a default, also inside of defaults."""
    if isinstance(value, list):
        inner = schema.get("items")
        if inner:
            for item in value:
                fill_defaults(item, inner)
        return
    if not isinstance(value, dict):
        return
    properties: Schema = schema.get("properties", ANY)
    for key, node in properties.items():
        if "default" in node and (
            key not in value or (value[key] is None and not node.get("nullable") and node["default"] is not None)
        ):
            value[key] = clone(node["default"])
        if isinstance(value.get(key), NESTED):
            fill_defaults(value[key], node)
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        for key, item in value.items():
            if key not in properties:
                fill_defaults(item, extra)


_GO_NAMES = {
    "string": "string",
    "boolean": "bool",
    "integer": "int32",
    "number": "float64",
    "array": "[]",
    "object": "map",
}
_JSON_NAMES = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}


def _fits(value: Any, wanted: str) -> bool:
    if wanted == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if wanted == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, {"string": str, "boolean": bool, "array": list, "object": dict}[wanted])


def misfits(value: Any, schema: Schema, path: str = "") -> Iterator[str]:
    """What a typed decoder would say of values of the wrong JSON type in a built-in object (nulls dropped)."""
    schema = resolve(schema)
    wanted = schema.get("type")
    if isinstance(wanted, str) and not _fits(value, wanted):
        found = _JSON_NAMES[type(value)]
        yield f"json: cannot unmarshal {found} into Go struct field {path} of type {_GO_NAMES[wanted]}"
    elif isinstance(value, dict):
        properties, extra = schema.get("properties", ANY), schema.get("additionalProperties")
        for key, item in value.items():
            node = properties.get(key, extra if isinstance(extra, dict) else None)
            if node is not None:
                yield from misfits(item, node, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and "items" in schema:
        for item in value:
            yield from misfits(item, schema["items"], path)


def with_metadata(schema: Schema, metadata: Schema) -> Schema:
    """A CRD's schema with the fields that every object has, for pruning and for typing fields."""
    base: Obj = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": metadata}
    return {**schema, "properties": {**schema.get("properties", ANY), **base}}
