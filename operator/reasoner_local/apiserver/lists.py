"""Which objects a list, watch or deletecollection request is about, and lists in pages."""

from aiohttp import web

from .continue_token import INCONSISTENT, Place
from .errors import list_expired
from .field_labels import field_labels
from .list_options import ListOptions, list_options
from .objects import Obj, key_of, meta
from .request import Target
from .resources import Resource
from .selectors import Predicate, field_selector, label_selector, required_labels
from .store import Store


def chosen(request: web.Request, target: Target, resource: Resource) -> Predicate:
    """The test for the objects that the request is about."""
    by_label = label_selector(request.query.get("labelSelector"))
    by_field = field_selector(request.query.get("fieldSelector"), field_labels(resource))
    namespace, name = target.namespace if resource.namespaced else "", target.name

    def matches(obj: Obj) -> bool:
        found = meta(obj)
        if namespace and found.get("namespace") != namespace:
            return False
        return (not name or found["name"] == name) and by_label(obj) and by_field(obj)

    return matches


def page(store: Store, request: web.Request, resource: Resource, target: Target) -> tuple[list[Obj], Obj]:
    """The objects that the request asks for, and the list's metadata with the token of the next page. All pages show
    the state that the first one showed."""
    asked = list_options(request.query, store.revision)
    matches = chosen(request, target, resource)
    objects = [obj for obj in _candidates(store, request, resource, asked) if matches(obj)]
    revision = store.revision if asked.version is None else asked.version
    list_meta: Obj = {"resourceVersion": str(revision)}
    if asked.start is not None:
        last = asked.start.last
        objects = [obj for obj in objects if key_of(obj) > last]
    if asked.limit and asked.limit < len(objects):
        list_meta["continue"] = Place(revision, key_of(objects[asked.limit - 1])).token()
        if not request.query.get("labelSelector") and not request.query.get("fieldSelector"):
            list_meta["remainingItemCount"] = len(objects) - asked.limit
        objects = objects[: asked.limit]
    return objects, list_meta


def _candidates(store: Store, request: web.Request, resource: Resource, asked: ListOptions) -> list[Obj]:
    """Objects among which are those asked for, in order, of the state that is asked for."""
    if asked.version is None:
        labels = required_labels(request.query.get("labelSelector"))
        return store.labelled(resource.key, labels) if labels else store.all(resource.key)
    if asked.version < store.oldest(resource.key):
        raise list_expired(Place(INCONSISTENT, asked.start.last).token() if asked.start else "")
    return store.at(resource.key, asked.version)
