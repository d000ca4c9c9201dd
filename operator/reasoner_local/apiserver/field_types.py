"""The type of every field: structural schemas of custom resources and, in the same notation, of built-in kinds.

A schema is a JSON-schema node. `resolve` follows `$ref` into builtin_types.json (the OpenAPI definitions of
Kubernetes 1.36, Apache-2.0, descriptions dropped). The empty node is "anything": nested maps are then merged key
by key and lists are replaced whole, as a real server does with fields of unknown type.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

Schema = dict[str, Any]
ANY: Schema = {}
OBJECT_META: Schema = {"$ref": "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
# The published definitions leave defaults out; these are the ones that list-map keys rely on.
_KEY_DEFAULTS = {"protocol": "TCP"}


@cache
def _definitions() -> dict[str, Schema]:
    text = (files(__package__) / "builtin_types.json").read_text(encoding="utf-8")
    loaded: dict[str, Schema] = json.loads(text)
    return loaded


def resolve(schema: Schema) -> Schema:
    """The node itself, or the definition that it refers to."""
    reference = schema.get("$ref")
    return _definitions()[reference] if reference else schema


def definition(name: str) -> Schema:
    """The built-in definition of that name."""
    return _definitions()[name]


def child(schema: Schema, key: str) -> Schema:
    """The type of the field `key` of an object of this type; anything when the schema does not say."""
    known = schema.get("properties", ANY).get(key)
    if known is None:
        extra = schema.get("additionalProperties")
        known = extra if isinstance(extra, dict) else ANY
    return resolve(known)


def items(schema: Schema) -> Schema:
    """The type of the elements of an array of this type."""
    return resolve(schema.get("items") or ANY)


def is_atomic_map(schema: Schema) -> bool:
    """Whether a map of this type has one owner and is replaced whole."""
    return schema.get("x-kubernetes-map-type") == "atomic"


@dataclass(frozen=True)
class ListLayout:
    """How lists of one type are merged: `map` (by keys), `set` or `atomic`."""

    kind: str
    keys: tuple[str, ...] = ()
    defaults: tuple[tuple[str, Any], ...] = ()

    def identity(self, item: Any) -> dict[str, Any] | None:
        """The keys that tell `item` apart from its neighbours; None when it lacks one."""
        if not isinstance(item, dict):
            return None
        defaults = dict(self.defaults)
        found = {key: item.get(key, defaults.get(key)) for key in self.keys}
        return None if None in found.values() else found


def list_layout(schema: Schema) -> ListLayout:
    """The layout of an array type."""
    kind = schema.get("x-kubernetes-list-type", "atomic")
    if kind != "map":
        return ListLayout(kind)
    keys = tuple(schema.get("x-kubernetes-list-map-keys", ()))
    properties = items(schema).get("properties", ANY)
    builtin = "x-kubernetes-patch-merge-key" in schema
    defaults = []
    for key in keys:
        default = properties.get(key, ANY).get("default", _KEY_DEFAULTS.get(key) if builtin else None)
        if default is not None:
            defaults.append((key, default))
    return ListLayout("map", keys, tuple(defaults))
