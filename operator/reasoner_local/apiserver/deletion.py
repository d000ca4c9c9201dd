"""The rules of deletion: preconditions, grace periods, finalizers and propagation. Pure; used by `writes`."""

from dataclasses import dataclass
from typing import Any

from .errors import conflict
from .objects import Obj, dig, is_terminating, meta, now
from .resources import Resource

FOREGROUND = "foregroundDeletion"
CRD_CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
NAMESPACES = ("", "namespaces")
CRDS = ("apiextensions.k8s.io", "customresourcedefinitions")
_PODS = ("", "pods")
_JOBS = ("batch", "jobs")
ORPHAN_WARNING = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or "
    "set propagationPolicy=Orphan to suppress this warning"
)


@dataclass(frozen=True)
class DeleteOptions:
    """How to delete: Background, Foreground or Orphan, with preconditions; None leaves it to the kind."""

    policy: str | None = "Background"
    grace_seconds: int | None = None
    uid: str | None = None
    resource_version: str | None = None
    dry_run: bool = False
    # Whether the policy is the kind's own, the request having named none.
    by_default: bool = False

    @classmethod
    def of(cls, resource: Resource, body: Any, query: dict[str, str]) -> "DeleteOptions":
        """From a request's DeleteOptions body and query parameters."""
        sent = body if isinstance(body, dict) else {}
        policy = sent.get("propagationPolicy") or query.get("propagationPolicy")
        if sent.get("orphanDependents") is not None:
            policy = "Orphan" if sent["orphanDependents"] else "Background"
        grace = sent.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
        return cls(
            # Old habit of the API: deleting a Job by hand leaves its pods unless the request says otherwise.
            policy=policy or ("Orphan" if resource.key == _JOBS else "Background"),
            grace_seconds=None if grace is None else int(grace),
            uid=dig(sent, "preconditions", "uid"),
            resource_version=dig(sent, "preconditions", "resourceVersion"),
            by_default=not policy,
            dry_run="All" in (sent.get("dryRun") or []) or query.get("dryRun") == "All",
        )


def check_preconditions(resource: Resource, obj: Obj, options: DeleteOptions) -> None:
    """Raises 409 when the object is not the one that the client means."""
    known = meta(obj)
    for said, wanted, found in (
        ("UID", options.uid, known["uid"]),
        ("ResourceVersion", options.resource_version, known["resourceVersion"]),
    ):
        if wanted and wanted != found:
            why = f"Precondition failed: {said} in precondition: {wanted}, {said} in object meta: {found}"
            raise conflict(resource, known["name"], why)


def _grace(resource: Resource, obj: Obj, options: DeleteOptions) -> int:
    """Seconds that the object is left: none but for a pod that a node may be running."""
    if resource.key != _PODS:
        return 0
    running = dig(obj, "spec", "nodeName") and dig(obj, "status", "phase") not in ("Succeeded", "Failed")
    if not running:
        return 0
    if options.grace_seconds is not None:
        return max(options.grace_seconds, 0)
    return int(dig(obj, "spec", "terminationGracePeriodSeconds") or 0)


def marked(resource: Resource, obj: Obj, options: DeleteOptions, *, has_dependents: bool) -> Obj:
    """The object with the marks of its deletion; a grace period only ever gets shorter."""
    known = meta(obj)
    grace = _grace(resource, obj, options)
    finalizers = list(known.get("finalizers") or [])
    if options.policy == "Foreground" and has_dependents and FOREGROUND not in finalizers:
        finalizers.append(FOREGROUND)
    if resource.key == CRDS and CRD_CLEANUP not in finalizers:
        finalizers.append(CRD_CLEANUP)
    changed = {**known, "finalizers": finalizers} if finalizers else dict(known)
    before = known.get("deletionGracePeriodSeconds")
    if not is_terminating(obj) or (before is not None and grace < before):
        changed["deletionTimestamp"] = now(grace)
        changed["deletionGracePeriodSeconds"] = grace
        if "generation" in known and not is_terminating(obj):
            changed["generation"] = known["generation"] + 1
    if resource.key == NAMESPACES:
        obj = {**obj, "status": {**(obj.get("status") or {}), "phase": "Terminating"}}
    return {**obj, "metadata": changed}


def may_go(obj: Obj) -> bool:
    """Whether nothing keeps an object whose deletion has begun."""
    known = meta(obj)
    if obj.get("kind") == "Namespace" and dig(obj, "spec", "finalizers"):
        return False
    return is_terminating(obj) and not known.get("finalizers") and not known.get("deletionGracePeriodSeconds")
