"""The chart, rendered by Helm's own engine. Used by the chart's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python as helm
import yaml

CHART = Path(__file__).parents[2] / "charts/reasoner-operator"
NAMESPACE = "reasoner-system"
RELEASE = "reasoner-operator"
CRD = "CustomResourceDefinition"


def templates(
    values: dict[str, Any] | None = None, release: str = RELEASE, chart: Path = CHART, namespace: str = NAMESPACE
) -> dict[str, str]:
    """What each template renders to, by the template's path."""
    with helm.Chart.load(chart) as loaded:
        return loaded.render(values or {}, name=release, namespace=namespace)


def render(
    values: dict[str, Any] | None = None, release: str = RELEASE, chart: Path = CHART, namespace: str = NAMESPACE
) -> list[dict[str, Any]]:
    """Every object that an installation would make."""
    texts = templates(values, release, chart, namespace)
    return [
        item
        for path, text in sorted(texts.items())
        if path.endswith(".yaml")
        for item in yaml.safe_load_all(text)
        if item is not None
    ]


def only(objects: list[dict[str, Any]], kind: str, name: str | None = None) -> dict[str, Any]:
    """The one object of a kind (and name)."""
    (found,) = (item for item in objects if item["kind"] == kind and name in (None, item["metadata"]["name"]))
    return found


def refusal(values: dict[str, Any]) -> str:
    """What the values' schema says against the values; empty where it takes them."""
    with helm.Chart.load(CHART) as loaded:
        try:
            loaded.validate_schema(values)
        except helm.HelmValuesError as error:
            return str(error)
    return ""


def leaves(values: dict[str, Any], whole: frozenset[str] = frozenset(), prefix: str = "") -> Iterator[str]:
    """Dotted paths of all values; an empty map, and one whose path is in `whole`, counts as one value."""
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and value and path not in whole:
            yield from leaves(value, whole, f"{path}.")
        else:
            yield path
