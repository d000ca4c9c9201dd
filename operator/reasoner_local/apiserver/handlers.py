"""Requests for stored objects, by verb. Called by `app` with the resource type, the target and the decoded body."""

import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from . import patch
from .admission import UnknownFields
from .answers import form_of, many, one, warn
from .deletion import ORPHAN_WARNING, DeleteOptions
from .encoding import answer
from .errors import bad_value, invalid, method_not_allowed, not_found, unsupported_media
from .eviction import evict
from .lists import chosen, page
from .objects import Obj, meta
from .request import Target, manager_of
from .resources import Resource
from .scale import scale_of, scaled
from .watch import Selection, WatchStream
from .writer import Writer, body_object, require_version
from .writes import Writes

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
        if applies(self.request):
            manager = query.get("fieldManager", "")
        return Writer(
            manager,
            "status" if self.target.subresource == "status" else "",
            query.get("dryRun") == "All",
            query.get("fieldValidation") or "Warn",
        )


def applies(request: web.Request) -> bool:
    """Whether a request is a server-side apply."""
    return request.method == "PATCH" and request.content_type == patch.APPLY


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

    async def watch(self, call: Call) -> web.StreamResponse:
        """Stream changes."""
        matches = chosen(call.request, call.target, call.resource)
        selection = Selection(call.resource, matches, form_of(call.request, call.resource))
        return await WatchStream(self._store, selection).serve(call.request)

    def collection(self, call: Call) -> web.Response:
        """List, create or delete many."""
        match call.request.method:
            case "GET":
                return many(call.request, call.resource, *page(self._store, call.request, call.resource, call.target))
            case "POST":
                return self._create(call)
            case "DELETE":
                objects, list_meta = page(self._store, call.request, call.resource, call.target)
                options = DeleteOptions.of(call.resource, call.body, dict(call.request.query))
                for obj in objects:
                    self._writes.delete(call.resource, obj, options)
                return many(call.request, call.resource, objects, list_meta)
            case _:
                raise method_not_allowed()

    def _create(self, call: Call) -> web.Response:
        body = body_object(call.body)
        namespace = call.target.namespace or (meta(body).get("namespace") or "default")
        writer = call.writer()
        obj = self._writes.create(call.resource, namespace, body, writer)
        return one(call.request, call.resource, obj, 201, writer.warnings)

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
                return one(call.request, call.resource, self.find(call))
            case "PUT":
                return self._put(call)
            case "PATCH" if applies(call.request):
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
        return one(
            call.request, call.resource, self._writes.update(call.resource, old, body, writer), 200, writer.warnings
        )

    def _apply(self, call: Call) -> web.Response:
        writer = call.writer()
        force = call.request.query.get("force") == "true"
        obj, created = self._writes.apply(call.resource, call.key, body_object(call.body), writer, force=force)
        return one(call.request, call.resource, obj, 201 if created else 200, writer.warnings)

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
        return one(call.request, call.resource, obj, 200, writer.warnings)

    def _delete(self, call: Call) -> web.Response:
        resource, old = call.resource, self.find(call)
        options = DeleteOptions.of(resource, call.body, dict(call.request.query))
        obj, gone = self._writes.delete(resource, old, options)
        warnings = [ORPHAN_WARNING] if options.by_default and options.policy == "Orphan" else []
        if not gone:
            return one(call.request, call.resource, obj, 200, warnings)
        known = meta(obj)
        details = {"name": known["name"], "kind": resource.plural, "uid": known["uid"]}
        if resource.group:
            details["group"] = resource.group
        body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        return warn(answer(body), warnings)

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
        evict(self._writes, call.resource, self.find(call), options)
        return answer({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}, 201)
