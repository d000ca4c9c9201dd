"""Create, update, apply and delete: everything that changes an object goes through `Writes`.

Called by the HTTP handlers with a parsed body and by the garbage collector. A call never awaits, so it is atomic.
"""

import uuid

from . import deletion
from .admission import admit_fields, fill_in, problems_of
from .apply import apply, first_apply, intent_of
from .errors import (
    already_exists,
    bad_request,
    conflict,
    forbidden,
    invalid,
    not_found,
)
from .kinds import KINDS, PLAIN
from .managed_fields import Author, same_intent, track_update
from .objects import Obj, clone, is_terminating, meta, name_suffix, now
from .resources import Registry, Resource
from .store import Store
from .writer import Writer

# What the server alone sets; an update takes it from the object as it is.
_SYSTEM_META = (
    "name",
    "generateName",
    "namespace",
    "uid",
    "creationTimestamp",
    "generation",
    "resourceVersion",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)


class Writes:
    """The write operations on one store."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self.store = store
        self.registry = registry

    def create(self, resource: Resource, namespace: str, body: Obj, writer: Writer) -> Obj:
        """Add an object. Raises 4xx for a taken name, a missing namespace or a faulty object."""
        obj = admit_fields(resource, body, writer.validation, writer.warnings)
        return self._create(resource, namespace, obj, writer, None)

    def _create(self, resource: Resource, namespace: str, obj: Obj, writer: Writer, applier: Author | None) -> Obj:
        intent = None if applier is None else clone(obj)
        found = obj["metadata"]
        self._place(resource, namespace, found)
        if not found.get("name") and found.get("generateName"):
            found["name"] = found["generateName"] + name_suffix()
        name = found.get("name", "")
        if self.store.get(resource.key, (found.get("namespace", ""), name)):
            raise already_exists(resource, name)
        if resource.has_status:
            obj.pop("status", None)
        for key in ("deletionTimestamp", "deletionGracePeriodSeconds", "managedFields", "selfLink", "resourceVersion"):
            found.pop(key, None)
        kind = KINDS.get(resource.key, PLAIN)
        found.update(uid=str(uuid.uuid4()), creationTimestamp=now())
        if resource.custom or kind.has_generation:
            found["generation"] = 1
        fill_in(resource, obj)
        faults = list(problems_of(resource, obj, None))
        if faults:
            raise invalid(resource, name, faults)
        kind.on_create(obj)
        if applier is None or intent is None:
            author = Author(writer.manager, writer.subresource, resource.group_version)
            track_update(None, obj, resource.types, author)
        else:
            found["managedFields"] = first_apply(intent, resource.types, applier)
        return obj if writer.dry_run else self.store.put(resource.key, obj)

    def _place(self, resource: Resource, namespace: str, found: Obj) -> None:
        if not resource.namespaced:
            found.pop("namespace", None)
            return
        if found.setdefault("namespace", namespace) != namespace:
            raise bad_request(
                f"the namespace of the provided object does not match the namespace sent on the request "
                f"({found['namespace']} != {namespace})"
            )
        place = self.store.get(deletion.NAMESPACES, ("", namespace))
        if place is None:
            raise not_found(self.registry.stored(deletion.NAMESPACES), namespace)
        if is_terminating(place):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            cause = {"reason": "NamespaceTerminating", "field": "metadata.namespace", "message": why}
            raise forbidden(resource, found.get("name", ""), why, causes=[cause])

    def update(self, resource: Resource, old: Obj, body: Obj, writer: Writer) -> Obj:
        """Replace an object, or its status. Raises 409 when `body` was made from another version of it."""
        self._check_identity(resource, old, body)
        new = admit_fields(resource, body, writer.validation, writer.warnings)
        return self._replace(resource, old, self._combined(resource, old, new, writer), writer, tracked=False)

    def _check_identity(self, resource: Resource, old: Obj, new: Obj) -> None:
        sent, known = meta(new), meta(old)
        name = known["name"]
        if sent.get("name", name) != name:
            raise bad_request(f"the name of the object ({sent['name']}) does not match the name on the URL ({name})")
        if sent.get("namespace", known.get("namespace")) != known.get("namespace"):
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        if sent.get("uid") not in (None, "", known["uid"]):
            why = f"Precondition failed: UID in precondition: {sent['uid']}, UID in object meta: {known['uid']}"
            raise conflict(resource, name, why)
        if sent.get("resourceVersion") not in (None, "", known["resourceVersion"]):
            raise conflict(resource, name)

    def _combined(self, resource: Resource, old: Obj, new: Obj, writer: Writer) -> Obj:
        """The parts of `new` that this writer may write, the rest from `old`."""
        if writer.subresource == "status":
            kept: Obj = clone({key: value for key, value in old.items() if key != "status"})
            return kept | {key: value for key, value in new.items() if key == "status"}
        if resource.has_status:
            new.pop("status", None)
            if "status" in old:
                new["status"] = clone(old["status"])
        system = {key: meta(old)[key] for key in _SYSTEM_META if key in meta(old)}
        sent = {key: value for key, value in new["metadata"].items() if key not in (*_SYSTEM_META, "selfLink")}
        new["metadata"] = {**sent, **system}
        return new

    def _replace(self, resource: Resource, old: Obj, new: Obj, writer: Writer, *, tracked: bool) -> Obj:
        fill_in(resource, new)
        faults = list(problems_of(resource, new, old))
        if faults:
            raise invalid(resource, meta(old)["name"], faults)
        kind = KINDS.get(resource.key, PLAIN)
        if resource.custom:
            apart = {"metadata", "status"} if resource.has_status else {"metadata"}
            changed = any(new.get(key) != old.get(key) for key in (new.keys() | old.keys()) - apart)
        else:
            changed = kind.has_generation and new.get("spec") != old.get("spec")
        if changed:
            new["metadata"]["generation"] = meta(old).get("generation", 0) + 1
        if not tracked:
            author = Author(writer.manager, writer.subresource, resource.group_version)
            track_update(old, new, resource.types, author)
        if same_intent(old, new):
            return old
        if writer.dry_run:
            return new
        if deletion.may_go(new):
            return self.store.remove(resource.key, new)
        return self.store.put(resource.key, new)

    def apply(
        self, resource: Resource, key: tuple[str, str], body: Obj, writer: Writer, *, force: bool
    ) -> tuple[Obj, bool]:
        """Server-side apply. Returns the object and whether the apply made it."""
        if not writer.manager:
            raise bad_request("fieldManager: Required value: is required for apply patch")
        intent = intent_of(body, key[1], writer.subresource, has_status=resource.has_status)
        strict = "Ignore" if writer.validation == "Ignore" else "Apply"
        intent = admit_fields(resource, intent, strict, writer.warnings)
        author = Author(writer.manager, writer.subresource, resource.group_version, force)
        live = self.store.get(resource.key, key)
        if live is None:
            if writer.subresource or meta(intent).get("uid"):
                raise not_found(resource, key[1])
            return self._create(resource, key[0], intent, writer, author), True
        self._check_identity(resource, live, intent)
        merged = apply(live, intent, resource.types, author)
        written = {"status": merged["status"]} if writer.subresource and "status" in merged else merged
        combined = self._combined(resource, live, clone(written), writer)
        combined["metadata"]["managedFields"] = merged["metadata"]["managedFields"]
        return self._replace(resource, live, combined, writer, tracked=True), False

    def delete(self, resource: Resource, obj: Obj, options: deletion.DeleteOptions) -> tuple[Obj, bool]:
        """Delete an object, or begin to. Returns its state and whether it is gone."""
        deletion.check_preconditions(resource, obj, options)
        if options.dry_run:
            return obj, False
        if options.policy == "Orphan":
            self._orphan(obj)
        marked = deletion.marked(resource, obj, options, has_dependents=bool(self.store.owned_by(meta(obj)["uid"])))
        if deletion.may_go(marked):
            return self.store.remove(resource.key, marked), True
        if marked == obj:
            return obj, False
        return self.store.put(resource.key, marked), False

    def _orphan(self, owner: Obj) -> None:
        for key, dependent in self.store.owned_by(meta(owner)["uid"]):
            self.drop_owners(self.registry.stored(key), dependent, {meta(owner)["uid"]})

    def drop_owners(self, resource: Resource, obj: Obj, uids: set[str]) -> None:
        """Take the owner references to these uids out of an object."""
        left = [ref for ref in meta(obj).get("ownerReferences") or [] if ref["uid"] not in uids]
        changed = {**obj, "metadata": {**meta(obj), "ownerReferences": left}}
        self.store.put(resource.key, changed)

    def drop_finalizer(self, resource: Resource, obj: Obj, finalizer: str) -> None:
        """Take a finalizer out of an object, which is gone when it was the last thing that kept it."""
        left = [name for name in meta(obj).get("finalizers") or [] if name != finalizer]
        changed: Obj = {**obj, "metadata": {**meta(obj), "finalizers": left}}
        if deletion.may_go(changed):
            self.store.remove(resource.key, changed)
        else:
            self.store.put(resource.key, changed)
