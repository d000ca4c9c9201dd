"""Users, and the tokens that the TokenRequest API gives to service accounts. Used by `access` and `app`."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

from .errors import bad_value, invalid
from .objects import Obj, dig, meta, now
from .resources import Resource
from .store import Store

AUTHENTICATED = "system:authenticated"
MASTERS = "system:masters"
_HOUR = 3600
#: Seconds that a token lives at least, and unless the request says otherwise.
_SHORTEST, _USUAL = 600, _HOUR


@dataclass(frozen=True)
class User:
    """The one who asks."""

    name: str
    groups: tuple[str, ...]


@dataclass(frozen=True)
class _Issued:
    namespace: str
    name: str
    uid: str
    expires: float


def account_user(namespace: str, name: str) -> User:
    """A service account as a user."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return User(f"system:serviceaccount:{namespace}:{name}", groups)


class Tokens:
    """Tokens given out since the server started."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._issued: dict[str, _Issued] = {}

    def user_of(self, token: str) -> User | None:
        """Whose token it is, while it has not expired and its account is still the same."""
        known = self._issued.get(token)
        if known is None or known.expires < time.time():
            return None
        account = self._store.get(("", "serviceaccounts"), (known.namespace, known.name))
        if account is None or meta(account)["uid"] != known.uid:
            return None
        return account_user(known.namespace, known.name)

    def request(self, resource: Resource, account: Obj, body: Obj) -> Obj:
        """The answer to a TokenRequest for an account. Raises 422 for a life that is too short."""
        seconds = dig(body, "spec", "expirationSeconds") or _USUAL
        found = meta(account)
        if seconds < _SHORTEST:
            why = "may not specify a duration less than 10 minutes"
            raise invalid(resource, found["name"], [bad_value("spec.expirationSeconds", seconds, why)])
        token = secrets.token_urlsafe(32)
        self._issued[token] = _Issued(found["namespace"], found["name"], found["uid"], time.time() + seconds)
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": found["name"], "namespace": found["namespace"], "creationTimestamp": now()},
            "spec": {**(body.get("spec") or {}), "expirationSeconds": seconds},
            "status": {"token": token, "expirationTimestamp": now(seconds)},
        }
