"""Errors as the API reports them: a Status object with the wording of a real server. Raised everywhere here."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from .objects import Obj


class Named(Protocol):
    """What an error needs to know of a resource."""

    @property
    def group(self) -> str: ...
    @property
    def plural(self) -> str: ...
    @property
    def kind(self) -> str: ...


@dataclass(frozen=True)
class FieldProblem:
    """One fault in an object: the field's path, the machine's reason and the sentence after the path."""

    field: str
    detail: str
    reason: str = "FieldValueInvalid"

    def __str__(self) -> str:
        return f"{self.field}: {self.detail}"


def _shown(value: Any) -> str:
    # Everything is JSON but a float that is whole, which Go prints without its point.
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def bad_value(field: str, value: Any, why: str) -> FieldProblem:
    """`Invalid value: ...`."""
    return FieldProblem(field or "<nil>", f"Invalid value: {_shown(value)}: {why}")


def required(field: str, why: str = "") -> FieldProblem:
    """`Required value`."""
    return FieldProblem(field, f"Required value: {why}" if why else "Required value", "FieldValueRequired")


def forbidden_field(field: str, why: str) -> FieldProblem:
    """`Forbidden: ...`."""
    return FieldProblem(field, f"Forbidden: {why}", "FieldValueForbidden")


def duplicate(field: str, value: Any) -> FieldProblem:
    """`Duplicate value: ...`."""
    return FieldProblem(field, f"Duplicate value: {_shown(value)}", "FieldValueDuplicate")


def not_supported(field: str, value: Any, allowed: Iterable[Any]) -> FieldProblem:
    """`Unsupported value: ...: supported values: ...`."""
    values = ", ".join(_shown(item) if isinstance(item, str) else f'"{_shown(item)}"' for item in allowed)
    detail = f"Unsupported value: {_shown(value)}: supported values: {values}"
    return FieldProblem(field, detail, "FieldValueNotSupported")


class Question(Protocol):
    """What an error needs to know of a request that nothing grants."""

    @property
    def verb(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def resource(self) -> str: ...
    @property
    def subresource(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def path(self) -> str: ...


_PAGE_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


class ApiError(Exception):
    """An answer other than success. `status()` is the body that the client gets."""

    def __init__(
        self, code: int, reason: str, message: str, details: Obj | None = None, metadata: Obj | None = None
    ) -> None:
        super().__init__(message)
        self.metadata = metadata or {}
        self.code, self.reason, self.message = code, reason, message
        self.details = {key: value for key, value in (details or {}).items() if value not in ("", None, [])}

    def status(self) -> Obj:
        """The Status object."""
        body: Obj = {"kind": "Status", "apiVersion": "v1", "metadata": self.metadata, "status": "Failure"}
        body["message"] = self.message
        if self.reason:
            body["reason"] = self.reason
        if self.details:
            body["details"] = self.details
        return {**body, "code": self.code}


def qualified(resource: Named) -> str:
    """`plural.group`, or the plural alone in the core group."""
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


def _details(resource: Named, name: str, **more: Any) -> Obj:
    return {"name": name, "group": resource.group, "kind": resource.plural, **more}


def not_found(resource: Named, name: str) -> ApiError:
    """404: no such object."""
    return ApiError(404, "NotFound", f'{qualified(resource)} "{name}" not found', _details(resource, name))


def no_such_path() -> ApiError:
    """404: no such resource type, subresource or path."""
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def already_exists(resource: Named, name: str) -> ApiError:
    """409: the name is taken."""
    return ApiError(409, "AlreadyExists", f'{qualified(resource)} "{name}" already exists', _details(resource, name))


STALE = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(resource: Named, name: str, why: str = STALE) -> ApiError:
    """409: the object is not the one that the client thought it was."""
    message = f'Operation cannot be fulfilled on {qualified(resource)} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(resource, name))


def forbidden(resource: Named, name: str, why: str, **more: Any) -> ApiError:
    """403: refused by an admission rule."""
    message = f'{qualified(resource)} "{name}" is forbidden: {why}'
    return ApiError(403, "Forbidden", message, _details(resource, name, **more))


def unauthorized() -> ApiError:
    """401: a token that nobody knows."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def forbidden_request(user: str, asked: Question) -> ApiError:
    """403: nothing grants the request to the user."""
    if asked.path:
        return ApiError(403, "Forbidden", f'forbidden: User "{user}" cannot {asked.verb} path "{asked.path}"')
    plural = f"{asked.resource}.{asked.group}" if asked.group else asked.resource
    what = f'{plural} "{asked.name}"' if asked.name else plural
    resource = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    where = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
    why = f'User "{user}" cannot {asked.verb} resource "{resource}" in API group "{asked.group}" {where}'
    details = {"name": asked.name, "group": asked.group, "kind": asked.resource}
    return ApiError(403, "Forbidden", f"{what} is forbidden: {why}", details)


def bad_request(message: str) -> ApiError:
    """400: the request makes no sense."""
    return ApiError(400, "BadRequest", message)


def unsupported_media(*accepted: str) -> ApiError:
    """415: the body is in a format that the server does not read here."""
    message = "the body of the request was in an unknown format - accepted media types include: "
    return ApiError(415, "UnsupportedMediaType", message + ", ".join(accepted))


def method_not_allowed() -> ApiError:
    """405."""
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def expired(asked: int, oldest: int) -> ApiError:
    """410: a watch from before the retained history."""
    return ApiError(410, "Expired", f"too old resource version: {asked} ({oldest})")


def list_expired(token: str = "") -> ApiError:
    """410: a list of a state from before the retained history; with the token by which its next page can be had as
    things are now."""
    if not token:
        return ApiError(410, "Expired", "The resourceVersion for the provided list is too old.")
    return ApiError(410, "Expired", _PAGE_EXPIRED, metadata={"continue": token})


def not_yet(asked: int, current: int) -> ApiError:
    """504: a revision that has not been reached."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    said = f"Timeout: Too large resource version: {asked}, current: {current}"
    return ApiError(504, "Timeout", said, {"causes": [cause], "retryAfterSeconds": 1})


def invalid(resource: Named | None, name: str, problems: list[FieldProblem]) -> ApiError:
    """422: the object has faults; every one is a cause. `resource` is None for a faulty patch."""
    causes = [{"reason": p.reason, "message": p.detail, "field": p.field} for p in problems]
    texts = list(dict.fromkeys(str(p) for p in problems))
    said = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    kind, group = (resource.kind, resource.group) if resource else ("", "")
    shown = f"{kind}.{group}" if group else kind
    message = f'{shown} "{name}" is invalid: {said}'
    return ApiError(422, "Invalid", message, {"name": name, "group": group, "kind": kind, "causes": causes})
