"""Objects as answers: whole, as a Table or as metadata alone, as the client asks."""

import json
from collections.abc import Callable

from aiohttp import web

from .encoding import answer
from .objects import Obj, meta
from .request import wants
from .resources import Resource
from .table import partial, table


def included(request: web.Request) -> str:
    """How much of each object goes with its row in a Table."""
    return request.query.get("includeObject", "Metadata")


def warn(response: web.Response, warnings: list[str]) -> web.Response:
    """The response with warnings, which kubectl shows to its user."""
    for warning in warnings:
        response.headers.add("Warning", f"299 - {json.dumps(warning)}")
    return response


def form_of(request: web.Request, resource: Resource) -> Callable[[Obj], Obj]:
    """How one object is written: whole, as a Table or as metadata alone."""
    include = included(request)

    def as_table(obj: Obj) -> Obj:
        obj = resource.shown(obj)
        return table(resource, [obj], {"resourceVersion": meta(obj).get("resourceVersion", "")}, include)

    if wants(request, "Table"):
        return as_table
    if wants(request, "PartialObjectMetadata"):
        return partial
    return resource.shown


def one(
    request: web.Request, resource: Resource, obj: Obj, code: int = 200, warnings: list[str] | None = None
) -> web.Response:
    """An answer of one object."""
    return warn(answer(form_of(request, resource)(obj), code), warnings or [])


def many(request: web.Request, resource: Resource, objects: list[Obj], list_meta: Obj) -> web.Response:
    """An answer of a list."""
    shown = [resource.shown(obj) for obj in objects]
    if wants(request, "Table"):
        return answer(table(resource, shown, list_meta, included(request)))
    kind, version = f"{resource.kind}List", resource.group_version
    if wants(request, "PartialObjectMetadataList"):
        shown = [partial(obj) for obj in shown]
        kind, version = "PartialObjectMetadataList", "meta.k8s.io/v1"
    return answer({"kind": kind, "apiVersion": version, "metadata": list_meta, "items": shown})
