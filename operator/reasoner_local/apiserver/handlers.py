"""Requests for stored objects, by verb. Called by `app` with the resource type, the target and the decoded body."""

import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from . import patch
from .admission import UnknownFields
from .deletion import ORPHAN_WARNING, DeleteOptions
from .encoding import answer
from .errors import bad_value, invalid, method_not_allowed, not_found, unsupported_media
from .lists import chosen, page
from .objects import Obj, meta
from .request import Target, manager_of, wants
from .resources import Resource
from .scale import scale_of, scaled
from .table import partial, table
from .watch import Selection, WatchStream
from .writes import Writer, Writes, body_object, require_version

_PATCHES = (patch.JSON_PATCH, patch.MERGE, patch.APPLY)
_ORDINARY_SUBRESOURCES = ("", "status", "finalize")


@dataclass(frozen=True)
class Call:
    """One request: the raw one, what it names, and its decoded body."""

    request: web.Request
    resource: Resource
    target: Target
    body: Any = None

    @property
    def key(self) -> tuple[str, str]:
        """Where the object that it names lies."""
        return (self.target.namespace if self.resource.namespaced else "", self.target.name)

    def writer(self) -> Writer:
        """Who writes, and how, by the query parameters."""
        query = self.request.query
        manager = manager_of(self.request)
        if self.request.content_type == patch.APPLY:
            manager = query.get("fieldManager", "")
        return Writer(
            manager,
            "status" if self.target.subresource == "status" else "",
            query.get("dryRun") == "All",
            query.get("fieldValidation") or "Warn",
        )


class Handlers:
    """The verbs on one store."""

    def __init__(self, writes: Writes) -> None:
        self._writes, self._store = writes, writes.store

    def find(self, call: Call) -> Obj:
        """The object that the call names. Raises 404."""
        obj = self._store.get(call.resource.key, call.key)
        if obj is None:
            raise not_found(call.resource, call.target.name)
        return call.resource.shown(obj)

    def _one(self, call: Call, obj: Obj, code: int = 200, warnings: list[str] | None = None) -> web.Response:
        obj = call.resource.shown(obj)
        if wants(call.request, "Table"):
            version = {"resourceVersion": meta(obj).get("resourceVersion", "")}
            response = answer(table(call.resource, [obj], version, self._include(call)), code)
        elif wants(call.request, "PartialObjectMetadata"):
            response = answer(partial(obj), code)
        else:
            response = answer(obj, code)
        for warning in warnings or ():
            response.headers.add("Warning", f"299 - {json.dumps(warning)}")
        return response

    @staticmethod
    def _include(call: Call) -> str:
        return call.request.query.get("includeObject", "Metadata")

    def _many(self, call: Call, objects: list[Obj], list_meta: Obj) -> web.Response:
        resource = call.resource
        shown = [resource.shown(obj) for obj in objects]
        if wants(call.request, "Table"):
            return answer(table(resource, shown, list_meta, self._include(call)))
        kind, version = f"{resource.kind}List", resource.group_version
        if wants(call.request, "PartialObjectMetadataList"):
            shown = [partial(obj) for obj in shown]
            kind, version = "PartialObjectMetadataList", "meta.k8s.io/v1"
        return answer({"kind": kind, "apiVersion": version, "metadata": list_meta, "items": shown})

    async def watch(self, call: Call) -> web.StreamResponse:
        """Stream changes."""
        resource, as_table = call.resource, wants(call.request, "Table")
        include = self._include(call)

        def render(obj: Obj) -> Obj:
            obj = resource.shown(obj)
            if as_table:
                return table(resource, [obj], {"resourceVersion": meta(obj)["resourceVersion"]}, include)
            return obj

        selection = Selection(resource, chosen(call.request, call.target, resource), render)
        return await WatchStream(self._store, selection).serve(call.request)

    def collection(self, call: Call) -> web.Response:
        """List, create or delete many."""
        match call.request.method:
            case "GET":
                return self._many(call, *page(self._store, call.request, call.resource, call.target))
            case "POST":
                return self._create(call)
            case "DELETE":
                objects, list_meta = page(self._store, call.request, call.resource, call.target)
                options = DeleteOptions.of(call.resource, call.body, dict(call.request.query))
                for obj in objects:
                    self._writes.delete(call.resource, obj, options)
                return self._many(call, objects, list_meta)
            case _:
                raise method_not_allowed()

    def _create(self, call: Call) -> web.Response:
        body = body_object(call.body)
        namespace = call.target.namespace or (meta(body).get("namespace") or "default")
        writer = call.writer()
        obj = self._writes.create(call.resource, namespace, body, writer)
        return self._one(call, obj, 201, writer.warnings)

    def single(self, call: Call) -> web.Response:
        """Get, replace, patch or delete one."""
        if call.target.subresource == "scale":
            return self._scale(call)
        if call.target.subresource == "eviction":
            return self._evict(call)
        if call.target.subresource not in _ORDINARY_SUBRESOURCES:
            raise method_not_allowed()
        match call.request.method:
            case "GET":
                return self._one(call, self.find(call))
            case "PUT":
                return self._put(call)
            case "PATCH" if call.request.content_type == patch.APPLY:
                return self._apply(call)
            case "PATCH":
                return self._patch(call)
            case "DELETE" if not call.target.subresource:
                return self._delete(call)
            case _:
                raise method_not_allowed()

    def _put(self, call: Call) -> web.Response:
        body = body_object(call.body)
        old = self.find(call)
        require_version(call.resource, body)
        writer = call.writer()
        return self._one(call, self._writes.update(call.resource, old, body, writer), 200, writer.warnings)

    def _apply(self, call: Call) -> web.Response:
        writer = call.writer()
        force = call.request.query.get("force") == "true"
        obj, created = self._writes.apply(call.resource, call.key, body_object(call.body), writer, force=force)
        return self._one(call, obj, 201 if created else 200, writer.warnings)

    def _patched(self, call: Call, obj: Obj) -> Obj:
        kind = call.request.content_type
        allowed = _PATCHES if call.resource.custom else (*_PATCHES, patch.STRATEGIC)
        if kind not in allowed:
            raise unsupported_media(*allowed)
        return patch.patched(obj, call.body, kind, call.resource.types)

    def _patch(self, call: Call) -> web.Response:
        old = self.find(call)
        new = self._patched(call, old)
        sent = call.body.get("metadata") if isinstance(call.body, dict) else None
        if not (isinstance(sent, dict) and sent.get("resourceVersion")):
            new["metadata"].pop("resourceVersion", None)
        writer = call.writer()
        try:
            obj = self._writes.update(call.resource, old, new, writer)
        except UnknownFields as error:
            fault = bad_value("patch", json.dumps(new, separators=(",", ":")), error.strict_message)
            raise invalid(None, "", [fault]) from error
        return self._one(call, obj, 200, writer.warnings)

    def _delete(self, call: Call) -> web.Response:
        resource, old = call.resource, self.find(call)
        options = DeleteOptions.of(resource, call.body, dict(call.request.query))
        obj, gone = self._writes.delete(resource, old, options)
        warnings = [ORPHAN_WARNING] if options.by_default and options.policy == "Orphan" else []
        if not gone:
            return self._one(call, obj, 200, warnings)
        known = meta(obj)
        details = {"name": known["name"], "kind": resource.plural, "uid": known["uid"]}
        if resource.group:
            details["group"] = resource.group
        body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        response = answer(body)
        for warning in warnings:
            response.headers.add("Warning", f"299 - {json.dumps(warning)}")
        return response

    def _scale(self, call: Call) -> web.Response:
        obj = self.find(call)
        scale = scale_of(call.resource, obj)
        if call.request.method == "PUT":
            scale = body_object(call.body)
        elif call.request.method == "PATCH":
            scale = patch.patched(scale, call.body, call.request.content_type, {})
        if call.request.method != "GET":
            obj = self._writes.update(call.resource, obj, scaled(call.resource, obj, scale), call.writer())
        return answer(scale_of(call.resource, obj))

    def _evict(self, call: Call) -> web.Response:
        body = body_object(call.body)
        options = DeleteOptions.of(call.resource, body.get("deleteOptions"), dict(call.request.query))
        self._writes.delete(call.resource, self.find(call), options)
        return answer({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}, 201)
