"""managedFields of plain writes: what a create, an update or a patch makes its own. Used by `writes` and `apply`."""

import json
from dataclasses import dataclass

from .field_sets import Path, changed_paths, decode, differing, encode, entry_of, is_owned_by
from .field_types import Schema
from .objects import Obj, meta


@dataclass(frozen=True)
class Author:
    """Who writes, to which part of the object, in which version; `force` takes fields from other managers."""

    manager: str
    subresource: str
    api_version: str
    force: bool = False


def encoded(entry: Obj, paths: set[Path]) -> Obj:
    """The FieldsV1 of `paths`; the entry's own when nothing was taken from it."""
    return entry["fieldsV1"] if decode(entry["fieldsV1"]) == paths else encode(paths)


def track_update(old: Obj | None, new: Obj, schema: Schema, writer: Author) -> None:
    """Note in `new` that `writer` made the difference to `old` by a plain write (create, update or patch)."""
    before, after = differing(old or {}, new, schema)
    changed = changed_paths(before, after)
    gone = before.keys() - after.keys()
    entries, mine = [], set[Path]()
    for entry in (meta(old).get("managedFields") if old else None) or []:
        own = is_owned_by(entry, writer.manager, "Update", writer.subresource)
        if not own and not changed and not gone:
            entries.append(entry)
            continue
        paths = decode(entry["fieldsV1"])
        left = paths - gone if own else paths - gone - changed
        if own:
            mine = left
        elif left:
            entries.append({**entry, "fieldsV1": encoded(entry, left)})
    if mine | changed:
        entries.append(entry_of(writer.manager, "Update", writer.subresource, writer.api_version, mine | changed))
    new["metadata"]["managedFields"] = entries


def same_intent(first: Obj, second: Obj) -> bool:
    """Whether two objects differ in nothing but resourceVersion and the times in managedFields."""

    unwatched = {"resourceVersion": None, "managedFields": None}
    bare = [{**obj, "metadata": {**meta(obj), **unwatched}} for obj in (first, second)]
    if bare[0] != bare[1]:
        # Told without writing whole objects out, as most writes do change something.
        return False

    def essence(obj: Obj) -> str:
        entries = [{**entry, "time": ""} for entry in meta(obj).get("managedFields") or []]
        bare = {**meta(obj), "resourceVersion": "", "managedFields": sorted(entries, key=json.dumps)}
        return json.dumps({**obj, "metadata": bare}, sort_keys=True)

    return essence(first) == essence(second)
