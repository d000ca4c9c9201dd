"""CEL rules of a CRD (x-kubernetes-validations), evaluated with cel-python. Called by `admission` on every write."""

from collections.abc import Iterator
from typing import Any

from celpy.evaluation import CELEvalError

from .cel_compile import program
from .cel_types import root_schema, root_value, to_cel
from .errors import FieldProblem, bad_value, duplicate, forbidden_field, required
from .field_types import ANY, Schema
from .objects import Obj
from .schema_check import MISSING, old_items

RULES = "x-kubernetes-validations"


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


def _check(rule: Obj, values: tuple[Any, Any], schema: Schema, path: str) -> FieldProblem | None:
    value, old = values
    names = {"self": to_cel(value, schema)}
    if old is not MISSING:
        names["oldSelf"] = to_cel(old, schema)
    try:
        if program(rule["rule"]).evaluate(names):
            return None
    except CELEvalError as error:
        said = f"{_error_text(error)} evaluating rule: {rule.get('message') or rule['rule'].strip()}"
        return bad_value(path or "<nil>", schema.get("type", "object"), said)
    return _problem(rule, schema, (path + rule.get("fieldPath", "")).lstrip("."), _message(rule, names))


def has_rules(schema: Any) -> bool:
    """Whether a rule stands anywhere in the schema."""
    if isinstance(schema, dict):
        return RULES in schema or any(has_rules(node) for node in schema.values())
    return isinstance(schema, list) and any(has_rules(node) for node in schema)


def object_rule_problems(obj: Obj, schema: Schema, old: Any) -> Iterator[FieldProblem]:
    """Every rule that an object breaks; `old` is what it replaces, MISSING on creation."""
    before = old if old is MISSING else root_value(old)
    return _problems(root_value(obj), root_schema(schema), "", before)


def _problems(value: Any, schema: Schema, path: str, old: Any) -> Iterator[FieldProblem]:
    for rule in schema.get(RULES, ()):
        # A transition rule is asked where there is a former value to compare with.
        transition = "oldSelf" in rule["rule"]
        if old is not MISSING if transition else old is MISSING or old != value:
            problem = _check(rule, (value, old), schema, path)
            if problem is not None:
                yield problem
    if isinstance(value, dict):
        before = old if isinstance(old, dict) else {}
        extra = schema.get("additionalProperties")
        for key, item in value.items():
            known = schema.get("properties", ANY).get(key)
            node = known if known is not None else extra if isinstance(extra, dict) else None
            if node is not None and item is not None:
                here = f"{path}.{key}" if known is not None else f"{path}[{key}]"
                yield from _problems(item, node, here.lstrip("."), before.get(key, MISSING))
    elif isinstance(value, list) and "items" in schema:
        for index, (item, former) in enumerate(zip(value, old_items(value, schema, old), strict=True)):
            yield from _problems(item, schema["items"], f"{path}[{index}]", former)
