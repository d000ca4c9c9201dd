"""Decoding of protobuf bodies, which kubectl sends for its imperative verbs (create configmap, job, ...).

Field numbers are those of the generated.proto files of k8s.io/api, which never change. Kinds that are not in the
table are refused with 415. Answers are always JSON, which every client takes.
"""

import base64
import datetime
from collections.abc import Iterator
from typing import Any

from .errors import ApiError, unsupported_media
from .objects import Obj
from .protobuf_kinds import KINDS, Field, Fields

PROTOBUF = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        else:
            size = 8 if wire == 1 else 4
        if at + size > len(data):
            raise IndexError("field longer than the message")
        yield tag >> 3, data[at : at + size]
        at += size


def _time(data: bytes) -> str | None:
    seconds = dict(_fields(data)).get(1, 0)
    if not 0 < seconds < 1 << 62:
        return None
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _int_or_string(data: bytes) -> int | str:
    fields = dict(_fields(data))
    return fields[3].decode() if fields.get(1) else _signed(fields.get(2, 0))


def _scalar(kind: str, value: Any) -> Any:
    match kind:
        case "str":
            return value.decode()
        case "int":
            return _signed(value)
        case "bool":
            return bool(value)
        # Fields that are always written: zero says nothing.
        case "int0":
            return _signed(value) or None
        case "bool0":
            return bool(value) or None
        case "bytes":
            return base64.b64encode(value).decode()
        case "time":
            return _time(value)
        case "quantity":
            return dict(_fields(value)).get(1, b"").decode()
        case _:
            return _int_or_string(value)


def _value(kind: str | Fields, value: Any) -> Any:
    return _scalar(kind, value) if isinstance(kind, str) else _message(kind, value)


def _put(out: Obj, field: Field, value: Any) -> None:
    if field.shape == "list":
        out.setdefault(field.name, []).append(_value(field.kind, value))
    elif field.shape == "map":
        entry = dict(_fields(value))
        out.setdefault(field.name, {})[entry.get(1, b"").decode()] = _value(field.kind, entry.get(2, b""))
    elif field.shape == "inline":
        out.update(_value(field.kind, value))
    else:
        decoded = _value(field.kind, value)
        # Strings that are not set are written as empty ones.
        if decoded not in ("", None):
            out[field.name] = decoded


def _message(fields: Fields, data: bytes) -> Obj:
    out: Obj = {}
    for number, value in _fields(data):
        if number in fields:
            _put(out, fields[number], value)
    return out


def decode(raw: bytes) -> Obj:
    """The object in a `k8s\\0` envelope. Raises 415 for a kind, or a body, that is not understood."""
    refusal: ApiError = unsupported_media("application/json", "application/yaml")
    if not raw.startswith(_MAGIC):
        raise refusal
    try:
        envelope = dict(_fields(raw[len(_MAGIC) :]))
        type_meta = dict(_fields(envelope[1]))
        kind = type_meta[2].decode()
        if kind not in KINDS:
            raise refusal
        body = _message(KINDS[kind], envelope.get(2, b""))
        return {"apiVersion": type_meta[1].decode(), "kind": kind, **body}
    except (IndexError, KeyError, ValueError, AttributeError, TypeError) as error:
        raise refusal from error
