"""Names, labels and ports of everything the operator makes: derived, never random. Used by `plan` and
`handlers`; pure."""

from __future__ import annotations

from typing import Any

from reasoner_api import GROUP
from reasoner_api.crd import CURATION, GRPO, VERIFIER, Kind

#: Field manager of every server-side apply, and value of the managed-by label.
MANAGER = "reasoner-operator"

LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_KIND = f"{GROUP}/kind"
LABEL_NAME = f"{GROUP}/name"
LABEL_ROLE = f"{GROUP}/role"
#: First digits of the digest that a server serves: servers of two digests never share a Service.
LABEL_ARTIFACT = f"{GROUP}/artifact"
ANNOTATION_DIGEST = f"{GROUP}/task-digest"
ANNOTATION_TASK = f"{GROUP}/task"
ANNOTATION_ARTIFACT = f"{GROUP}/artifact-digest"

ROLE_WORK = "work"
ROLE_SERVE = "serve"

MAIN_CONTAINER = "main"
SERVE_PORT = 8000
RENDEZVOUS_PORT = 29500

_WORK_NOUN = {CURATION.name: "curation", VERIFIER.name: "training", GRPO.name: "grpo"}


def work_name(kind: Kind, name: str, digest: str) -> str:
    """Name of the Job, its ConfigMap and its headless Service: `<name>-<noun>-<8 hex>`, 58 characters at most."""
    return f"{name}-{_WORK_NOUN[kind.name]}-{_hex(digest)[:8]}"


def serve_name(name: str, digest: str) -> str:
    """Name of all that serves one digest of a verifier: `<name>-verifier-<8 hex>`, 58 characters at most."""
    return f"{name}-verifier-{_hex(digest)[:8]}"


def served_model(name: str, digest: str) -> str:
    """Name that requests for one digest of a verifier carry; a server of another digest refuses it."""
    return f"{name}@{short(digest)}"


def endpoint_url(namespace: str, name: str, digest: str) -> str:
    """Base URL inside the cluster of the OpenAI API that serves one digest of a verifier."""
    return f"http://{serve_name(name, digest)}.{namespace}.svc:{SERVE_PORT}/v1"


def short(digest: str) -> str:
    """The first 12 hex digits of a digest, which fit a label."""
    return _hex(digest)[:12]


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def labels(kind: Kind, name: str, role: str) -> dict[str, str]:
    """Labels of every child, by which it is found again."""
    return {LABEL_MANAGED_BY: MANAGER, LABEL_KIND: kind.name, LABEL_NAME: name, LABEL_ROLE: role}


def selector(kind: Kind, name: str) -> str:
    """Label selector of all children of an object."""
    return f"{LABEL_MANAGED_BY}={MANAGER},{LABEL_KIND}={kind.name},{LABEL_NAME}={name}"


def owner_reference(obj: dict[str, Any]) -> dict[str, Any]:
    """The controller reference that lets the cluster collect a child with its parent."""
    return {**holder_reference(obj), "controller": True, "blockOwnerDeletion": True}


def holder_reference(obj: dict[str, Any]) -> dict[str, Any]:
    """The reference of one that needs another's child: the cluster keeps it until the last of its owners is gone."""
    found = {"apiVersion": obj["apiVersion"], "kind": obj["kind"]}
    return {**found, "name": obj["metadata"]["name"], "uid": obj["metadata"]["uid"]}
