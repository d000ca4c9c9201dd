"""Continue tokens: where the next page of a list begins, and of which state of the objects. Used by `lists`."""

import base64
import binascii
import json
from dataclasses import dataclass

from .errors import bad_request
from .objects import Key

_VERSION = "meta.k8s.io/v1"
#: The revision of a list that goes on though its state is no longer known.
INCONSISTENT = -1


@dataclass(frozen=True)
class Place:
    """What a token stands for: begin after the object `last`, at `revision`."""

    revision: int
    last: Key

    def token(self) -> str:
        """The token, in a real server's form."""
        namespace, name = self.last
        told = {"v": _VERSION, "rv": self.revision, "start": f"{namespace}/{name}\0"}
        return base64.urlsafe_b64encode(json.dumps(told, separators=(",", ":")).encode()).decode().rstrip("=")


def read(token: str) -> Place:
    """The place that a token stands for. Raises 400 where it is none."""
    try:
        told = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (ValueError, binascii.Error) as error:
        raise _not_valid(f": {error}") from error
    if not isinstance(told, dict) or told.get("v") != _VERSION:
        raise _not_valid(": server does not recognize this encoded version")
    revision, start = told.get("rv"), told.get("start")
    if not isinstance(revision, int) or not revision:
        raise _not_valid(f": incorrect encoded start resourceVersion (version {_VERSION})")
    if not isinstance(start, str) or not start:
        raise _not_valid(f": encoded start key empty (version {_VERSION})")
    namespace, _, name = start.removesuffix("\0").rpartition("/")
    return Place(revision, (namespace, name))


def _not_valid(why: str) -> Exception:
    return bad_request(f"invalid continue token: continue key is not valid{why}")
