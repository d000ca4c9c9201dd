"""The functions that Kubernetes adds to CEL (lists, strings, regular expressions, URLs, quantities, optionals).

Those that rules on plain data need; a rule that uses any other is refused when its CRD is created.
"""

import decimal
import ipaddress
import itertools
import re
import urllib.parse
from collections.abc import Callable
from typing import Any

import re2  # type: ignore[import-untyped]
from celpy import celtypes
from celpy.evaluation import CELEvalError, base_functions

Function = Callable[..., Any]


def _text(value: str) -> Any:
    return celtypes.StringType(value)


def _number(value: int) -> Any:
    return celtypes.IntType(value)


def _truth(value: bool) -> Any:
    return celtypes.BoolType(value)


def _listed(values: Any) -> Any:
    return celtypes.ListType(list(values))


def _find(text: str, wanted: str, start: int = 0) -> Any:
    return _number(text.find(wanted, start))


def _index_of(where: Any, what: Any, start: int = 0) -> Any:
    if isinstance(where, str):
        return _find(where, what, start)
    return _number(next((place for place, item in enumerate(where) if item == what), -1))


def _last_index_of(where: Any, what: Any) -> Any:
    if isinstance(where, str):
        return _number(where.rfind(what))
    places = [place for place, item in enumerate(where) if item == what]
    return _number(places[-1] if places else -1)


def _replace(text: str, old: str, new: str, count: int = -1) -> Any:
    return _text(text.replace(old, new, count))


def _split(text: str, separator: str, count: int = -1) -> Any:
    if count == 0:
        return _listed([])
    parts = list(text) if separator == "" else text.split(separator, count - 1 if count > 0 else -1)
    return _listed(_text(part) for part in parts)


def _substring(text: str, start: int, end: int | None = None) -> Any:
    stop = len(text) if end is None else end
    if not 0 <= start <= stop <= len(text):
        raise CELEvalError(f"index out of range: {start}")
    return _text(text[start:stop])


def _join(parts: Any, separator: str = "") -> Any:
    return _text(separator.join(parts))


def _least(values: Any) -> Any:
    if not values:
        raise CELEvalError("min called on empty list")
    return min(values)


def _greatest(values: Any) -> Any:
    if not values:
        raise CELEvalError("max called on empty list")
    return max(values)


def _sum(values: Any) -> Any:
    total: Any = celtypes.IntType(0)
    for place, value in enumerate(values):
        total = value if place == 0 else total + value
    return total


def _find_first(text: str, pattern: str) -> Any:
    found = re2.search(pattern, text)
    return _text(found[0] if found else "")


def _find_all(text: str, pattern: str, limit: int = -1) -> Any:
    found = [_text(one[0]) for one in re2.finditer(pattern, text)]
    return _listed(found[:limit] if limit >= 0 else found)


def _parsed_url(text: str) -> urllib.parse.SplitResult | None:
    parsed = urllib.parse.urlsplit(text)
    return parsed if parsed.scheme or text.startswith("/") else None


def _url(text: str) -> Any:
    if _parsed_url(text) is None:
        raise CELEvalError(f"URL parse error during conversion from string: {text}")
    return _text(text)


def _url_part(name: str) -> Function:
    def part(text: str) -> Any:
        parsed = urllib.parse.urlsplit(text)
        return _text(str(getattr(parsed, name) or ""))

    return part


_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?")
_DECIMAL_POWERS = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_POWERS = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}


def _amount(text: str) -> decimal.Decimal | None:
    found = _QUANTITY.fullmatch(text)
    if found is None:
        return None
    number, unit = decimal.Decimal(found[1]), found[2] or ""
    if unit in _BINARY_POWERS:
        return number * decimal.Decimal(1024) ** _BINARY_POWERS[unit]
    if unit in _DECIMAL_POWERS:
        return number.scaleb(_DECIMAL_POWERS[unit])
    return number.scaleb(int(unit[1:]))


def _quantity(text: str) -> Any:
    amount = _amount(text)
    if amount is None:
        raise CELEvalError(f"quantities must match the regular expression: {text}")
    return celtypes.DoubleType(float(amount))


def _is_ip(text: str) -> Any:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _truth(False)
    return _truth(True)


KUBERNETES_FUNCTIONS: dict[str, Function] = {
    "isSorted": lambda values: _truth(all(a <= b for a, b in itertools.pairwise(values))),
    "sum": _sum,
    "min": _least,
    "max": _greatest,
    "indexOf": _index_of,
    "lastIndexOf": _last_index_of,
    "charAt": lambda text, place: _text(text[place : place + 1]),
    "lowerAscii": lambda text: _text(text.lower()),
    "upperAscii": lambda text: _text(text.upper()),
    "replace": _replace,
    "split": _split,
    "substring": _substring,
    "trim": lambda text: _text(text.strip()),
    "join": _join,
    "reverse": lambda value: _text(value[::-1]) if isinstance(value, str) else _listed(value[::-1]),
    "find": _find_first,
    "findAll": _find_all,
    "url": _url,
    "isURL": lambda text: _truth(_parsed_url(text) is not None),
    "getScheme": _url_part("scheme"),
    "getHost": _url_part("netloc"),
    "getHostname": _url_part("hostname"),
    "getPort": _url_part("port"),
    "getEscapedPath": _url_part("path"),
    "quantity": _quantity,
    "isQuantity": lambda text: _truth(_amount(text) is not None),
    "isGreaterThan": lambda left, right: _truth(left > right),
    "isLessThan": lambda left, right: _truth(left < right),
    "compareTo": lambda left, right: _number((left > right) - (left < right)),
    "isIP": _is_ip,
}
MACROS = frozenset({"has", "all", "exists", "exists_one", "map", "filter"})
KNOWN = frozenset(base_functions) | frozenset(KUBERNETES_FUNCTIONS) | MACROS | {"dyn"}
