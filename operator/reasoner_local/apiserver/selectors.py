"""Label and field selectors of list, watch and deletecollection requests."""

import re
from collections.abc import Callable, Container, Mapping
from typing import Any

from .errors import bad_request
from .objects import Obj, labels_of

Predicate = Callable[[Obj], bool]
_LabelTest = Callable[[Mapping[str, str]], bool]

_TERM = re.compile(r"(?:[^,(]|\([^)]*\))+")
_SET = re.compile(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)")
_COMPARE = re.compile(r"([^!=<>\s]+)\s*(==|=|!=)\s*(\S*)")
_ORDER = re.compile(r"([^!=<>\s]+)\s*([<>])\s*(-?\d+)")
_EXISTS = re.compile(r"(!?)\s*([^!=<>\s]+)")
_FIELD = re.compile(r"([^!=]+)(==|=|!=)(.*)")


def _ordered(key: str, sign: str, limit: int) -> _LabelTest:
    def test(labels: Mapping[str, str]) -> bool:
        value = labels.get(key, "")
        if not re.fullmatch(r"-?\d+", value):
            return False
        return int(value) > limit if sign == ">" else int(value) < limit

    return test


def _label_test(term: str) -> _LabelTest:
    if found := _SET.fullmatch(term):
        key, word, values = found[1], found[2], {value.strip() for value in found[3].split(",")}
        return lambda labels: (labels.get(key) in values) == (word == "in")
    if found := _COMPARE.fullmatch(term):
        key, sign, value = found[1], found[2], found[3]
        return lambda labels: (labels.get(key) == value) != (sign == "!=")
    if found := _ORDER.fullmatch(term):
        return _ordered(found[1], found[2], int(found[3]))
    if found := _EXISTS.fullmatch(term):
        key, absent = found[2], bool(found[1])
        return lambda labels: (key in labels) != absent
    raise bad_request(f"unable to parse requirement: found {term!r}, expected a label requirement")


def label_selector(text: str | None) -> Predicate:
    """The test that a labelSelector query parameter asks for."""
    tests = [_label_test(term.strip()) for term in _TERM.findall(text or "")]
    if not tests:
        return lambda obj: True
    return lambda obj: all(test(labels_of(obj)) for test in tests)


def required_labels(text: str | None) -> list[tuple[str, str]]:
    """The labels that everything which a labelSelector chooses has with just that value."""
    found = (_COMPARE.fullmatch(term.strip()) for term in _TERM.findall(text or ""))
    return [(term[1], term[3]) for term in found if term and term[2] != "!="]


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _field(obj: Obj, path: list[str]) -> str:
    value: Any = obj
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return _as_text(value)


def _field_test(term: str, known: Container[str]) -> Predicate:
    found = _FIELD.fullmatch(term)
    if found is None:
        raise bad_request(f"invalid field selector: {term!r}; can't understand it")
    if found[1] not in known:
        raise bad_request(f"field label not supported: {found[1]}")
    path, sign, value = found[1].split("."), found[2], found[3]
    return lambda obj: (_field(obj, path) == value) != (sign == "!=")


def field_selector(text: str | None, known: Container[str]) -> Predicate:
    """The test that a fieldSelector query parameter asks for. Raises 400 for a field that is not known."""
    tests = [_field_test(term.strip(), known) for term in text.split(",")] if text else []
    return lambda obj: all(test(obj) for test in tests)
