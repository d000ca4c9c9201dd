"""What the API server answers -> JSON, or the error that says whether trying again helps. Used by `transport`,
`cluster` and everyone who catches its errors; pure."""

from __future__ import annotations

import json
from typing import Any

#: Refusals that pass by themselves: an expired token, a namespace that is just being made, a lost race, a limit.
PASSING = {401, 404, 408, 409, 410, 429}
#: What server-side apply says, with status 500, of a manifest that does not fit the schema.
MALFORMED = "failed to create typed patch object"


class ApiError(Exception):
    """The API server did not do what was asked."""


class Refused(ApiError):
    """The API server refuses what was asked, and will again until somebody acts."""


class Unavailable(ApiError):
    """The API server could not be reached, was busy, or lost a race: worth trying again."""


class Conflict(Unavailable):
    """Somebody else was first (409): what was read before is no longer so."""


def checked(status: int, body: bytes) -> Any:
    """The answer's JSON.

    Raises:
        Refused, Unavailable, Conflict: the answer is an error.
    """
    if status < 300:
        return json.loads(body)
    try:
        message = str(json.loads(body).get("message", ""))
    except (ValueError, AttributeError):
        message = body[:200].decode(errors="replace")
    if (400 <= status < 500 and status not in PASSING) or message.startswith(MALFORMED):
        raise Refused(message)
    kind = Conflict if status == 409 else Unavailable
    raise kind(f"{status}: {message}")
