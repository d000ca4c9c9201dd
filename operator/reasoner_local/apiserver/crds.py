"""The life of CustomResourceDefinitions: types come and go with them, and their status says so.

A listener of the store: whoever creates, changes or deletes a CRD changes what is served, at once.
"""

from .deletion import CRDS
from .field_types import OBJECT_META
from .objects import Obj, clone, is_terminating, meta, now
from .resources import CustomVersion, Registry, Resource
from .schema_fields import with_metadata
from .store import Event, Store


def default_crd(obj: Obj) -> None:
    """Fill in what a CRD leaves open."""
    spec = obj.setdefault("spec", {})
    names = spec.setdefault("names", {})
    kind = names.get("kind", "")
    names.setdefault("singular", kind.lower())
    names.setdefault("listKind", kind + "List")
    spec.setdefault("conversion", {"strategy": "None"})


def resources_of(crd: Obj) -> list[Resource]:
    """The resource types that a CRD defines, one a served version, newest first."""
    spec = crd["spec"]
    names = spec["names"]
    made = []
    for version in spec["versions"]:
        if not version.get("served"):
            continue
        schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
        parts = version.get("subresources") or {}
        made.append(
            Resource(
                spec["group"],
                version["name"],
                names["plural"],
                names["kind"],
                namespaced=spec.get("scope") == "Namespaced",
                short_names=tuple(names.get("shortNames") or ()),
                subresources=frozenset(parts),
                singular=names.get("singular") or names["kind"].lower(),
                categories=tuple(names.get("categories") or ()),
                types=with_metadata(schema, OBJECT_META),
                custom=CustomVersion(
                    meta(crd)["name"],
                    schema,
                    tuple(version.get("additionalPrinterColumns") or ()),
                    tuple(field["jsonPath"] for field in version.get("selectableFields") or ()),
                    parts.get("scale"),
                ),
            )
        )
    return made


def _condition(kind: str, reason: str, message: str, status: str = "True") -> Obj:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": now(),
    }


def established_status(crd: Obj) -> Obj:
    """The status of a CRD whose types are served."""
    stored = [version["name"] for version in crd["spec"]["versions"] if version.get("storage")]
    before = (crd.get("status") or {}).get("storedVersions") or []
    return {
        "acceptedNames": clone(crd["spec"]["names"]),
        "storedVersions": list(dict.fromkeys([*before, *stored])),
        "conditions": [
            _condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            _condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
    }


class CrdController:
    """Keeps the registry in step with the CRDs in the store."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store, self._registry = store, registry
        store.listeners.append(self.on_event)

    def on_event(self, event: Event) -> None:
        """React to a change of a CRD."""
        if event.key != CRDS:
            return
        crd = event.new
        key = (crd["spec"]["group"], crd["spec"]["names"]["plural"])
        if event.type == "DELETED":
            self._registry.remove(key)
            return
        if event.old is None or event.old["spec"] != crd["spec"]:
            self._registry.remove(key)
            for resource in resources_of(crd):
                self._registry.add(resource)
        if not (crd.get("status") or {}).get("conditions") and not is_terminating(crd):
            self._store.put(CRDS, {**crd, "status": established_status(crd)})
