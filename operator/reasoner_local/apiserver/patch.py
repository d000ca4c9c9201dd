"""The three classic patch formats: JSON patch, JSON merge patch and strategic merge patch."""

import json
from typing import Any

import jsonpatch
import jsonpointer

from .errors import ApiError, bad_request
from .field_types import Schema, child, items
from .objects import Obj, clone

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


def json_patch(obj: Obj, operations: Any) -> Obj:
    """RFC 6902. A failed test or a path that is not there is the client's fault (422)."""
    try:
        patched: Obj = jsonpatch.apply_patch(obj, operations)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError, ValueError) as error:
        message = "the server rejected our request due to an error in our request"
        raise ApiError(422, "Invalid", message, {"causes": [{"message": str(error)}]}) from error
    return patched


def merge_patch(value: Any, patch: Any) -> Any:
    """RFC 7386: maps are merged, null removes, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(value) if isinstance(value, dict) else {}
    for key, item in patch.items():
        if item is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), item)
    return merged


def strategic_patch(value: Any, patch: Any, schema: Schema) -> Any:
    """A strategic merge patch: lists with a merge key in their type are merged, and `$` directives are obeyed."""
    if isinstance(patch, dict):
        return _strategic_map(value if isinstance(value, dict) else {}, patch, schema)
    if isinstance(patch, list) and schema.get("x-kubernetes-patch-strategy", "").startswith("merge"):
        return _strategic_list(value if isinstance(value, list) else [], patch, schema)
    return patch


def _strategic_map(value: Obj, patch: Obj, schema: Schema) -> Obj:
    directive = patch.get("$patch")
    if directive == "delete":
        return {}
    merged = {} if directive == "replace" else dict(value)
    if "$retainKeys" in patch:
        merged = {key: item for key, item in merged.items() if key in patch["$retainKeys"]}
    orders = {}
    for key, item in patch.items():
        if key in ("$patch", "$retainKeys"):
            continue
        if key.startswith("$setElementOrder/"):
            orders[key.split("/", 1)[1]] = item
        elif key.startswith("$deleteFromPrimitiveList/"):
            name = key.split("/", 1)[1]
            merged[name] = [member for member in merged.get(name) or [] if member not in item]
        elif item is None:
            merged.pop(key, None)
        else:
            merged[key] = strategic_patch(merged.get(key), item, child(schema, key))
    for name, order in orders.items():
        if merged.get(name):
            merge_key = child(schema, name).get("x-kubernetes-patch-merge-key")
            merged[name] = _ordered(merged[name], order, merge_key)
    return merged


def _rank(item: Any, merge_key: str | None) -> str:
    return json.dumps(item.get(merge_key) if merge_key and isinstance(item, dict) else item)


def _ordered(values: list[Any], order: list[Any], merge_key: str | None) -> list[Any]:
    places = {_rank(item, merge_key): place for place, item in enumerate(order)}
    return sorted(values, key=lambda item: places.get(_rank(item, merge_key), len(places)))


def _strategic_list(value: list[Any], patch: list[Any], schema: Schema) -> list[Any]:
    merge_key = schema.get("x-kubernetes-patch-merge-key")
    if merge_key is None:
        return value + [item for item in patch if item not in value]
    if not all(isinstance(item, dict) for item in patch):
        raise bad_request(f"a list with the merge key {merge_key} has elements that are no objects")
    if any(item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if "$patch" not in item]
    merged = list(value)
    for item in patch:
        if merge_key not in item:
            raise bad_request(f"map: {json.dumps(item)} does not contain declared merge key: {merge_key}")
        place = next((i for i, old in enumerate(merged) if old.get(merge_key) == item[merge_key]), None)
        if item.get("$patch") == "delete":
            merged = [old for old in merged if old.get(merge_key) != item[merge_key]]
        elif place is None:
            merged.append(strategic_patch({}, item, items(schema)))
        else:
            merged[place] = strategic_patch(merged[place], item, items(schema))
    return merged


def patched(obj: Obj, body: Any, content_type: str, schema: Schema) -> Obj:
    """`obj` after a patch of that content type, sharing nothing with it."""
    if content_type == JSON_PATCH:
        result: Any = json_patch(obj, body)
    elif content_type == STRATEGIC:
        result = strategic_patch(obj, body, schema)
    else:
        result = merge_patch(obj, body)
    if not isinstance(result, dict) or not isinstance(result.get("metadata"), dict):
        raise bad_request("the patch leaves no object with metadata")
    return clone(result)  # type: ignore[no-any-return]
