"""Label selectors of objects' specs (`matchLabels`, `matchExpressions`). Pure; used by the controllers and the API
server's evictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a selector names something with these labels. An empty one names everything."""
    plain = (selector.get("matchLabels") or {}).items() <= labels.items()
    return plain and all(_meets(term, labels) for term in selector.get("matchExpressions") or [])


def _meets(term: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, operator, values = term["key"], term["operator"], term.get("values") or []
    if operator == "In":
        return labels.get(key) in values
    if operator == "NotIn":
        return labels.get(key) not in values
    return bool((key in labels) == (operator == "Exists"))
