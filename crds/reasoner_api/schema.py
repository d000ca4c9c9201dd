"""pydantic model -> OpenAPI v3 structural schema, as a Kubernetes API server accepts it. Called by `crd`.

pydantic writes `$ref`, `anyOf` with null, `const` and titles, all of which Kubernetes refuses or ignores: this
inlines and converts them, and raises on any keyword that it does not know rather than passing it on."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

#: Keywords copied as they are: both sides mean the same by them.
SAME = {
    "type",
    "description",
    "default",
    "enum",
    "format",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "required",
    "x-kubernetes-validations",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
}
#: Keywords left out: Kubernetes has no use for them.
LEFT_OUT = {"title", "$defs"}


class UnknownKeyword(ValueError):
    """pydantic wrote a keyword that the conversion has no rule for."""


def structural_schema(model: type[BaseModel]) -> Schema:
    """The structural schema of a model, in its wire names, with defaults and descriptions.

    Raises:
        UnknownKeyword: a keyword without a rule here, with its path.
    """
    document = model.model_json_schema(by_alias=True, mode="validation")
    return _convert(document, document.get("$defs", {}), model.__name__)


def _convert(node: Schema, defs: dict[str, Schema], path: str) -> Schema:
    node = _resolve(node, defs, path)
    out: Schema = {}
    for key, value in node.items():
        if key in SAME:
            out[key] = value
        elif key == "const":
            out["enum"] = [value]
        elif key == "properties":
            out["properties"] = {name: _convert(sub, defs, f"{path}.{name}") for name, sub in value.items()}
        elif key == "items":
            out["items"] = _convert(value, defs, f"{path}[]")
        elif key == "additionalProperties":
            # `false` is how a structural schema behaves anyway: unknown fields are pruned or refused.
            if isinstance(value, dict):
                out["additionalProperties"] = _convert(value, defs, f"{path}{{}}")
        elif key not in LEFT_OUT:
            raise UnknownKeyword(f"{path}: no rule for the JSON schema keyword {key!r}")
    return _tidy(out)


def _resolve(node: Schema, defs: dict[str, Schema], path: str) -> Schema:
    """Follow `$ref` and unwrap `T | None`; what stands beside them wins over what they lead to."""
    beside = {key: value for key, value in node.items() if key not in ("$ref", "anyOf")}
    if "anyOf" in node:
        options = [option for option in node["anyOf"] if option.get("type") != "null"]
        if len(options) != 1:
            raise UnknownKeyword(f"{path}: no rule for a union of {len(options)} types")
        # Absent is the only way to say null: a default of null says nothing.
        if beside.get("default", ...) is None:
            del beside["default"]
        return {**_resolve(options[0], defs, path), **beside}
    if "$ref" in node:
        target = defs[node["$ref"].removeprefix("#/$defs/")]
        return {**_resolve(target, defs, path), **beside}
    return node


def _tidy(node: Schema) -> Schema:
    """Defaults say nothing of what is absent; preserved objects carry no schema of their values; free text loses
    the line breaks of its source. An object's default is spelled out: the API server evaluates the object's rules
    on it before it fills in the defaults of its fields."""
    if node.get("x-kubernetes-preserve-unknown-fields"):
        node.pop("additionalProperties", None)
    if isinstance(node.get("default"), dict):
        node["default"] = _present(node["default"])
    if "description" in node:
        node["description"] = " ".join(str(node["description"]).split())
    for sub in node.get("properties", {}).values():
        if sub.get("type") == "object" and sub.get("default") == {} and "properties" not in sub:
            # An empty map says no more than its absence.
            del sub["default"]
        if sub.get("default") == []:
            del sub["default"]
    return node


def _present(value: Any) -> Any:
    """A default without its nulls and empty maps and lists."""
    if not isinstance(value, dict):
        return value
    inner = {key: _present(item) for key, item in value.items()}
    return {key: item for key, item in inner.items() if item is not None and item not in ({}, [])}
