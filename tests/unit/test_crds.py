"""The CRDs hold to what a Kubernetes API server accepts, and to what users read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import Field

from reasoner_api.base import Model, camel
from reasoner_api.crd import KINDS, custom_resource_definition
from reasoner_api.generate import rendered
from reasoner_api.schema import UnknownKeyword, structural_schema

ALLOWED = {
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
    "properties",
    "items",
    "additionalProperties",
    "x-kubernetes-validations",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
}


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node of a schema with its path."""
    yield path, schema
    for name, sub in schema.get("properties", {}).items():
        yield from nodes(sub, f"{path}.{name}")
    for part in ("items", "additionalProperties"):
        if isinstance(schema.get(part), dict):
            yield from nodes(schema[part], f"{path}[]")


def schema_of(kind: str) -> dict[str, Any]:
    crd = custom_resource_definition(KINDS[kind])
    schema: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


@pytest.mark.parametrize("kind", KINDS)
def test_every_node_is_typed_and_uses_only_what_kubernetes_accepts(kind: str) -> None:
    for path, node in nodes(schema_of(kind)):
        assert set(node) <= ALLOWED, path
        assert "type" in node, path
        assert not ("properties" in node and "additionalProperties" in node), path


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_described(kind: str) -> None:
    missing = [
        path
        for path, node in nodes(schema_of(kind))
        if "description" not in node and not path.endswith("[]") and path not in ("", ".metadata")
    ]
    assert missing == []


@pytest.mark.parametrize("kind", KINDS)
def test_each_field_of_the_spec_is_immutable_or_named_mutable(kind: str) -> None:
    spec = schema_of(kind)["properties"]["spec"]
    guarded = {rule["fieldPath"][1:] for rule in spec["x-kubernetes-validations"] if "fieldPath" in rule}
    assert guarded | KINDS[kind].mutable == set(spec["properties"])
    assert guarded.isdisjoint(KINDS[kind].mutable)


def test_generated_files_are_up_to_date(root: Path) -> None:
    stale = [path.name for path, text in rendered(root).items() if not path.exists() or path.read_text() != text]
    assert stale == []


def test_samples_are_valid(root: Path) -> None:
    paths = sorted((root / "crds" / "samples").rglob("*.yaml"))
    assert len(paths) >= 3
    for path in paths:
        for manifest in yaml.safe_load_all(path.read_text()):
            KINDS[manifest["kind"]].spec.model_validate(manifest["spec"])


def test_a_type_that_kubernetes_cannot_express_is_refused_with_its_path() -> None:
    class Odd(Model):
        either: int | str = 1

    with pytest.raises(UnknownKeyword, match=r"Odd\.either: no rule for a union of 2 types"):
        structural_schema(Odd)

    class Exclusive(Model):
        share: Annotated[float, Field(gt=0)] = 1.0

    with pytest.raises(UnknownKeyword, match=r"Exclusive\.share: .*exclusiveMinimum"):
        structural_schema(Exclusive)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("base_url", "baseURL"),
        ("url", "url"),
        ("max_cost_usd", "maxCostUSD"),
        ("api_key_secret_ref", "apiKeySecretRef"),
    ],
)
def test_names_follow_the_api_conventions(name: str, expected: str) -> None:
    assert camel(name) == expected
