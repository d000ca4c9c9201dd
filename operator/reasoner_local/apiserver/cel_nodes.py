"""Where rules stand in a CRD's schema: worked out once for each version, so that writes look at nothing else. Held by
`resources`, walked by `cel_rules`."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .cel_types import root_schema
from .field_types import ANY, Schema
from .objects import Obj

RULES = "x-kubernetes-validations"
# What has passed a part's rules, at most.
_REMEMBERED = 4096


@dataclass(frozen=True)
class Node:
    """A part of a schema with rules in it or below it; parts without any have no node."""

    schema: Schema
    rules: tuple[Obj, ...]
    properties: dict[str, "Node"]
    extra: "Node | None"
    items: "Node | None"
    passed: set[tuple[str, ...]] = field(default_factory=set, compare=False)

    def remember(self, seen: tuple[str, ...]) -> None:
        """Take note of what has passed a rule; now and then all is forgotten, lest it grow for ever."""
        if len(self.passed) >= _REMEMBERED:
            self.passed.clear()
        self.passed.add(seen)

    @cached_property
    def transitions(self) -> bool:
        """Whether a rule here or below compares with the former value."""
        below = [*self.properties.values(), *(one for one in (self.extra, self.items) if one is not None)]
        return any(is_transition(rule) for rule in self.rules) or any(node.transitions for node in below)

    def below(self, key: str) -> "Node | None":
        """The part that a key of an object leads to."""
        return self.properties.get(key) if key in self.schema.get("properties", ANY) else self.extra


def rules_of(schema: Schema) -> Node | None:
    """The rules of a CRD's schema, None where it has none."""
    return node_of(root_schema(schema))


def node_of(schema: Any) -> Node | None:
    """The rules of a part of a schema, None where it has none."""
    if not isinstance(schema, dict):
        return None
    found = {key: node_of(inner) for key, inner in schema.get("properties", ANY).items()}
    properties = {key: node for key, node in found.items() if node is not None}
    node = Node(
        schema,
        tuple(schema.get(RULES, ())),
        properties,
        node_of(schema.get("additionalProperties")),
        node_of(schema.get("items")),
    )
    return node if node.rules or properties or node.extra or node.items else None


def is_transition(rule: Obj) -> bool:
    """Whether a rule compares with the former value."""
    return "oldSelf" in rule["rule"]
