"""Sets of fields, as managedFields keeps them: who owns which path of an object.

A path is a tuple of elements in the notation of FieldsV1: `f:name` for a field, `k:{...}` for the list element
with these keys, `v:...` for a member of a set. Used by server-side apply and by the tracking of plain updates.
"""

import json
from collections.abc import Iterable
from typing import Any

from .field_types import ListLayout, Schema, child, is_atomic_map, items, list_layout
from .objects import Obj, now

Path = tuple[str, ...]
FieldSet = frozenset[Path]

# The value of a list element as such: only its being there counts, its fields have paths of their own.
_PRESENT = object()
_UNOWNED_META = frozenset(
    [
        "name",
        "generateName",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
        "selfLink",
    ]
)


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def mergeable(values: list[Any], layout: ListLayout) -> bool:
    """Whether the list can be merged by keys: every element has them."""
    return layout.kind == "map" and all(layout.identity(item) is not None for item in values)


def element(item: Any, layout: ListLayout) -> str:
    """The path element of one element of a keyed list or a set."""
    return "k:" + _text(layout.identity(item)) if layout.kind == "map" else "v:" + _text(item)


def _walk(value: Any, schema: Schema, path: Path, out: dict[Path, Any]) -> None:
    if isinstance(value, dict) and value and not is_atomic_map(schema):
        for key, item in value.items():
            _walk(item, child(schema, key), (*path, "f:" + key), out)
        return
    if isinstance(value, list) and value:
        layout = list_layout(schema)
        if mergeable(value, layout):
            inner = items(schema)
            for item in value:
                here = (*path, element(item, layout))
                out[here] = _PRESENT
                for key, field in item.items():
                    _walk(field, child(inner, key), (*here, "f:" + key), out)
            return
        if layout.kind == "set":
            out.update({(*path, element(item, layout)): item for item in value})
            return
    out[path] = value


def owned_values(obj: Obj, schema: Schema) -> dict[Path, Any]:
    """Every path of `obj` that a manager can own, with its value."""
    out: dict[Path, Any] = {}
    for key, value in obj.items():
        if key == "metadata":
            kept = {name: item for name, item in value.items() if name not in _UNOWNED_META}
            if kept:
                _walk(kept, child(schema, key), ("f:metadata",), out)
        elif key not in ("apiVersion", "kind"):
            _walk(value, child(schema, key), ("f:" + key,), out)
    return out


def differing(before: Obj, after: Obj, schema: Schema) -> tuple[dict[Path, Any], dict[Path, Any]]:
    """What can be owned of two states of an object, less the parts that are the same in both: a write changes little
    of an object, and only that is walked through."""
    same = {key for key in before.keys() & after.keys() if key != "metadata" and before[key] == after[key]}
    first, second = ({key: value for key, value in obj.items() if key not in same} for obj in (before, after))
    return owned_values(first, schema), owned_values(second, schema)


def encode(paths: Iterable[Path]) -> Obj:
    """The FieldsV1 form of a set."""
    root: Obj = {}
    members: list[Obj] = []
    for path in sorted(paths):
        node = root
        for name in path:
            node = node.setdefault(name, {})
        node["."] = {}
        members.append(node)
    # A leaf is written {} and only a member that has fields below it needs the mark of its own.
    for node in members:
        if len(node) == 1:
            del node["."]
    return root


def decode(fields: Obj, path: Path = ()) -> set[Path]:
    """The set that a FieldsV1 value stands for."""
    if not fields:
        return {path} if path else set()
    found: set[Path] = set()
    for name, below in fields.items():
        if name == ".":
            found.add(path)
        else:
            found |= decode(below, (*path, name))
    return found


def shown(path: Path) -> str:
    """The path as conflict messages write it: `.spec.containers[name="a"].image`."""
    text = ""
    for name in path:
        if name.startswith("f:"):
            text += "." + name[2:]
        elif name.startswith("k:"):
            keys = json.loads(name[2:])
            text += "[" + ",".join(f"{key}={_text(value)}" for key, value in keys.items()) + "]"
        else:
            text += "[=" + name[2:] + "]"
    return text


def is_owned_by(entry: Obj, manager: str, operation: str, subresource: str) -> bool:
    """Whether a managedFields entry is this manager's."""
    return (entry.get("manager"), entry.get("operation"), entry.get("subresource", "")) == (
        manager,
        operation,
        subresource,
    )


def entry_of(manager: str, operation: str, subresource: str, api_version: str, paths: Iterable[Path]) -> Obj:
    """A managedFields entry, stamped now."""
    entry = {
        "manager": manager,
        "operation": operation,
        "apiVersion": api_version,
        "time": now(),
        "fieldsType": "FieldsV1",
        "fieldsV1": encode(paths),
    }
    if subresource:
        entry["subresource"] = subresource
    return entry


def changed_paths(before: dict[Path, Any], after: dict[Path, Any]) -> set[Path]:
    """Paths that are new or differ."""
    return {path for path, value in after.items() if path not in before or before[path] != value}
