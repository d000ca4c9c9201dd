"""Server-side apply: merging a manager's intent into an object, conflicts, and the pruning of what it dropped.

Follows structured-merge-diff. Called by `writes` for PATCH requests with an apply body.
"""

import json
from typing import Any

from .errors import ApiError, bad_request
from .field_sets import (
    Path,
    changed_paths,
    decode,
    differing,
    element,
    entry_of,
    is_owned_by,
    mergeable,
    owned_values,
    shown,
)
from .field_types import ListLayout, Schema, child, is_atomic_map, items, list_layout
from .managed_fields import Author, encoded
from .objects import Obj, meta, without_nulls

_TAKEN_META = ("labels", "annotations", "finalizers", "ownerReferences")


def _merge_keyed(live: list[Any], wanted: list[Any], schema: Schema, layout: ListLayout) -> list[Any]:
    inner = items(schema)
    merged = list(live)
    places = {element(item, layout): index for index, item in enumerate(merged)}
    for item in wanted:
        index = places.get(element(item, layout))
        if index is None:
            merged.append(item)
        else:
            merged[index] = _merge(merged[index], item, inner)
    return merged


def _merge(live: Any, wanted: Any, schema: Schema) -> Any:
    if isinstance(wanted, dict) and isinstance(live, dict) and not is_atomic_map(schema):
        merged = dict(live)
        for key, value in wanted.items():
            merged[key] = _merge(live.get(key), value, child(schema, key))
        return merged
    if isinstance(wanted, list) and isinstance(live, list):
        layout = list_layout(schema)
        if mergeable(wanted, layout) and mergeable(live, layout):
            return _merge_keyed(live, wanted, schema, layout)
        if layout.kind == "set":
            return live + [item for item in wanted if item not in live]
    return wanted


def _without(value: Any, path: Path, schema: Schema) -> Any:
    """`value` less what lies at `path`; containers left empty by that go too (the result is then None)."""
    head, rest = path[0], path[1:]
    if head.startswith("f:"):
        key = head[2:]
        if not isinstance(value, dict) or key not in value:
            return value
        left = _without(value[key], rest, child(schema, key)) if rest else None
        kept = {name: item for name, item in value.items() if name != key}
        if left is not None:
            kept[key] = left
        return kept or None
    if not isinstance(value, list):
        return value
    layout = list_layout(schema)
    if layout.kind == "map" and not mergeable(value, layout):
        return value
    out = []
    for item in value:
        if element(item, layout) != head:
            out.append(item)
        elif rest:
            left = _without(item, rest, items(schema))
            out += [] if left is None else [left]
    return out or None


def _ownable(config: Obj, live: Obj | None) -> Obj:
    kept = {key: value for key, value in config.items() if key not in ("apiVersion", "kind", "metadata")}
    if live is not None and not meta(config):
        return kept
    kept["metadata"] = {key: value for key, value in meta(config).items() if key in _TAKEN_META}
    return kept


def intent_of(body: Obj, name: str, subresource: str, *, has_status: bool) -> Obj:
    """What an apply body says, of the part that it is sent to. Raises 400 when it speaks of managedFields."""
    if meta(body).get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    intent: Obj = without_nulls(body)
    intent["metadata"] = {**meta(intent), "name": meta(intent).get("name", name)}
    if subresource == "status":
        intent = {key: intent[key] for key in ("apiVersion", "kind", "metadata", "status") if key in intent}
        identity = ("name", "namespace", "uid", "resourceVersion")
        intent["metadata"] = {key: meta(intent)[key] for key in identity if key in meta(intent)}
    elif has_status:
        intent.pop("status", None)
    return intent


def _conflict(found: list[tuple[str, Path]]) -> ApiError:
    causes: list[Obj] = [
        {"reason": "FieldManagerConflict", "message": f'conflict with "{who}"', "field": shown(path)}
        for who, path in found
    ]
    said = [f"{cause['message']}: {cause['field']}" for cause in causes]
    count = "1 conflict" if len(said) == 1 else f"{len(said)} conflicts"
    return ApiError(409, "Conflict", f"Apply failed with {count}: " + "; ".join(said), {"causes": causes})


def first_apply(config: Obj, schema: Schema, author: Author) -> list[Obj]:
    """The managedFields of an object that is created by an apply."""
    paths = owned_values(_ownable(config, None), schema)
    return [entry_of(author.manager, "Apply", author.subresource, author.api_version, paths)]


def apply(live: Obj, config: Obj, schema: Schema, author: Author) -> Obj:
    """What `live` becomes when `config` is applied to it, managedFields included; parts are shared with both.

    Raises a 409 that names the other managers and their fields, unless the apply is forced.
    """
    intent = _ownable(config, live)
    wanted = owned_values(intent, schema)
    merged: Obj = _merge(live, intent, schema)
    changed = changed_paths(*differing(live, merged, schema))
    entries, previous, conflicts = [], set[Path](), list[tuple[str, Path]]()
    for entry in meta(live).get("managedFields") or []:
        paths = decode(entry["fieldsV1"])
        if is_owned_by(entry, author.manager, "Apply", author.subresource):
            previous = paths
            continue
        lost = paths & changed
        conflicts += [(entry["manager"], path) for path in sorted(lost)]
        if paths - lost:
            entries.append((entry, paths - lost))
    if conflicts and not author.force:
        raise _conflict(conflicts)
    held = set[Path]().union(*(paths for _, paths in entries))
    merged = _prune(merged, previous - set(wanted), held | set(wanted), schema)
    kept = [{**entry, "fieldsV1": encoded(entry, paths)} for entry, paths in entries]
    mine = entry_of(author.manager, "Apply", author.subresource, author.api_version, wanted)
    merged["metadata"] = {**meta(merged), "managedFields": [mine, *kept] if wanted else kept}
    return merged


def _names_its_element(path: Path) -> bool:
    """Whether the path is one of the keys by which its list element is known."""
    return len(path) > 1 and path[-2].startswith("k:") and path[-1][2:] in json.loads(path[-2][2:])


def _prune(merged: Obj, dropped: set[Path], held: set[Path], schema: Schema) -> Obj:
    # Shortest first: an element goes as a whole, before its fields are looked for.
    for path in sorted(dropped - held, key=len):
        # An element, or a map, in which somebody still owns something stays, under its keys.
        if not _names_its_element(path) and not any(other[: len(path)] == path for other in held):
            merged = _without(merged, path, schema) or {}
    return merged
