"""An estimate of what CEL rules may cost at worst: a real server refuses CRDs whose rules could run too long.

Follows the estimator of Kubernetes in its main terms: lists, maps and strings without a limit are taken to fill a
whole request, a rule costs its operators and traversals, times the number of elements that it is evaluated on. The
figures are close, not equal: a rule that is refused here by a wide margin is refused there.
"""

from collections.abc import Iterator
from typing import Any

from celpy.celparser import CELParseError
from lark import Token, Tree

from .cel_compile import program
from .errors import FieldProblem, forbidden_field
from .field_types import ANY, Schema

_REQUEST_BYTES = 3 * 1024 * 1024
_LIMIT = 10_000_000
_TRAVERSAL = 0.1
_LIST_BASE = 10
_TRAVERSING = frozenset(
    ["startsWith", "endsWith", "contains", "matches", "split", "find", "findAll", "indexOf", "replace"]
)
_MACROS = frozenset(["all", "exists", "exists_one", "map", "filter"])
_OPERATORS = ("relation_", "addition_", "multiplication_", "unary_")


def _least_bytes(schema: Schema) -> int:
    """The fewest bytes in which a value of this type can be written."""
    match schema.get("type"):
        case "object":
            properties, needed = schema.get("properties", ANY), schema.get("required") or ()
            return 2 + sum(len(name) + 4 + _least_bytes(properties.get(name, ANY)) for name in needed)
        case "boolean":
            return 4
        case "integer" | "number":
            return 1
        case _:
            return 2


def most_elements(schema: Schema) -> int:
    """How many elements, entries or bytes a value of this type can have at most."""
    kind = schema.get("type")
    if kind == "array":
        return int(schema.get("maxItems", _REQUEST_BYTES // (_least_bytes(schema.get("items", ANY)) + 1)))
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        inner = schema["additionalProperties"]
        return int(schema.get("maxProperties", _REQUEST_BYTES // (_least_bytes(inner) + 6)))
    if kind == "string":
        if schema.get("enum"):
            return max(len(str(value)) for value in schema["enum"])
        # Lengths are in characters, of up to four bytes each.
        return int(schema["maxLength"]) * 4 if "maxLength" in schema else _REQUEST_BYTES
    return 1


def _element(schema: Schema) -> Schema:
    inner = schema.get("items", schema.get("additionalProperties"))
    return inner if isinstance(inner, dict) else ANY


class _Estimate:
    """The cost of one rule; `visit` returns the type of an expression and adds to `cost` on the way."""

    def __init__(self, schema: Schema) -> None:
        self._scope: dict[str, Schema] = {"self": schema, "oldSelf": schema}
        self._factor = 1.0
        self.cost = 0.0

    def _add(self, cost: float) -> None:
        self.cost += cost * self._factor

    def visit(self, node: Any) -> Schema:
        if not isinstance(node, Tree):
            return ANY
        match node.data:
            case "ident":
                self._add(1)
                return self._scope.get(str(node.children[0]), ANY)
            case "member_dot":
                self._add(1)
                base = self.visit(node.children[0])
                known = base.get("properties", ANY).get(str(node.children[1]))
                return known if isinstance(known, dict) else _element(base)
            case "member_index":
                self._add(1)
                self.visit(node.children[1])
                return _element(self.visit(node.children[0]))
            case "member_dot_arg":
                return self._method(node)
            case "list_lit":
                self._add(_LIST_BASE)
        return self._operator(node)

    def _operator(self, node: Any) -> Schema:
        known = [self.visit(child) for child in node.children]
        name = str(node.data)
        if name.startswith(_OPERATORS) or name == "ident_arg":
            self._add(1)
        if name == "relation" and len(known) == 2 and known[1].get("type") == "string":
            self._add(most_elements(known[1]) * _TRAVERSAL)
        return known[0] if len(known) == 1 else ANY

    def _method(self, node: Any) -> Schema:
        base, name, *rest = node.children
        target = self.visit(base)
        arguments = list(rest[0].children) if rest and rest[0] is not None else []
        if name in _MACROS and len(arguments) > 1:
            self._macro(target, arguments)
            return target if name == "filter" else ANY
        self._add(1)
        if name in _TRAVERSING:
            self._add(most_elements(target) * _TRAVERSAL * max(1.0, self._pattern(arguments, str(name)) / 4))
        for argument in arguments:
            self.visit(argument)
        return ANY

    @staticmethod
    def _pattern(arguments: list[Any], name: str) -> int:
        if name not in ("matches", "find", "findAll") or not arguments:
            return 1
        return sum(len(token) for token in arguments[0].scan_values(lambda value: isinstance(value, Token)))

    def _macro(self, target: Schema, arguments: list[Any]) -> None:
        variable = str(next(arguments[0].scan_values(lambda value: isinstance(value, Token))))
        outer, factor = dict(self._scope), self._factor
        self._scope[variable] = _element(target) if target.get("type") == "array" else ANY
        self._factor *= most_elements(target)
        # The accumulator and the test of each round.
        self._add(3)
        for argument in arguments[1:]:
            self.visit(argument)
        self._scope, self._factor = outer, factor


def _faults(schema: Schema, field: str, rounds: int) -> Iterator[FieldProblem]:
    for index, rule in enumerate(schema.get("x-kubernetes-validations", ())):
        estimate = _Estimate(schema)
        try:
            estimate.visit(program(rule["rule"]).ast)
        except CELParseError:
            continue
        total = estimate.cost * rounds
        if total > _LIMIT:
            place = f"{field}.x-kubernetes-validations[{index}].rule"
            yield forbidden_field(
                place,
                f"estimated rule cost exceeds budget by factor of {total / _LIMIT:.1f}x (try simplifying the rule, or "
                "adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)",
            )
    for name, node in schema.get("properties", ANY).items():
        yield from _faults(node, f"{field}.properties[{name}]", rounds)
    for name in ("items", "additionalProperties"):
        node = schema.get(name)
        if isinstance(node, dict):
            yield from _faults(node, f"{field}.{name}", rounds * most_elements(schema))


def cost_faults(schema: Schema, field: str) -> Iterator[FieldProblem]:
    """Every rule below `field` that could cost too much."""
    return _faults(schema, field, 1)
