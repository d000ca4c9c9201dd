"""The values that pass between seeing and planning. Made by `cluster` and `reconcile`, read by `plan`; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reasoner_api.crd import Kind
from reasoner_api.report import RunReport

Object = dict[str, Any]


@dataclass(frozen=True, order=True)
class Key:
    """Which object."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def key_of(obj: Mapping[str, Any]) -> Key:
    """Which object this is."""
    return Key(obj["kind"], obj["metadata"]["namespace"], obj["metadata"]["name"])


@dataclass(frozen=True)
class Seen:
    """Everything that a plan depends on, read in one go. An absent thing is None, not an error."""

    kind: Kind
    obj: Object
    job: Object | None = None
    pods: tuple[Object, ...] = ()
    config_maps: tuple[Object, ...] = ()
    #: Services of the work's pods.
    services: tuple[Object, ...] = ()
    #: Of a VerifierTraining: all that serves it (Deployment, Service, ...), and the pods of that.
    serving: tuple[Object, ...] = ()
    servers: tuple[Object, ...] = ()
    #: Warnings, as Events, about the Job or a pod that does not get on.
    complaints: tuple[Object, ...] = ()
    #: Of a VerifierTraining: the GRPORuns that refer to it.
    users: tuple[Object, ...] = ()
    #: Of a GRPORun that has ended: what served its verifier and outlived the VerifierTraining for its sake.
    held: tuple[Object, ...] = ()
    #: Children of an earlier object of the same name that the cluster has not collected yet, as `Kind/name`.
    leftovers: tuple[str, ...] = ()
    #: Objects that the spec refers to, by key; None where there is none of that name.
    references: dict[Key, Object | None] = field(default_factory=dict)
    #: What running pods answered on `/progress`, by pod name.
    live: dict[str, RunReport] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.obj["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.obj["metadata"]["namespace"])

    @property
    def key(self) -> Key:
        return Key(self.kind.name, self.namespace, self.name)

    @property
    def children(self) -> frozenset[str]:
        """What belongs to this object already, as `Kind/name`."""
        jobs = () if self.job is None else (self.job,)
        return frozenset(
            f"{item['kind']}/{item['metadata']['name']}"
            for item in (*jobs, *self.config_maps, *self.services, *self.serving)
        )


@dataclass(frozen=True)
class Patch:
    """A merge patch of an object that is otherwise left alone."""

    api_version: str
    kind: str
    name: str
    body: Object


@dataclass(frozen=True)
class Target:
    """Something to delete."""

    api_version: str
    kind: str
    name: str


@dataclass(frozen=True)
class Note:
    """A Kubernetes Event to record."""

    type: str
    reason: str
    message: str


@dataclass(frozen=True)
class Plan:
    """What is to be done, in this order: apply, patch, delete, report."""

    status: Object
    apply: tuple[Object, ...] = ()
    patch: tuple[Patch, ...] = ()
    delete: tuple[Target, ...] = ()
    notes: tuple[Note, ...] = ()
    #: Seconds until the object is looked at again though nothing happened.
    requeue_after: float | None = None
    #: Objects whose change wakes this one.
    waits_for: frozenset[Key] = frozenset()
