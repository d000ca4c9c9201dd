"""Kinds that are asked and not kept: may I, may they, who am I, whose token is this. Called by `app`."""

from __future__ import annotations

from .access import Access, Authorized
from .objects import Obj
from .rbac import Asked
from .tokens import Tokens, User

_EVERY = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
_EVERY_PATH = {"verbs": ["*"], "nonResourceURLs": ["*"]}


def review(access: Access, tokens: Tokens, user: User, body: Obj) -> Obj:
    """The answer to a posted review, by its kind."""
    spec = body.get("spec") or {}
    match body["kind"]:
        case "SelfSubjectAccessReview":
            status = _allowed(access, user, spec)
        case "SubjectAccessReview":
            status = _allowed(access, User(spec.get("user") or "", tuple(spec.get("groups") or ())), spec)
        case "SelfSubjectRulesReview":
            status = _rules(access, user, spec.get("namespace") or "")
        case "TokenReview":
            found = tokens.user_of(spec.get("token") or "")
            status = {"authenticated": False} if found is None else {"authenticated": True, "user": _info(found)}
        case _:
            status = {"userInfo": _info(user)}
    return {**body, "status": status}


def _allowed(access: Access, user: User, spec: Obj) -> Obj:
    why = access.allowed_by(user, Asked.of(spec))
    if why is None:
        return {"allowed": False}
    return {"allowed": True, "reason": why} if why else {"allowed": True}


def _rules(access: Access, user: User, namespace: str) -> Obj:
    rules = access.rules(user, namespace) if isinstance(access, Authorized) else [_EVERY, _EVERY_PATH]
    return {
        "resourceRules": [rule for rule in rules if "resources" in rule],
        "nonResourceRules": [rule for rule in rules if "nonResourceURLs" in rule],
        "incomplete": False,
    }


def _info(user: User) -> Obj:
    return {"username": user.name, "groups": list(user.groups)}
