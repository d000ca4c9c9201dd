"""What happens to an object between the request and the store: unknown fields, defaults, validation.

Custom resources go by their CRD's schema, built-in kinds by their types and `kinds`. Called by `writes`.
"""

from collections.abc import Iterator

from .cel_rules import object_rule_problems
from .crd_check import crd_problems
from .deletion import CRDS
from .errors import ApiError, FieldProblem, bad_request, bad_value
from .field_types import OBJECT_META
from .kinds import KINDS, PLAIN
from .metadata_check import metadata_change_problems, metadata_problems
from .objects import Obj, meta, without_nulls
from .resources import CustomVersion, Resource
from .schema_check import MISSING, schema_problems
from .schema_fields import fill_defaults, misfits, prune

# Faults after which a real server does not go on to the CEL rules.
_BLOCKING = {
    "FieldValueNotSupported",
    "FieldValueRequired",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldValueTypeInvalid",
}
_NOT_CHECKED = (
    "some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)


class UnknownFields(ApiError):
    """400: fields that the schema does not know, under strict validation."""

    def __init__(self, resource: Resource, paths: list[str]) -> None:
        said = ", ".join(f'unknown field "{path}"' for path in paths)
        self.strict_message = f"strict decoding error: {said}"
        fault = _cannot_handle(resource, self.strict_message)
        super().__init__(fault.code, fault.reason, fault.message)


def _cannot_handle(resource: Resource, why: str) -> ApiError:
    kind, version = resource.kind, resource.version
    return bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {why}')


def admit_fields(resource: Resource, body: Obj, validation: str, warnings: list[str]) -> Obj:
    """The body as an object of this type: version and kind checked, unknown fields pruned.

    Unknown fields are an error (`Strict`; `Apply`, in the words of server-side apply), a warning (`Warn`), or
    dropped silently (`Ignore`).
    """
    for key, wanted in (("apiVersion", resource.group_version), ("kind", resource.kind)):
        if body.setdefault(key, wanted) != wanted:
            sent = f"{body['apiVersion']}, Kind={body.get('kind', resource.kind)}"
            raise bad_request(
                f"the API version in the data ({sent}) does not match the expected API version "
                f"({resource.group_version}, Kind={resource.kind})"
            )
    body["metadata"] = without_nulls(meta(body))
    if resource.custom is None:
        body = without_nulls(body)
        wrong = next(misfits(body, resource.types), None)
    else:
        wrong = next(misfits(body["metadata"], OBJECT_META, "metadata"), None)
    if wrong is not None:
        raise _cannot_handle(resource, wrong)
    unknown = list(prune(body, resource.types))
    if unknown and validation == "Strict":
        raise UnknownFields(resource, unknown)
    if unknown and validation == "Apply":
        place = f"{meta(body).get('namespace', '')}/{meta(body).get('name', '')}"
        said = f"failed to create typed patch object ({place}; {resource.group_version}, Kind={resource.kind}): "
        raise ApiError(500, "", said + f".{unknown[0]}: field not declared in schema")
    if validation != "Ignore":
        warnings += [f'unknown field "{path}"' for path in unknown]
    return body


def fill_in(resource: Resource, obj: Obj) -> None:
    """Set the defaults, in place."""
    if resource.custom is not None:
        fill_defaults(obj, resource.custom.schema)
    KINDS.get(resource.key, PLAIN).default(obj)


def problems_of(resource: Resource, new: Obj, old: Obj | None) -> Iterator[FieldProblem]:
    """Every fault of an object that is to be stored in the place of `old`."""
    yield from metadata_problems(resource, new)
    if old is not None:
        yield from metadata_change_problems(old, new)
    if resource.custom is not None:
        yield from _custom_problems(resource.custom, new, old)
        return
    kind = KINDS.get(resource.key, PLAIN)
    if resource.key == CRDS:
        yield from crd_problems(new, old)
    if old is None:
        yield from kind.problems(new)
    else:
        yield from kind.change_problems(old, new)


def _custom_problems(custom: CustomVersion, new: Obj, old: Obj | None) -> Iterator[FieldProblem]:
    before = MISSING if old is None else old
    faults = list(schema_problems(new, custom.schema, "", before))
    yield from faults
    if custom.rules is None:
        return
    if any(fault.reason in _BLOCKING for fault in faults):
        yield bad_value("<nil>", None, _NOT_CHECKED)
    else:
        yield from object_rule_problems(new, custom.rules, before)
