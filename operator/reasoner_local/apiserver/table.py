"""Tables: the form in which `kubectl get` asks for objects, with the columns of the kind or of the CRD."""

from typing import Any

from .columns import Column, age
from .columns_builtin import BUILTIN_COLUMNS
from .columns_custom import custom_columns
from .objects import Obj, meta
from .resources import Resource

_NAME = Column("Name", lambda obj: meta(obj).get("name", ""), format="name")
_CREATED = Column("Age", lambda obj: age(meta(obj).get("creationTimestamp")))


def columns_of(resource: Resource) -> tuple[Column, ...]:
    """The columns of a resource type, Name first."""
    if resource.custom is not None:
        own = custom_columns(resource.custom.columns)
        return (_NAME, *(own if own else (_CREATED,)))
    return BUILTIN_COLUMNS.get(resource.key, (_NAME, _CREATED))


def _row_object(obj: Obj, include: str) -> Any:
    if include == "None":
        return None
    if include == "Object":
        return obj
    return partial(obj)


def partial(obj: Obj) -> Obj:
    """The object's metadata alone."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def table(resource: Resource, objects: list[Obj], list_meta: Obj, include: str = "Metadata") -> Obj:
    """A Table of these objects. `include` says how much of each object goes with its row."""
    columns = columns_of(resource)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": list_meta,
        "columnDefinitions": [column.definition() for column in columns],
        "rows": [
            {"cells": [column.cell(obj) for column in columns], "object": _row_object(obj, include)} for obj in objects
        ],
    }
