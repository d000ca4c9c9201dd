"""CEL rules of a CRD (x-kubernetes-validations), evaluated with cel-python. Called by `admission` on every write."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from celpy.evaluation import CELEvalError

from .cel_compile import program
from .cel_types import Made, root_schema, root_value, to_cel, to_object
from .errors import FieldProblem, bad_value, duplicate, forbidden_field, required
from .field_types import ANY, Schema
from .objects import Obj
from .schema_check import MISSING, old_items

RULES = "x-kubernetes-validations"
# How most CRDs say that a field is immutable. Names that CEL writes otherwise begin with underscores.
_SELF, _SELECTION = re.compile(r"\b(?:self|oldSelf)\b"), re.compile(r"\b(?:self|oldSelf)\.(\w+)\b(?!\s*\()")
_KEEPS = re.compile(r"self\.([a-zA-Z]\w*) == oldSelf\.\1")


def _problem(rule: Obj, schema: Schema, field: str, said: str) -> FieldProblem:
    field = field or "<nil>"
    match rule.get("reason", "FieldValueInvalid"):
        case "FieldValueForbidden":
            return forbidden_field(field, said)
        case "FieldValueRequired":
            return required(field, said)
        case "FieldValueDuplicate":
            return duplicate(field, schema.get("type", "object"))
        case _:
            return bad_value(field, schema.get("type", "object"), said)


def _error_text(error: CELEvalError) -> str:
    cause = error.args[0] if error.args else error
    while isinstance(cause, CELEvalError):
        cause = cause.args[0] if cause.args else ""
    text = str(cause)
    missing = "no such member in mapping: "
    return "no such key: " + text.removeprefix(missing).strip("'\"") if text.startswith(missing) else text


def _message(rule: Obj, names: dict[str, Any]) -> str:
    expression = rule.get("messageExpression")
    if expression:
        try:
            said = program(expression).evaluate(names)
        except CELEvalError:
            said = ""
        if isinstance(said, str) and said.strip() and "\n" not in said:
            return str(said)
    return rule.get("message") or f"failed rule: {rule['rule'].strip()}"


def _kept(rule: Obj, value: Any, old: Any) -> bool:
    """Whether a rule says no more than that a field keeps its value, and it does: seen without cel-python, as such
    rules are asked at every write of a status."""
    said = _KEEPS.fullmatch(rule["rule"].strip())
    if said is None or not (isinstance(value, dict) and isinstance(old, dict)):
        return False
    field = said[1]
    return field in value and field in old and bool(value[field] == old[field])


@cache
def _read(rule: str) -> frozenset[str] | None:
    """The fields that a rule reads of `self` and `oldSelf`; None where it may read any."""
    fields = _SELECTION.findall(rule)
    return frozenset(fields) if len(fields) == len(_SELF.findall(rule)) else None


def _value(value: Any, schema: Schema, fields: frozenset[str] | None, made: Made) -> Any:
    """`self` for a rule that reads these fields: whole objects are large, and most rules read little of them."""
    if fields is None or not isinstance(value, dict) or "properties" not in schema:
        return to_cel(value, schema, made)
    return to_object(value, schema, made, fields)


def _check(rule: Obj, values: tuple[Any, Any], node: "Node", path: str, made: Made) -> FieldProblem | None:
    value, old = values
    schema = node.schema
    fields = _read(f"{rule['rule']} {rule.get('messageExpression', '')}")
    names = {"self": _value(value, schema, fields, made)}
    if old is not MISSING:
        names["oldSelf"] = _value(old, schema, fields, made)
    try:
        if program(rule["rule"]).evaluate(names):
            return None
    except CELEvalError as error:
        said = f"{_error_text(error)} evaluating rule: {rule.get('message') or rule['rule'].strip()}"
        return bad_value(path or "<nil>", schema.get("type", "object"), said)
    return _problem(rule, schema, (path + rule.get("fieldPath", "")).lstrip("."), _message(rule, names))


@dataclass(frozen=True)
class Node:
    """A part of a schema with rules in it or below it; parts without any have no node."""

    schema: Schema
    rules: tuple[Obj, ...]
    properties: dict[str, "Node"]
    extra: "Node | None"
    items: "Node | None"

    @cached_property
    def transitions(self) -> bool:
        """Whether a rule here or below compares with the former value."""
        below = [*self.properties.values(), *(one for one in (self.extra, self.items) if one is not None)]
        return any(_is_transition(rule) for rule in self.rules) or any(node.transitions for node in below)

    def below(self, key: str) -> "Node | None":
        """The part that a key of an object leads to."""
        return self.properties.get(key) if key in self.schema.get("properties", ANY) else self.extra


def rules_of(schema: Schema) -> Node | None:
    """The rules of a CRD's schema, None where it has none."""
    return _node(root_schema(schema))


def _node(schema: Any) -> Node | None:
    if not isinstance(schema, dict):
        return None
    found = {key: _node(inner) for key, inner in schema.get("properties", ANY).items()}
    properties = {key: node for key, node in found.items() if node is not None}
    node = Node(
        schema,
        tuple(schema.get(RULES, ())),
        properties,
        _node(schema.get("additionalProperties")),
        _node(schema.get("items")),
    )
    return node if node.rules or properties or node.extra or node.items else None


def _is_transition(rule: Obj) -> bool:
    return "oldSelf" in rule["rule"]


def object_rule_problems(obj: Obj, rules: Node, old: Any) -> Iterator[FieldProblem]:
    """Every rule that an object breaks; `old` is what it replaces, MISSING on creation."""
    before = old if old is MISSING else root_value(old)
    return _problems((root_value(obj), before), rules, "", {})


def _problems(values: tuple[Any, Any], node: Node, path: str, made: Made) -> Iterator[FieldProblem]:
    value, old = values
    unchanged = old is not MISSING and bool(old == value)
    if unchanged and not node.transitions:
        return
    for rule in node.rules:
        # A transition rule is asked where there is a former value to compare with, another where the value is new.
        asked = old is not MISSING and not _kept(rule, value, old) if _is_transition(rule) else not unchanged
        problem = _check(rule, values, node, path, made) if asked else None
        if problem is not None:
            yield problem
    if isinstance(value, dict):
        before = old if isinstance(old, dict) else {}
        for key, item in value.items():
            inner = node.below(key)
            if inner is not None and item is not None:
                here = f"{path}.{key}" if key in node.properties else f"{path}[{key}]"
                yield from _problems((item, before.get(key, MISSING)), inner, here.lstrip("."), made)
    elif isinstance(value, list) and node.items is not None:
        for index, pair in enumerate(zip(value, old_items(value, node.schema, old), strict=True)):
            yield from _problems(pair, node.items, f"{path}[{index}]", made)
