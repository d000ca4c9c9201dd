"""Who asks, and what they may do: the seam for authentication and authorization.

For now every token is somebody and everybody may do everything; RBAC objects are stored but not evaluated.
"""

from dataclasses import dataclass

from aiohttp import web

from .objects import Obj


@dataclass(frozen=True)
class User:
    """The one who asks."""

    name: str
    groups: tuple[str, ...]


_ADMIN = User("kubernetes-admin", ("system:masters", "system:authenticated"))


class AllowAll:
    """The only policy so far."""

    def user_of(self, request: web.Request) -> User:
        """The user behind a request."""
        del request
        return _ADMIN

    def may(self, user: User, attributes: Obj) -> bool:
        """Whether the user may do what the attributes of an access review describe."""
        del user, attributes
        return True


def review(policy: AllowAll, user: User, kind: str, body: Obj) -> Obj:
    """The answer to a POSTed SelfSubject*Review."""
    spec = body.get("spec") or {}
    if kind == "SelfSubjectAccessReview":
        asked = spec.get("resourceAttributes") or spec.get("nonResourceAttributes") or {}
        return {**body, "status": {"allowed": policy.may(user, asked)}}
    if kind == "SelfSubjectRulesReview":
        every = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
        paths = {"verbs": ["*"], "nonResourceURLs": ["*"]}
        return {**body, "status": {"resourceRules": [every], "nonResourceRules": [paths], "incomplete": False}}
    info = {"username": user.name, "groups": list(user.groups)}
    return {**body, "status": {"userInfo": info}}
