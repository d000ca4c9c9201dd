"""Custom resources, Jobs and pods as an API server would show them, for tests of planning."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from reasoner_api import API_VERSION
from reasoner_api.crd import KINDS
from reasoner_api.report import RunReport
from reasoner_operator import naming
from reasoner_operator.seen import Seen

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
THEN = "2026-01-02T03:00:00Z"
DIGEST = "sha256:" + "a" * 64
STORAGE = {
    "uri": "s3://models/team-a",
    "endpoint": "https://minio.example.com",
    "credentialsSecretRef": {"name": "object-store"},
}

SPECS: dict[str, dict[str, Any]] = {
    "CurationJob": {
        "source": {"uri": "s3://models/webinstruct.parquet", "format": "parquet"},
        "models": {
            "extractor": {
                "baseURL": "https://llm.example.com/v1",
                "model": "large",
                "apiKeySecretRef": {"name": "llm", "key": "key"},
            }
        },
        "shards": 3,
        "storage": STORAGE,
    },
    "VerifierTraining": {
        "baseModel": "Qwen/Qwen2.5-Math-1.5B",
        "dataset": {"curationJobRef": {"name": "questions"}},
        "storage": STORAGE,
    },
    "GRPORun": {
        "baseModel": "Qwen/Qwen2.5-7B",
        "dataset": {"curationJobRef": {"name": "questions"}},
        "verifier": {"verifierTrainingRef": {"name": "judge"}},
        "storage": STORAGE,
    },
}


def custom_resource(kind: str, spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None) -> Any:
    """An object of the kind, its spec over the kind's example."""
    obj: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {
            "name": "demo",
            "namespace": "team-a",
            "uid": "00000000-0000-0000-0000-000000000001",
            "resourceVersion": "7",
            "generation": 1,
        },
        "spec": {**SPECS[kind], **(spec or {})},
    }
    return {**obj, "status": status} if status else obj


def seen(kind: str, spec: dict[str, Any] | None = None, **more: Any) -> Seen:
    """What the operator sees of a fresh object of the kind."""
    return Seen(kind=KINDS[kind], obj=custom_resource(kind, spec, more.pop("status", None)), **more)


def job(*true: str, spec: dict[str, Any] | None = None, reason: str = "") -> dict[str, Any]:
    """A Job with these conditions True."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "demo-work-12345678", "annotations": {naming.ANNOTATION_DIGEST: DIGEST}, "labels": {}},
        "spec": {"parallelism": 1, "suspend": False, **(spec or {})},
        "status": {
            "startTime": THEN,
            "conditions": [
                {"type": kind, "status": "True", "lastTransitionTime": THEN, "reason": reason, "message": "why"}
                for kind in true
            ],
        },
    }


def pod(name: str, report: RunReport | None = None, index: int = 0, phase: str = "Running") -> dict[str, Any]:
    """A pod of a Job; with a report, one that has ended and left it."""
    state = {"terminated": {"exitCode": 0, "message": report.termination_message()}} if report else {"running": {}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "creationTimestamp": THEN,
            "annotations": {"batch.kubernetes.io/job-completion-index": str(index)},
        },
        "status": {"phase": phase, "containerStatuses": [{"name": "main", "state": state}]},
    }


def ready(kind: str, name: str, status: dict[str, Any]) -> dict[str, Any]:
    """Another object that is Ready, as a reference finds it."""
    obj = custom_resource(kind)
    obj["metadata"]["name"] = name
    conditions = [{"type": "Ready", "status": "True"}]
    obj["status"] = {"phase": "Succeeded", "observedGeneration": 1, "conditions": conditions, **status}
    return obj
