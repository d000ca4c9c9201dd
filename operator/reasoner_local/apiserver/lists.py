"""Which objects a list, watch or deletecollection request is about, and lists in pages."""

import base64
import binascii
import json

from aiohttp import web

from .errors import ApiError, bad_request
from .objects import Key, Obj, key_of, meta
from .request import Target
from .resources import Resource
from .selectors import Predicate, field_selector, label_selector, required_labels
from .store import Store


def chosen(request: web.Request, target: Target, resource: Resource) -> Predicate:
    """The test for the objects that the request is about."""
    by_label = label_selector(request.query.get("labelSelector"))
    by_field = field_selector(request.query.get("fieldSelector"))
    namespace, name = target.namespace if resource.namespaced else "", target.name

    def matches(obj: Obj) -> bool:
        found = meta(obj)
        if namespace and found.get("namespace") != namespace:
            return False
        return (not name or found["name"] == name) and by_label(obj) and by_field(obj)

    return matches


def _token(revision: int, last: Key) -> str:
    return base64.urlsafe_b64encode(json.dumps([revision, *last]).encode()).decode()


def _start(token: str) -> Key:
    try:
        _, namespace, name = json.loads(base64.urlsafe_b64decode(token))
    except (ValueError, binascii.Error) as error:
        raise bad_request("continue key is not valid") from error
    return namespace, name


def _limit(request: web.Request) -> int:
    text = request.query.get("limit") or "0"
    if not text.isdigit():
        raise ApiError(400, "BadRequest", f"invalid limit {text!r}")
    return int(text)


def page(store: Store, request: web.Request, resource: Resource, target: Target) -> tuple[list[Obj], Obj]:
    """The objects that the request asks for, and the list's metadata with the token of the next page."""
    matches = chosen(request, target, resource)
    labels = required_labels(request.query.get("labelSelector"))
    candidates = store.labelled(resource.key, labels) if labels else store.all(resource.key)
    objects = [obj for obj in candidates if matches(obj)]
    list_meta: Obj = {"resourceVersion": str(store.revision)}
    if token := request.query.get("continue"):
        start = _start(token)
        objects = [obj for obj in objects if key_of(obj) > start]
    limit = _limit(request)
    if limit and limit < len(objects):
        list_meta["continue"] = _token(store.revision, key_of(objects[limit - 1]))
        if not request.query.get("labelSelector") and not request.query.get("fieldSelector"):
            list_meta["remainingItemCount"] = len(objects) - limit
        objects = objects[:limit]
    return objects, list_meta
