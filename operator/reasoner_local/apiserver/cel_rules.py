"""CEL rules of a CRD (x-kubernetes-validations), evaluated with cel-python. Called by `admission` on every write."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from celpy.evaluation import CELEvalError

from .cel_compile import program
from .cel_nodes import Node, is_transition, node_of
from .cel_types import Made, escaped, root_value, to_cel, to_object
from .errors import FieldProblem, bad_value, duplicate, forbidden_field, required
from .field_types import Schema
from .objects import Obj
from .schema_check import MISSING, old_items

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
    name = said[1]
    return name in value and name in old and bool(value[name] == old[name])


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


def _check(rule: Obj, values: tuple[Any, Any], node: Node, path: str, made: Made) -> FieldProblem | None:
    """What is wrong by one rule. What has passed is remembered by what the rule reads, as most writes change nothing
    of it and cel-python takes its time."""
    fields = _read(f"{rule['rule']} {rule.get('messageExpression', '')}")
    read = values if is_transition(rule) else values[:1]
    seen = None if fields is None else (rule["rule"], *(_seen(value, fields) for value in read))
    if seen is not None and seen in node.passed:
        return None
    schema = node.schema
    names = {"self": _value(values[0], schema, fields, made)}
    if values[1] is not MISSING:
        names["oldSelf"] = _value(values[1], schema, fields, made)
    try:
        if program(rule["rule"]).evaluate(names):
            if seen is not None:
                node.remember(seen)
            return None
    except CELEvalError as error:
        said = f"{_error_text(error)} evaluating rule: {rule.get('message') or rule['rule'].strip()}"
        return bad_value(path or "<nil>", schema.get("type", "object"), said)
    return _problem(rule, schema, (path + rule.get("fieldPath", "")).lstrip("."), _message(rule, names))


def _seen(value: Any, fields: frozenset[str]) -> str:
    """What a rule reads of a value, as text."""
    if value is MISSING:
        return ""
    read = {key: item for key, item in value.items() if escaped(key) in fields} if isinstance(value, dict) else value
    return json.dumps(read, sort_keys=True)


def object_rule_problems(obj: Obj, rules: Node, old: Any) -> Iterator[FieldProblem]:
    """Every rule that an object breaks; `old` is what it replaces, MISSING on creation."""
    before = old if old is MISSING else root_value(old)
    return _problems((root_value(obj), before), rules, "", {})


def default_rule_problems(value: Any, schema: Schema, path: str) -> Iterator[FieldProblem]:
    """Every rule of a CRD's schema that one of its own defaults breaks, as it stands there: nested defaults are not
    filled in yet."""
    rules = node_of(schema)
    return iter(()) if rules is None else _problems((value, MISSING), rules, path, {})


def _problems(values: tuple[Any, Any], node: Node, path: str, made: Made) -> Iterator[FieldProblem]:
    value, old = values
    unchanged = old is not MISSING and bool(old == value)
    if unchanged and not node.transitions:
        return
    for rule in node.rules:
        # A transition rule is asked where there is a former value to compare with, another where the value is new.
        asked = old is not MISSING and not _kept(rule, value, old) if is_transition(rule) else not unchanged
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
