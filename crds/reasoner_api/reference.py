"""The API reference, as Markdown, from the CRDs' schemas. Called by `generate`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reasoner_api import API_VERSION
from reasoner_api.crd import KINDS, Kind, custom_resource_definition

INTRODUCTION = f"""# API reference: `{API_VERSION}`

Generated from `reasoner_api` by `make generate`. The same text is in `kubectl explain`.
"""


def reference() -> str:
    """The whole reference."""
    return "\n".join([INTRODUCTION, *(line for kind in KINDS.values() for line in _kind(kind))]) + "\n"


def _kind(kind: Kind) -> Iterator[str]:
    schema = custom_resource_definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    mutable = ", ".join(f"`{name}`" for name in sorted(kind.mutable))
    yield f"## {kind.name} (`{kind.short_name}`)\n"
    yield f"{schema['description']} Mutable fields of the spec: {mutable}.\n"
    for part in ("spec", "status"):
        yield f"### {kind.name} {part}\n"
        yield "| field | type | default | |"
        yield "|---|---|---|---|"
        for path, node, required in _fields(schema["properties"][part], part):
            default = "required" if required else _default(node)
            text = node.get("description", "").replace("|", "\\|")
            yield f"| `{path}` | {_type(node)} | {default} | {text} |"
        yield ""
        if rules := [rule["message"] for rule in _rules(schema["properties"][part])]:
            yield "Rules: " + "; ".join(rules) + ".\n"


def _fields(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Every field below a node, depth first: its path, its schema, whether it must be set."""
    inner = schema.get("items", schema)
    for name, node in inner.get("properties", {}).items():
        where = f"{path}.{name}" + ("[]" if node["type"] == "array" else "")
        yield where, node, name in inner.get("required", [])
        yield from _fields(node, where)


def _rules(schema: dict[str, Any]) -> Iterator[dict[str, str]]:
    """The rules of a node and those below it, but for immutability, which is said by kind."""
    yield from (rule for rule in schema.get("x-kubernetes-validations", []) if "fieldPath" not in rule)
    for node in schema.get("properties", {}).values():
        yield from _rules(node)


def _type(node: dict[str, Any]) -> str:
    if "enum" in node:
        return " \\| ".join(f"`{value}`" for value in node["enum"])
    kind = str(node["type"])
    if kind == "array":
        return f"[]{node['items'].get('type', 'object')}"
    if "additionalProperties" in node:
        return f"map of {node['additionalProperties'].get('type', 'object')}"
    bounds = [f"≥ {node['minimum']}"] if "minimum" in node else []
    bounds += [f"≤ {node['maximum']}"] if "maximum" in node else []
    return f"{kind} {', '.join(bounds)}".strip()


def _default(node: dict[str, Any]) -> str:
    """A default as code; that of an object is told by its fields, that of a text by its start."""
    value = node.get("default")
    if value is None or isinstance(value, dict):
        return ""
    text = str(value).lower() if isinstance(value, bool) else str(value).split("\n")[0].replace("|", "\\|")
    return f"`{text[:60]}…`" if len(text) > 60 else f"`{text}`"
