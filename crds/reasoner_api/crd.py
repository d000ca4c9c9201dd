"""The three kinds and their CustomResourceDefinitions. Called by `generate`; `KINDS` also by the operator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic.fields import FieldInfo

from reasoner_api import API_VERSION, GROUP, VERSION
from reasoner_api.base import Model, camel
from reasoner_api.curation import CurationJobSpec, CurationJobStatus
from reasoner_api.grpo import GRPORunSpec, GRPORunStatus
from reasoner_api.schema import Schema, structural_schema
from reasoner_api.status import RunStatus
from reasoner_api.verifier import VerifierTrainingSpec, VerifierTrainingStatus


@dataclass(frozen=True)
class Column:
    """A printer column of `kubectl get`."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0

    def wire(self) -> dict[str, Any]:
        entry: dict[str, Any] = {"name": self.name, "type": self.type, "jsonPath": self.path}
        return {**entry, "priority": self.priority} if self.priority else entry


@dataclass(frozen=True)
class Kind:
    """One of the three kinds."""

    name: str
    plural: str
    short_name: str
    spec: type[Model]
    status: type[RunStatus]
    description: str
    mutable: frozenset[str]
    columns: tuple[Column, ...]

    @property
    def crd_name(self) -> str:
        return f"{self.plural}.{GROUP}"


COMMON_COLUMNS = (
    Column("Phase", ".status.phase"),
    Column("Progress", ".status.progress.display"),
)
READY_COLUMNS = (
    Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
    Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', priority=1),
)
AGE = Column("Age", ".metadata.creationTimestamp", "date")

CURATION = Kind(
    "CurationJob",
    "curationjobs",
    "curation",
    CurationJobSpec,
    CurationJobStatus,
    "CurationJob turns web-crawled questions into a dataset of verifiable questions and the verdicts that a "
    "verifier learns from.",
    frozenset({"suspend", "parallelism", "budget"}),
    (
        *COMMON_COLUMNS,
        Column("Rows", ".status.artifacts.dataset.rows", "integer"),
        *READY_COLUMNS,
        Column("Cost USD", ".status.usage.costUSD", "number", 1),
        AGE,
    ),
)
VERIFIER = Kind(
    "VerifierTraining",
    "verifiertrainings",
    "verifier",
    VerifierTrainingSpec,
    VerifierTrainingStatus,
    "VerifierTraining trains a small generative answer verifier, measures it and serves it over the OpenAI API.",
    frozenset({"suspend", "serving"}),
    (
        *COMMON_COLUMNS,
        Column("Agreement", ".status.agreementPercent"),
        *READY_COLUMNS,
        Column("Endpoint", ".status.endpoint", priority=1),
        AGE,
    ),
)
GRPO = Kind(
    "GRPORun",
    "grporuns",
    "grpo",
    GRPORunSpec,
    GRPORunStatus,
    "GRPORun trains a reasoning model by GRPO with the reward of a verifier.",
    frozenset({"suspend"}),
    (
        *COMMON_COLUMNS,
        Column("Reward", ".status.rewardText"),
        *READY_COLUMNS,
        Column("Step", ".status.step", "integer", 1),
        Column("Model", ".status.artifacts.model.uri", priority=1),
        AGE,
    ),
)
KINDS = {kind.name: kind for kind in (CURATION, VERIFIER, GRPO)}


def custom_resource_definition(kind: Kind) -> dict[str, Any]:
    """The whole CRD manifest of a kind."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.crd_name},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": [kind.short_name],
                "categories": ["reasoner"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [column.wire() for column in kind.columns],
                    "schema": {"openAPIV3Schema": _schema(kind)},
                }
            ],
        },
    }


def _schema(kind: Kind) -> Schema:
    spec = structural_schema(kind.spec)
    spec["x-kubernetes-validations"] = [*spec.get("x-kubernetes-validations", []), *_immutability(kind)]
    return {
        "type": "object",
        "description": kind.description,
        "required": ["spec"],
        # The names of Jobs, Services and pods are derived from it, and those are DNS labels.
        "x-kubernetes-validations": [
            {
                "rule": "self.metadata.name.matches('^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$')",
                "message": "metadata.name must start with a letter and have at most 40 lower-case letters, digits "
                "and hyphens: the names of Jobs and Services are derived from it",
            }
        ],
        "properties": {
            "apiVersion": {"type": "string", "description": f"Always {API_VERSION}."},
            "kind": {"type": "string", "description": f"Always {kind.name}."},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": structural_schema(kind.status),
        },
    }


def _immutability(kind: Kind) -> list[dict[str, str]]:
    """One transition rule a field, so that the refusal names the field that was edited."""
    rules = []
    for attribute, info in kind.spec.model_fields.items():
        name = info.alias or camel(attribute)
        if name in kind.mutable:
            continue
        same = f"self.{name} == oldSelf.{name}"
        if not _always_set(info):
            same = f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || {same})"
        rules.append(
            {
                "rule": same,
                "message": f"{name} is immutable: delete and create the {kind.name}, or create another one",
                "fieldPath": f".{name}",
            }
        )
    return rules


def _always_set(field: FieldInfo) -> bool:
    """Whether the API server's defaulting guarantees the field."""
    return field.is_required() or field.get_default(call_default_factory=True) not in (None, [], {})
