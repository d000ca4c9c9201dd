"""The rules of structural schemas: what may stand in a CRD's openAPIV3Schema. Used by `crd_check`.

In the words of a real API server as far as they are stable across its versions; the path always is.
"""

from collections.abc import Iterator
from typing import Any

from .cel_compile import rule_faults, walk
from .cel_cost import cost_faults
from .cel_rules import default_rule_problems
from .cel_types import root_schema
from .errors import FieldProblem, bad_value, forbidden_field, not_supported, required
from .field_types import ANY, Schema
from .objects import clone
from .schema_check import schema_problems
from .schema_fields import prune
from .schema_junctions import junction_problems, pattern_problems

_RULES = "x-kubernetes-validations"
_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_INT_OR_STRING = "x-kubernetes-int-or-string"
_EMBEDDED = "x-kubernetes-embedded-resource"
_TYPES = ("array", "boolean", "integer", "number", "object", "string")
# In the API, but never allowed.
_NEVER = ("definitions", "dependencies", "patternProperties", "additionalItems", "id", "$ref", "$schema")


def _word_problems(node: Schema, field: str) -> Iterator[FieldProblem]:
    for word in _NEVER:
        if word in node:
            yield forbidden_field(f"{field}.{word}", f"{word} is not supported")
    if node.get("uniqueItems"):
        yield forbidden_field(
            f"{field}.uniqueItems", "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        )


def _place(field: str) -> str:
    if field.endswith("openAPIV3Schema"):
        return "at the root"
    return "for specified array items" if field.endswith(".items") else "for specified object fields"


def _type_problems(node: Schema, field: str) -> Iterator[FieldProblem]:
    kind = node.get("type")
    if kind == "null":
        yield forbidden_field(f"{field}.type", "type cannot be set to null, use nullable as an alternative")
    elif not kind:
        if not node.get(_INT_OR_STRING) and not node.get(_PRESERVE):
            yield required(f"{field}.type", f"must not be empty {_place(field)}")
    elif kind not in _TYPES:
        yield not_supported(f"{field}.type", kind, _TYPES)
    if kind == "array" and "items" not in node:
        yield required(f"{field}.items", "must be specified")
    elif isinstance(node.get("items"), list):
        yield forbidden_field(f"{field}.items", "items must be a schema object and not an array")
    if node.get(_INT_OR_STRING) and kind:
        yield forbidden_field(f"{field}.type", "must be empty if x-kubernetes-int-or-string is true")
    if node.get(_EMBEDDED):
        if kind != "object":
            yield bad_value(f"{field}.type", kind or "", "must be object if x-kubernetes-embedded-resource is true")
        if not node.get(_PRESERVE) and not node.get("properties"):
            why = f"must not be empty if {_EMBEDDED} is true without {_PRESERVE}"
            yield required(f"{field}.properties", why)
    if node.get(_PRESERVE) is False:
        yield bad_value(f"{field}.{_PRESERVE}", False, "must be true or undefined")


def _map_problems(node: Schema, field: str) -> Iterator[FieldProblem]:
    extra = node.get("additionalProperties")
    if extra is None:
        return
    if extra is False:
        yield forbidden_field(f"{field}.additionalProperties", "additionalProperties cannot be set to false")
    elif node.get("properties"):
        yield forbidden_field(
            f"{field}.additionalProperties", "additionalProperties and properties are mutual exclusive"
        )
    elif node.get(_PRESERVE) and extra is True:
        return


def _list_problems(node: Schema, field: str) -> Iterator[FieldProblem]:
    kind, keys = node.get("x-kubernetes-list-type"), node.get("x-kubernetes-list-map-keys")
    declared = node.get("items")
    inner: Schema = declared if isinstance(declared, dict) else ANY
    if kind and node.get("type") != "array":
        yield bad_value(f"{field}.type", node.get("type", ""), "must be array if x-kubernetes-list-type is specified")
    if kind and kind not in ("atomic", "set", "map"):
        yield not_supported(f"{field}.x-kubernetes-list-type", kind, ("atomic", "set", "map"))
    if keys and kind != "map":
        why = "must be map if x-kubernetes-list-map-keys is non-empty"
        yield bad_value(f"{field}.x-kubernetes-list-type", kind or "", why)
    if kind != "map":
        return
    if not keys:
        yield required(f"{field}.x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map")
    for index, key in enumerate(keys or []):
        place = f"{field}.x-kubernetes-list-map-keys[{index}]"
        known = inner.get("properties", ANY).get(key)
        if known is None:
            yield bad_value(place, key, "must be a property of items")
        elif known.get("type") in ("array", "object"):
            yield bad_value(
                f"{field}.items.properties[{key}].type",
                known["type"],
                "must be a scalar type if parent array's x-kubernetes-list-type is map",
            )
        elif key not in (inner.get("required") or ()) and "default" not in known:
            why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            yield required(f"{field}.items.properties[{key}].default", why)


def _default_problems(node: Schema, field: str) -> Iterator[FieldProblem]:
    if "default" not in node:
        return
    value = node["default"]
    place = f"{field}.default"
    pruned: Any = clone(value)
    if list(prune(pruned, node)):
        yield bad_value(place, value, "must not have unknown fields")
    yield from schema_problems(value, node, place)
    yield from default_rule_problems(value, node, place)


def _rule_problems(node: Schema, field: str) -> Iterator[FieldProblem]:
    for index, rule in enumerate(node.get(_RULES, ())):
        place = f"{field}.{_RULES}[{index}]"
        if not str(rule.get("rule", "")).strip():
            yield required(f"{place}.rule", "rule is not specified")
            continue
        if "\n" in str(rule.get("message", "")):
            yield bad_value(f"{place}.message", rule["message"], "message must not contain line breaks")
        for fault in rule_faults(rule["rule"], node):
            yield bad_value(f"{place}.rule", rule["rule"], fault)
        if "fieldPath" in rule and not _leads_somewhere(rule["fieldPath"], node):
            why = "fieldPath must be a valid path: it does not lead to a field of the schema"
            yield bad_value(f"{place}.fieldPath", rule["fieldPath"], why)


def _leads_somewhere(path: str, node: Schema) -> bool:
    for name in path.strip(".").split("."):
        known = node.get("properties", ANY).get(name.split("[")[0])
        if known is None:
            return "additionalProperties" in node or bool(node.get(_PRESERVE))
        node = known
    return True


def _root_problems(schema: Schema, field: str) -> Iterator[FieldProblem]:
    if schema.get("type") != "object":
        yield bad_value(f"{field}.type", schema.get("type", ""), "must be object at the root")
    if schema.get("nullable"):
        yield forbidden_field(f"{field}.nullable", "nullable cannot be true at the root")
    for name in ("apiVersion", "kind"):
        node = schema.get("properties", ANY).get(name, {"type": "string"})
        if node.get("type") != "string":
            yield bad_value(f"{field}.properties[{name}].type", node.get("type"), "must be string")
    known = schema.get("properties", ANY).get("metadata", {"type": "object"})
    place = f"{field}.properties[metadata]"
    if known.get("type") != "object":
        yield bad_value(f"{place}.type", known.get("type"), "must be object")
    if known.keys() - {"type", "description", "properties"} or known.get("properties", ANY).keys() - {
        "name",
        "generateName",
    }:
        yield forbidden_field(
            place, "must not specify anything other than name and generateName, but metadata is implicitly specified"
        )
    if "default" in schema:
        yield forbidden_field(f"{field}.default", "must not be set at the root")


def structural_problems(schema: Schema, field: str) -> Iterator[FieldProblem]:
    """Every fault of an openAPIV3Schema that stands at `field`."""
    yield from _root_problems(schema, field)
    for node, path in walk(schema):
        here = field + path
        yield from _word_problems(node, here)
        yield from _type_problems(node, here)
        yield from pattern_problems(node, here)
        yield from _map_problems(node, here)
        yield from _list_problems(node, here)
        yield from junction_problems(node, node, here)
        yield from _default_problems(node, here)
        yield from _rule_problems(root_schema(node) if not path else node, here)
    yield from cost_faults(schema, field)
