"""Role-based access control: which binding grants a request, if any. Used by `access`.

Roles and bindings are read from the store as they are; what each user has been found to be granted is remembered
until one of them changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .objects import Obj, dig, labels_of, meta
from .store import Event, Store
from .tokens import MASTERS, User

GROUP = "rbac.authorization.k8s.io"
Rule = Mapping[str, list[str]]


@dataclass(frozen=True)
class Asked:
    """One thing that somebody may or may not do: to a resource, or to a `path` that is none."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    version: str = ""

    @classmethod
    def of(cls, spec: Obj) -> Asked:
        """From the spec of an access review."""
        if found := spec.get("nonResourceAttributes"):
            return cls(found.get("verb", ""), path=found.get("path", ""))
        found = spec.get("resourceAttributes") or {}
        names = ("verb", "group", "resource", "subresource", "namespace", "name", "version")
        return cls(**{name: found.get(name) or "" for name in names})


@dataclass(frozen=True)
class Grant:
    """A rule that counts for a user, and why."""

    rule: Rule
    why: str


class Rbac:
    """Decides by the roles and bindings of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[tuple[User, str], list[Grant]] = {}
        store.listeners.append(self._forget)

    def _forget(self, event: Event) -> None:
        if event.key[0] == GROUP:
            self._known.clear()

    def allowed_by(self, user: User, asked: Asked) -> str | None:
        """What grants it: the first binding with such a rule; None where there is none."""
        if MASTERS in user.groups:
            return ""
        return next((grant.why for grant in self.grants(user, asked.namespace) if _matches(grant.rule, asked)), None)

    def grants(self, user: User, namespace: str) -> list[Grant]:
        """All that a user is granted: in a namespace, or everywhere when it is empty."""
        if MASTERS in user.groups:
            every = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
            return [Grant(every, ""), Grant({"verbs": ["*"], "nonResourceURLs": ["*"]}, "")]
        key = (user, namespace)
        if key not in self._known:
            self._known[key] = list(self._grants(user, namespace))
        return self._known[key]

    def _grants(self, user: User, namespace: str) -> Iterator[Grant]:
        for plural in ("clusterrolebindings", "rolebindings"):
            for binding in self._store.all((GROUP, plural)):
                where = meta(binding).get("namespace") or ""
                if where and where != namespace:
                    continue
                subject = next((one for one in binding.get("subjects") or [] if _is(user, one, where)), None)
                if subject is not None:
                    why = _why(binding, subject)
                    yield from (Grant(rule, why) for rule in self._rules(binding["roleRef"], where))

    def _rules(self, reference: Obj, namespace: str) -> Iterator[Rule]:
        if reference["kind"] == "Role":
            role = self._store.get((GROUP, "roles"), (namespace, reference["name"]))
        else:
            role = self._store.get((GROUP, "clusterroles"), ("", reference["name"]))
        if role is None:
            return
        yield from role.get("rules") or []
        for selector in dig(role, "aggregationRule", "clusterRoleSelectors") or []:
            wanted = (selector.get("matchLabels") or {}).items()
            for other in self._store.all((GROUP, "clusterroles")):
                if wanted and wanted <= labels_of(other).items():
                    yield from other.get("rules") or []


def _is(user: User, subject: Obj, namespace: str) -> bool:
    match subject["kind"]:
        case "User":
            return bool(subject["name"] == user.name)
        case "Group":
            return subject["name"] in user.groups
        case _:
            where = subject.get("namespace") or namespace
            return user.name == f"system:serviceaccount:{where}:{subject['name']}"


def _why(binding: Obj, subject: Obj) -> str:
    name, where = meta(binding)["name"], meta(binding).get("namespace")
    kind = "RoleBinding" if where else "ClusterRoleBinding"
    shown = f"{name}/{where}" if where else name
    role, who = binding["roleRef"], subject["name"]
    if subject["kind"] == "ServiceAccount":
        who = f"{who}/{subject.get('namespace') or where}"
    return f'RBAC: allowed by {kind} "{shown}" of {role["kind"]} "{role["name"]}" to {subject["kind"]} "{who}"'


def _matches(rule: Rule, asked: Asked) -> bool:
    if not _has(rule, "verbs", asked.verb):
        return False
    if asked.path:
        return any(_covers(pattern, asked.path) for pattern in rule.get("nonResourceURLs") or [])
    names = rule.get("resourceNames")
    return (
        _has(rule, "apiGroups", asked.group)
        and _has_resource(rule.get("resources") or [], asked)
        and (not names or asked.name in names)
    )


def _has(rule: Rule, field: str, value: str) -> bool:
    listed = rule.get(field) or []
    return value in listed or "*" in listed


def _has_resource(listed: list[str], asked: Asked) -> bool:
    if "*" in listed:
        return True
    if not asked.subresource:
        return asked.resource in listed
    return f"{asked.resource}/{asked.subresource}" in listed or f"*/{asked.subresource}" in listed


def _covers(pattern: str, path: str) -> bool:
    if pattern.endswith("*"):
        return path.startswith(pattern[:-1])
    return pattern == path
