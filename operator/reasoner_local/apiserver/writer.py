"""Who writes, and the checks of a write's body that come before anything else."""

from dataclasses import dataclass, field
from typing import Any

from .errors import bad_request, bad_value, invalid
from .objects import Obj, meta
from .resources import Resource


@dataclass(frozen=True)
class Writer:
    """Who writes, to which subresource, and how strictly the fields are looked at."""

    manager: str
    subresource: str = ""
    dry_run: bool = False
    # Ignore, Warn or Strict: what becomes of fields that the schema does not know.
    validation: str = "Warn"
    warnings: list[str] = field(default_factory=list)


def require_version(resource: Resource, body: Obj) -> None:
    """A PUT of a custom resource must say which version it replaces."""
    if resource.custom and not meta(body).get("resourceVersion"):
        fault = bad_value("metadata.resourceVersion", 0, "must be specified for an update")
        raise invalid(resource, meta(body).get("name", ""), [fault])


def body_object(body: Any) -> Obj:
    """A request's body as an object with metadata."""
    if not isinstance(body, dict):
        raise bad_request("the request body is not an object")
    if not isinstance(body.setdefault("metadata", {}), dict):
        raise bad_request("the object provided is unrecognized (metadata is not an object)")
    return body
