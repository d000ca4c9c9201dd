"""The JSONPath of printer columns: `.a.b`, `['a.b']`, `[0]`, `[*]` and filters such as `[?(@.type=="Ready")]`."""

import json
import re
from functools import cache
from typing import Any

_STEP = re.compile(
    r"""
    \.?\[\?\(\s*@(?P<where>[^=!<>\s)]*)\s*(?:(?P<sign>==|!=|<=|>=|<|>)\s*(?P<value>"[^"]*"|'[^']*'|[^)\s]+))?\s*\)\]
    | \.?\[\s*(?P<index>-?\d+)\s*\]
    | \.?\[(?P<all>\*)\] | \.(?P<star>\*)
    | \.?\[\s*(?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\s*\]
    | \.?(?P<name>(?:[^.\[\]\\]|\\.)+)
    """,
    re.VERBOSE,
)


class BadPath(ValueError):
    """The text is no JSONPath of this kind."""


Step = tuple[str, Any]


def _literal(text: str) -> Any:
    if text[0] in "'\"":
        return text[1:-1]
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadPath(f"unrecognized literal {text}") from error


def _step(found: re.Match[str]) -> Step:
    parts = found.groupdict()
    if parts["where"] is not None:
        value = _literal(parts["value"]) if parts["sign"] else None
        return ("filter", (compile_path(parts["where"]) if parts["where"] else (), parts["sign"], value))
    if parts["index"] is not None:
        return ("index", int(parts["index"]))
    if parts["all"] or parts["star"]:
        return ("all", None)
    if parts["quoted"] is not None:
        return ("name", re.sub(r"\\(.)", r"\1", parts["quoted"][1:-1]))
    return ("name", re.sub(r"\\(.)", r"\1", parts["name"]))


@cache
def compile_path(text: str) -> tuple[Step, ...]:
    """The steps of a path. Raises BadPath."""
    text = text.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    steps, at = [], 0
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None:
            raise BadPath(f"unexpected text at {text[at:]!r}")
        steps.append(_step(found))
        at = found.end()
    return tuple(steps)


def _compare(left: Any, sign: str, right: Any) -> bool:
    if sign in ("==", "!="):
        return bool(left == right) == (sign == "==")
    if isinstance(left, str) != isinstance(right, str) or left is None or right is None:
        return False
    return bool({"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}[sign])


def _passes(item: Any, test: tuple[tuple[Step, ...], str | None, Any]) -> bool:
    path, sign, value = test
    found = find(item, path)
    if sign is None:
        return bool(found)
    return any(_compare(one, sign, value) for one in found)


def _follow(value: Any, step: Step) -> list[Any]:
    kind, what = step
    if kind == "name":
        return [value[what]] if isinstance(value, dict) and what in value else []
    if kind == "index":
        return [value[what]] if isinstance(value, list) and -len(value) <= what < len(value) else []
    inside = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return inside if kind == "all" else [item for item in inside if _passes(item, what)]


def find(value: Any, path: tuple[Step, ...]) -> list[Any]:
    """Everything that a compiled path leads to."""
    found = [value]
    for step in path:
        found = [item for one in found for item in _follow(one, step)]
    return found
