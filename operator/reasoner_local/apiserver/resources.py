"""The resource types that are served: what discovery tells, and where their objects are stored."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from .cel_nodes import Node, rules_of
from .field_types import ANY, Schema
from .objects import Obj

# (group, plural): objects are stored once, whatever version they are asked for in.
ResourceKey = tuple[str, str]
ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class CustomVersion:
    """What a CRD says of one version: `schema` is its openAPIV3Schema, `columns` its printer columns."""

    crd: str
    schema: Schema
    columns: tuple[Obj, ...] = ()
    selectable: tuple[str, ...] = ()
    scale: Obj | None = None

    @cached_property
    def rules(self) -> Node | None:
        """Its CEL rules; None where it has none."""
        return rules_of(self.schema)


@dataclass(frozen=True, eq=False)
class Resource:
    """One resource type in one version. `types` gives the type of every field."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    subresources: frozenset[str] = frozenset({"status"})
    singular: str = ""
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    types: Schema = field(default_factory=lambda: ANY)
    custom: CustomVersion | None = None

    @cached_property
    def key(self) -> ResourceKey:
        """Where its objects are stored."""
        return (self.group, self.plural)

    @cached_property
    def group_version(self) -> str:
        """The apiVersion of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def has_status(self) -> bool:
        """Whether status is written apart from the rest."""
        return "status" in self.subresources

    def shown(self, obj: Obj) -> Obj:
        """A stored object in this version (versions differ in their name alone: conversion strategy None)."""
        return obj if obj.get("apiVersion") == self.group_version else {**obj, "apiVersion": self.group_version}


class Registry:
    """Every resource type now served, found by group, version and plural."""

    def __init__(self) -> None:
        self._versions: dict[ResourceKey, dict[str, Resource]] = {}

    def add(self, resource: Resource) -> None:
        """Serve a resource type; one of the same group, version and plural is replaced."""
        self._versions.setdefault(resource.key, {})[resource.version] = resource

    def remove(self, key: ResourceKey) -> None:
        """Serve a resource type no longer, in any version."""
        self._versions.pop(key, None)

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource type of a request."""
        return self._versions.get((group, plural), {}).get(version)

    def stored(self, key: ResourceKey) -> Resource:
        """Any served version of what is stored under `key`. Raises KeyError when there is none."""
        return next(iter(self._versions[key].values()))

    def __contains__(self, key: ResourceKey) -> bool:
        return key in self._versions

    def __iter__(self) -> Iterator[Resource]:
        return (resource for versions in self._versions.values() for resource in versions.values())
