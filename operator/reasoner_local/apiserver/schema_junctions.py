"""What may stand below allOf, anyOf, oneOf and not in a structural schema. Used by `schema_structure`."""

from collections.abc import Iterator

import re2  # type: ignore[import-untyped]

from .errors import FieldProblem, bad_value, forbidden_field, required
from .field_types import ANY, Schema

_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_INT_OR_STRING = "x-kubernetes-int-or-string"
_EMBEDDED = "x-kubernetes-embedded-resource"
_JUNCTIONS = ("allOf", "anyOf", "oneOf", "not")
_IN_JUNCTIONS = ("type", "default", "title", "description", "nullable", "additionalProperties", _PRESERVE, _EMBEDDED)
_INT_OR_STRING_FORMS = (
    [{"type": "integer"}, {"type": "string"}],
    [{"type": "string"}, {"type": "integer"}],
)


def pattern_problems(node: Schema, field: str) -> Iterator[FieldProblem]:
    """A pattern that is no RE2 expression."""
    if "pattern" in node:
        try:
            re2.compile(node["pattern"])
        except re2.error as error:
            why = f"must be a valid regular expression, but isn't: {error}"
            yield bad_value(f"{field}.pattern", node["pattern"], why)


def _part_problems(node: Schema, whole: Schema, field: str) -> Iterator[FieldProblem]:
    """Faults in a schema below a junction: it may restrict values, not give them a shape."""
    for word in sorted(node.keys() & set(_IN_JUNCTIONS)):
        state = "empty" if word == "type" else "undefined"
        yield forbidden_field(f"{field}.{word}", f"must be {state} to be structural")
    for name, inner in node.get("properties", ANY).items():
        outer = whole.get("properties", ANY).get(name)
        place = f"{field}.properties[{name}]"
        if outer is None:
            yield required(f"{_outer(field)}.properties[{name}]", f"because it is defined in {place}")
        else:
            yield from _part_problems(inner, outer, place)
    if isinstance(node.get("items"), dict) and isinstance(whole.get("items"), dict):
        yield from _part_problems(node["items"], whole["items"], f"{field}.items")
    yield from pattern_problems(node, field)
    yield from junction_problems(node, whole, field)


def _outer(field: str) -> str:
    """The path of the schema that a junction belongs to."""
    cut = min(place for word in _JUNCTIONS if (place := field.find(f".{word}")) >= 0)
    return field[:cut]


def junction_problems(node: Schema, whole: Schema, field: str) -> Iterator[FieldProblem]:
    """Faults in the junctions of `node`, which says nothing of shapes that `whole` does not."""
    for word in _JUNCTIONS:
        parts = node.get(word)
        # The one place where types are allowed: saying once more that an int-or-string is either.
        if parts is None or (whole.get(_INT_OR_STRING) and word == "anyOf" and parts in _INT_OR_STRING_FORMS):
            continue
        if isinstance(parts, list):
            for index, part in enumerate(parts):
                yield from _part_problems(part, whole, f"{field}.{word}[{index}]")
        else:
            yield from _part_problems(parts, whole, f"{field}.{word}")
