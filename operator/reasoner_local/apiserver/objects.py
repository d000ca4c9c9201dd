"""Small helpers on Kubernetes objects as plain JSON values. Everything else in this package uses them.

Stored objects are never changed in place: a writer clones, changes the clone and hands it to the store.
"""

import datetime
import random
from typing import Any

Obj = dict[str, Any]
# What walks go into. They ask before they call: most of an object is plain values.
NESTED = (dict, list)
# (namespace or "", name)
Key = tuple[str, str]

_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
# The alphabet of the real server: no vowels, so that no word can come out.
_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def now(offset_seconds: float = 0) -> str:
    """The time as the API writes it: RFC 3339 in UTC, whole seconds."""
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=offset_seconds)
    return moment.strftime(_TIME_FORMAT)


def seconds_since(stamp: str) -> float:
    """Seconds from the RFC 3339 time `stamp` until now. Raises ValueError when it is not one."""
    moment = datetime.datetime.fromisoformat(stamp)
    return (datetime.datetime.now(datetime.UTC) - moment).total_seconds()


def name_suffix() -> str:
    """What the server appends to metadata.generateName."""
    return "".join(random.choices(_SUFFIX_ALPHABET, k=5))


def clone(value: Any) -> Any:
    """A deep copy of a JSON value (several times faster than copy.deepcopy)."""
    if isinstance(value, dict):
        return {key: clone(item) if isinstance(item, NESTED) else item for key, item in value.items()}
    if isinstance(value, list):
        return [clone(item) if isinstance(item, NESTED) else item for item in value]
    return value


def without_nulls(value: Any) -> Any:
    """A JSON value less its null fields: in an object of a built-in kind, and in what is applied, they say nothing."""
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if item is not None}
        return {key: without_nulls(item) if isinstance(item, NESTED) else item for key, item in kept.items()}
    if isinstance(value, list):
        return [without_nulls(item) if isinstance(item, NESTED) else item for item in value]
    return value


def meta(obj: Obj) -> Obj:
    """The object's metadata; an empty dict when it has none."""
    found = obj.get("metadata")
    return found if isinstance(found, dict) else {}


def key_of(obj: Obj) -> Key:
    """Where the object lies in its collection."""
    return meta(obj).get("namespace") or "", meta(obj)["name"]


def labels_of(obj: Obj) -> dict[str, str]:
    """The object's labels."""
    return meta(obj).get("labels") or {}


def owners_of(obj: Obj) -> list[Obj]:
    """The object's owner references."""
    return meta(obj).get("ownerReferences") or []


def dig(obj: Any, *path: str) -> Any:
    """The value under nested keys, or None where the path ends early."""
    for key in path:
        obj = obj.get(key) if isinstance(obj, dict) else None
    return obj


def is_terminating(obj: Obj) -> bool:
    """Whether deletion of the object has begun."""
    return bool(meta(obj).get("deletionTimestamp"))
