"""The options of list and watch requests: what they may say together, and which state of the objects they ask for.

The rules and their words are those of a real server (apimachinery's validation of ListOptions). Used by `lists` and
`watch`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .continue_token import Place, read
from .errors import ApiError, FieldProblem, bad_request, forbidden_field, invalid, not_supported, not_yet

_EXACT, _NOT_OLDER = "Exact", "NotOlderThan"
_MATCH, _SEND = "resourceVersionMatch", "sendInitialEvents"


@dataclass(frozen=True)
class _Named:
    """ListOptions, as messages name them."""

    group: str = "meta.k8s.io"
    plural: str = "listoptions"
    kind: str = "ListOptions"


@dataclass(frozen=True)
class ListOptions:
    """A list request: at most `limit` objects (0: all) from `start` on, as they were at `version` (None: as they
    are)."""

    limit: int
    start: Place | None
    version: int | None


def list_options(query: Mapping[str, str], current: int) -> ListOptions:
    """The options of a list. Raises 4xx where they contradict each other, 504 where they ask for a revision that has
    not been yet."""
    _check(query, _list_problems(query))
    limit, version = max(number(query, "limit"), 0), _version(query)
    if token := query.get("continue"):
        if query.get("resourceVersion", "0") not in ("", "0"):
            raise bad_request("specifying resource version is not allowed when using continue")
        start = read(token)
        version = start.revision
    else:
        start = None
        if not version or query.get(_MATCH) == _NOT_OLDER or (_MATCH not in query and not limit):
            _check_reached(version, current)
            return ListOptions(limit, None, None)
    _check_reached(version, current)
    # A token of an inconsistent list goes on with what there is.
    return ListOptions(limit, start, None if version in (-1, current) else version)


def check_watch(query: Mapping[str, str]) -> None:
    """Raise 422 where a watch's options contradict each other."""
    _check(query, _watch_problems(query))


def watch_version(query: Mapping[str, str]) -> int:
    """The revision that a watch begins after; 0 where it names none."""
    text = query.get("resourceVersion") or "0"
    if not text.isdigit():
        raise ApiError(500, "", _not_a_version(text))
    return int(text)


def number(query: Mapping[str, str], name: str) -> int:
    """An integer option, 0 where it is not given."""
    text = query.get(name) or "0"
    try:
        return int(text)
    except ValueError as error:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from error


def _version(query: Mapping[str, str]) -> int:
    text = query.get("resourceVersion") or "0"
    if not text.isdigit():
        raise bad_request(f"invalid resource version: {_not_a_version(text)}")
    return int(text)


def _not_a_version(text: str) -> str:
    return f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'


def _check_reached(version: int, current: int) -> None:
    if version > current:
        raise not_yet(version, current)


def _check(query: Mapping[str, str], problems: Iterator[FieldProblem]) -> None:
    if (_MATCH in query or _SEND in query) and (found := list(problems)):
        raise invalid(_Named(), "", found)


def _list_problems(query: Mapping[str, str]) -> Iterator[FieldProblem]:
    match = query.get(_MATCH)
    if match and not query.get("resourceVersion"):
        yield forbidden_field(_MATCH, f"{_MATCH} is forbidden unless resourceVersion is provided")
    if match and query.get("continue"):
        yield forbidden_field(_MATCH, f"{_MATCH} is forbidden when continue is provided")
    if match and match not in (_EXACT, _NOT_OLDER):
        yield not_supported(_MATCH, match, [_EXACT, _NOT_OLDER, ""])
    if match == _EXACT and query.get("resourceVersion") == "0":
        yield forbidden_field(_MATCH, f'{_MATCH} "exact" is forbidden for resourceVersion "0"')
    if _SEND in query:
        yield forbidden_field(_SEND, f"{_SEND} is forbidden for list")


def _watch_problems(query: Mapping[str, str]) -> Iterator[FieldProblem]:
    match = query.get(_MATCH)
    if _SEND in query and match != _NOT_OLDER:
        yield forbidden_field(_MATCH, f"{_SEND} requires setting {_MATCH} to {_NOT_OLDER}")
    if match and _SEND not in query:
        yield forbidden_field(_MATCH, f"{_MATCH} is forbidden for watch unless {_SEND} is provided")
    if match and match != _NOT_OLDER:
        yield not_supported(_MATCH, match, [_NOT_OLDER])
    if match and query.get("continue"):
        yield forbidden_field(_MATCH, f"{_MATCH} is forbidden when continue is provided")
