"""Who asks, and what they may do: authentication by bearer token, authorization by RBAC. Called by `app` for every
request, and by `reviews` for what clients ask about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from aiohttp import web

from .errors import forbidden_request, unauthorized
from .rbac import Asked, Rbac
from .request import Target, flag
from .store import Store
from .tokens import AUTHENTICATED, MASTERS, Tokens, User, account_user

ADMIN = User("kubernetes-admin", (MASTERS, AUTHENTICATED))
ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_BEARER = "Bearer "


class Access(Protocol):
    """A way to decide."""

    def user_of(self, request: web.Request) -> User:
        """The user behind a request. Raises 401, and 403 where it would be somebody else without the right to."""

    def allowed_by(self, user: User, asked: Asked) -> str | None:
        """What grants it; None where nothing does."""


class AlwaysAllow:
    """Everybody is the administrator, as behind `kubectl proxy`."""

    def user_of(self, request: web.Request) -> User:
        """The administrator."""
        del request
        return ADMIN

    def allowed_by(self, user: User, asked: Asked) -> str | None:
        """Nobody needs a grant."""
        del user, asked
        return ""


class Authorized:
    """Bearer tokens and RBAC. `admin` is the administrator's token."""

    def __init__(self, store: Store, tokens: Tokens, admin: str) -> None:
        self._tokens, self._rbac, self._admin = tokens, Rbac(store), admin

    def user_of(self, request: web.Request) -> User:
        """Who sent the token, or whom they impersonate."""
        user = self._sender(request.headers.get("Authorization", ""))
        name = request.headers.get("Impersonate-User")
        if name is None:
            return user
        wanted = _impersonated(name, request.headers.getall("Impersonate-Group", []))
        for asked in _impersonations(name, request.headers.getall("Impersonate-Group", [])):
            require(self, user, asked)
        return wanted

    def _sender(self, authorization: str) -> User:
        if not authorization:
            return ANONYMOUS
        token = authorization.removeprefix(_BEARER)
        if token == self._admin:
            return ADMIN
        user = self._tokens.user_of(token)
        if user is None:
            raise unauthorized()
        return user

    def allowed_by(self, user: User, asked: Asked) -> str | None:
        """The binding that grants it."""
        return self._rbac.allowed_by(user, asked)

    def rules(self, user: User, namespace: str) -> list[Mapping[str, list[str]]]:
        """All rules that count for a user in a namespace."""
        return [grant.rule for grant in self._rbac.grants(user, namespace)]


def require(access: Access, user: User, asked: Asked) -> None:
    """Raise 403 unless the user may."""
    if access.allowed_by(user, asked) is None:
        raise forbidden_request(user.name, asked)


def asked_of(request: web.Request, target: Target | None) -> Asked:
    """What a request asks for, in the terms of an access review."""
    verb = _VERBS.get(request.method, request.method.lower())
    if target is None:
        return Asked(verb, path=request.path)
    name = target.name
    if not name and request.method == "GET":
        verb = "watch" if flag(request, "watch") else "list"
        # Whoever may see one object by name may list and watch it by a field selector.
        name = _selected_name(request.query.get("fieldSelector", ""))
    elif not name and request.method == "DELETE":
        verb = "deletecollection"
    namespace = target.namespace
    if (target.group, target.plural) == ("", "namespaces"):
        namespace = target.name
    return Asked(verb, target.group, target.plural, target.subresource, namespace, name, version=target.version)


def creating(asked: Asked) -> Asked:
    """What an apply asks for beside the patch where the object is not there yet."""
    return replace(asked, verb="create")


def _selected_name(selector: str) -> str:
    terms = (term.replace("==", "=").partition("=") for term in selector.split(","))
    return next((value for key, _, value in terms if key == "metadata.name"), "")


def _impersonated(name: str, groups: list[str]) -> User:
    account = name.removeprefix("system:serviceaccount:").split(":")
    if name.startswith("system:serviceaccount:") and len(account) == 2:
        return account_user(account[0], account[1])
    return User(name, (*groups, AUTHENTICATED))


def _impersonations(name: str, groups: list[str]) -> list[Asked]:
    asked = [Asked("impersonate", resource="groups", name=group) for group in groups]
    account = name.removeprefix("system:serviceaccount:").split(":")
    if name.startswith("system:serviceaccount:") and len(account) == 2:
        return [*asked, Asked("impersonate", resource="serviceaccounts", namespace=account[0], name=account[1])]
    return [*asked, Asked("impersonate", resource="users", name=name)]
