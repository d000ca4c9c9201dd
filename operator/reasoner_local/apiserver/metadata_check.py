"""The rules that names, labels, annotations, finalizers and owner references of every object must keep."""

import re
from collections.abc import Iterator

from .errors import FieldProblem, bad_value, forbidden_field, required
from .objects import Obj, meta
from .resources import Resource

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_ANNOTATIONS_LIMIT = 256 * 1024

_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_LABEL_1035_RULE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
    "character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation "
    "is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_KEY_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation "
    "is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
# Kinds whose names follow a rule of their own; RBAC names may hold anything that fits in a path.
_LABEL_NAMED = {("", "namespaces")}
_LABEL_1035_NAMED = {("", "services")}
_PATH_GROUPS = {"rbac.authorization.k8s.io"}


def _name_problems(resource: Resource, name: str) -> Iterator[FieldProblem]:
    field = "metadata.name"
    if resource.group in _PATH_GROUPS:
        if "/" in name or "%" in name or name in (".", ".."):
            yield bad_value(field, name, "may not contain '/' or '%'")
        return
    pattern, rule, limit = _SUBDOMAIN, _SUBDOMAIN_RULE, 253
    if resource.key in _LABEL_NAMED:
        pattern, rule, limit = _LABEL, _LABEL_RULE, 63
    elif resource.key in _LABEL_1035_NAMED:
        pattern, rule, limit = _LABEL_1035, _LABEL_1035_RULE, 63
    if len(name) > limit:
        yield bad_value(field, name, f"must be no more than {limit} bytes")
    elif not pattern.fullmatch(name):
        yield bad_value(field, name, rule)


def qualified_name_fault(text: str) -> str:
    """What is wrong with a label key or finalizer, or the empty string."""
    prefix, slash, name = text.rpartition("/")
    if slash and not (_SUBDOMAIN.fullmatch(prefix) and len(prefix) <= 253):
        return f"prefix part {_SUBDOMAIN_RULE}"
    if not name:
        return "name part must be non-empty"
    if len(name) > 63:
        return "name part must be no more than 63 bytes"
    return "" if _QUALIFIED.fullmatch(name) else _KEY_RULE


def label_problems(labels: dict[str, str], field: str) -> Iterator[FieldProblem]:
    """Faults in a map of labels."""
    for key, value in labels.items():
        if fault := qualified_name_fault(key):
            yield bad_value(field, key, fault)
        if len(value) > 63:
            yield bad_value(field, value, "must be no more than 63 bytes")
        elif value and not _QUALIFIED.fullmatch(value):
            yield bad_value(field, value, _VALUE_RULE)


def _annotation_problems(annotations: dict[str, str]) -> Iterator[FieldProblem]:
    field = "metadata.annotations"
    for key in annotations:
        if fault := qualified_name_fault(key.lower()):
            yield bad_value(field, key, fault)
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > _ANNOTATIONS_LIMIT:
        detail = f"Too long: may not be more than {_ANNOTATIONS_LIMIT} bytes"
        yield FieldProblem(field, detail, "FieldValueTooLong")


def _owner_problems(owners: list[Obj]) -> Iterator[FieldProblem]:
    for index, owner in enumerate(owners):
        for name, shown in (("apiVersion", "version"), ("kind", "kind"), ("name", "name"), ("uid", "uid")):
            if not owner.get(name):
                yield bad_value(f"metadata.ownerReferences[{index}].{name}", "", f"{shown} must not be empty")
    if sum(bool(owner.get("controller")) for owner in owners) > 1:
        why = "Only one reference can have Controller set to true"
        yield bad_value("metadata.ownerReferences", owners, why)


def metadata_problems(resource: Resource, obj: Obj) -> Iterator[FieldProblem]:
    """Every fault in an object's metadata."""
    found = meta(obj)
    if not found.get("name"):
        yield required("metadata.name", "name or generateName is required")
    else:
        yield from _name_problems(resource, found["name"])
    yield from label_problems(found.get("labels") or {}, "metadata.labels")
    yield from _annotation_problems(found.get("annotations") or {})
    yield from _owner_problems(found.get("ownerReferences") or [])
    for finalizer in found.get("finalizers") or []:
        if fault := qualified_name_fault(finalizer):
            yield bad_value("metadata.finalizers", finalizer, fault)


def metadata_change_problems(old: Obj, new: Obj) -> Iterator[FieldProblem]:
    """What an update of metadata may not do: add a finalizer to an object that is being deleted."""
    if meta(old).get("deletionTimestamp"):
        before = set(meta(old).get("finalizers") or [])
        added = [name for name in meta(new).get("finalizers") or [] if name not in before]
        if added:
            why = f"no new finalizers can be added if the object is being deleted, found new finalizers {added}"
            yield forbidden_field("metadata.finalizers", why.replace("'", '"'))
