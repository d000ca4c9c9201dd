"""Compiling CEL rules, and the faults of a rule that a real server finds when its CRD is created.

A real server checks types throughout. Here field selections are followed through the schema as far as they go
(`self`, `oldSelf`, list elements and the variables of macros), and unknown functions are found.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import celpy
from celpy.celparser import CELParseError
from lark import Token, Tree

from .cel_functions import KNOWN, KUBERNETES_FUNCTIONS, MACROS
from .cel_types import escaped
from .field_types import ANY, Schema

# An unknown type: nothing is said about what is selected from it.
_UNKNOWN: Schema = {}
Scope = Mapping[str, Schema]


@cache
def program(rule: str) -> Any:
    """The rule, ready to be evaluated. Raises CELParseError."""
    environment = celpy.Environment()
    return environment.program(environment.compile(rule), functions=KUBERNETES_FUNCTIONS)


def rule_faults(rule: str, schema: Schema) -> list[str]:
    """What is wrong with a rule on values of this type; empty when nothing is."""
    try:
        tree = program(rule).ast
    except CELParseError as error:
        where = f"{error.line}:{error.column}" if error.line is not None else "1:1"
        return [f"compilation failed: ERROR: <input>:{where}: Syntax error"]
    scope = {"self": schema, "oldSelf": schema}
    return [f"compilation failed: ERROR: <input>:{fault}" for fault in _Checker(scope).faults(tree)]


def _at(token: Token) -> str:
    return f"{token.line}:{token.column}"


class _Checker:
    def __init__(self, scope: Scope) -> None:
        self._scope = dict(scope)
        self._found: list[str] = []

    def faults(self, tree: Any) -> list[str]:
        self._type(tree)
        return list(dict.fromkeys(self._found))

    def _type(self, node: Any) -> Schema:
        """The type of an expression, as far as it is known; its faults are noted on the way."""
        if not isinstance(node, Tree):
            return _UNKNOWN
        match node.data:
            case "member_dot":
                return self._select(node)
            case "member_dot_arg":
                return self._method(node)
            case "member_index":
                inner = self._type(node.children[0])
                self._type(node.children[1])
                return _element(inner)
            case "ident":
                return self._name(node.children[0])
            case "ident_arg":
                return self._call(node)
            case "paren_expr" | "primary" | "member":
                return self._type(node.children[0])
            case _:
                known = [self._type(child) for child in node.children]
                # A level of the grammar without an operator passes its only operand through.
                return known[0] if len(known) == 1 else _UNKNOWN

    def _name(self, token: Any) -> Schema:
        if token not in self._scope:
            self._found.append(f"{_at(token)}: undeclared reference to '{token}' (in container '')")
        return self._scope.get(str(token), _UNKNOWN)

    def _select(self, node: Any) -> Schema:
        base, name = self._type(node.children[0]), node.children[1]
        properties = base.get("properties")
        if properties is None:
            return _element(base) if "additionalProperties" in base else _UNKNOWN
        for key, inner in properties.items():
            if escaped(key) == name:
                return inner if isinstance(inner, dict) else _UNKNOWN
        self._found.append(f"{_at(name)}: undefined field '{name}'")
        return _UNKNOWN

    def _known(self, name: Any) -> None:
        if name not in KNOWN:
            self._found.append(f"{_at(name)}: undeclared reference to '{name}' (in container '')")

    def _call(self, node: Any) -> Schema:
        self._known(node.children[0])
        for argument in node.children[1:]:
            self._type(argument)
        return _UNKNOWN

    def _method(self, node: Any) -> Schema:
        base, name, *rest = node.children
        target = self._type(base)
        self._known(name)
        arguments = list(rest[0].children) if rest and rest[0] is not None else []
        if name in MACROS and len(arguments) > 1:
            return self._macro(target, str(name), arguments)
        for argument in arguments:
            self._type(argument)
        return _UNKNOWN

    def _macro(self, target: Schema, name: str, arguments: list[Any]) -> Schema:
        variable = str(next(arguments[0].scan_values(lambda value: isinstance(value, Token))))
        before = self._scope.get(variable)
        # Over a map the variable is a key, a string.
        self._scope[variable] = _element(target) if target.get("type") == "array" else _UNKNOWN
        for argument in arguments[1:]:
            self._type(argument)
        if before is None:
            del self._scope[variable]
        else:
            self._scope[variable] = before
        return target if name == "filter" else _UNKNOWN


def _element(schema: Schema) -> Schema:
    inner = schema.get("items", schema.get("additionalProperties"))
    return inner if isinstance(inner, dict) else _UNKNOWN


def walk(schema: Schema, path: str = "") -> Iterator[tuple[Schema, str]]:
    """Every node of a structural schema with its path below openAPIV3Schema."""
    yield schema, path
    for name, node in schema.get("properties", ANY).items():
        yield from walk(node, f"{path}.properties[{name}]")
    for name in ("items", "additionalProperties"):
        node = schema.get(name)
        if isinstance(node, dict):
            yield from walk(node, f"{path}.{name}")
