"""CEL rules of a CRD (x-kubernetes-validations), evaluated with cel-python. Called by `custom` on every write."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import celpy
from celpy.adapter import json_to_cel
from celpy.evaluation import CELEvalError

from .errors import FieldProblem, bad_value, duplicate, forbidden_field, required
from .field_types import ANY, Schema
from .objects import Obj
from .schema_check import MISSING, old_items

RULES = "x-kubernetes-validations"


@cache
def _program(rule: str) -> Any:
    environment = celpy.Environment()
    return environment.program(environment.compile(rule))


def _problem(rule: Obj, schema: Schema, path: str, said: str) -> FieldProblem:
    field = (path + rule.get("fieldPath", "")).lstrip(".")
    match rule.get("reason", "FieldValueInvalid"):
        case "FieldValueForbidden":
            return forbidden_field(field, said)
        case "FieldValueRequired":
            return required(field, said)
        case "FieldValueDuplicate":
            return duplicate(field, schema.get("type", "object"))
        case _:
            return bad_value(field, schema.get("type", "object"), said)


def _check(rule: Obj, value: Any, old: Any, where: tuple[Schema, str]) -> FieldProblem | None:
    names = {"self": json_to_cel(value)}
    if old is not MISSING:
        names["oldSelf"] = json_to_cel(old)
    try:
        if _program(rule["rule"]).evaluate(names):
            return None
        said = rule.get("message") or f"failed rule: {rule['rule'].strip()}"
    except CELEvalError as error:
        said = f"rule evaluation error: {error} evaluating rule: {rule.get('message') or rule['rule']}"
    return _problem(rule, *where, said)


def has_rules(schema: Any) -> bool:
    """Whether a rule stands anywhere in the schema."""
    if isinstance(schema, dict):
        return RULES in schema or any(has_rules(node) for node in schema.values())
    return isinstance(schema, list) and any(has_rules(node) for node in schema)


def rule_problems(value: Any, schema: Schema, path: str = "", old: Any = MISSING) -> Iterator[FieldProblem]:
    """Every rule that `value` breaks; transition rules are asked where there is an `old` to compare with."""
    for rule in schema.get(RULES, ()):
        if "oldSelf" not in rule["rule"] or old is not MISSING:
            problem = _check(rule, value, old, (schema, path))
            if problem is not None:
                yield problem
    if isinstance(value, dict):
        before = old if isinstance(old, dict) else {}
        extra = schema.get("additionalProperties")
        for key, item in value.items():
            known = schema.get("properties", ANY).get(key)
            node = known if known is not None else extra if isinstance(extra, dict) else None
            if node is not None:
                here = f"{path}.{key}" if known is not None else f"{path}[{key}]"
                yield from rule_problems(item, node, here.lstrip("."), before.get(key, MISSING))
    elif isinstance(value, list) and "items" in schema:
        for index, (item, former) in enumerate(zip(value, old_items(value, schema, old), strict=True)):
            yield from rule_problems(item, schema["items"], f"{path}[{index}]", former)
