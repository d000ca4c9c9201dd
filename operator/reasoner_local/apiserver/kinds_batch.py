"""Jobs: defaults, the selector and labels that tie pods to them, validation, what may not change."""

from collections.abc import Iterator

from .errors import FieldProblem, bad_value, not_supported, required
from .kinds_pod import default_pod_spec, pod_spec_problems
from .metadata_check import label_problems
from .objects import Obj, clone, dig, labels_of

_CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
_JOB_NAME = "batch.kubernetes.io/job-name"


def default_job(obj: Obj) -> None:
    """Fill in what a Job leaves open."""
    spec = obj.setdefault("spec", {})
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = spec["parallelism"] = 1
    spec.setdefault("parallelism", 1)
    # With a limit per index, only that one counts.
    spec.setdefault("backoffLimit", 2147483647 if spec.get("backoffLimitPerIndex") is not None else 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    failed_only = bool(spec.get("podFailurePolicy"))
    spec.setdefault("podReplacementPolicy", "Failed" if failed_only else "TerminatingOrFailed")
    default_pod_spec(spec.setdefault("template", {}).setdefault("spec", {}))
    for rule in dig(spec, "podFailurePolicy", "rules") or []:
        for condition in rule.get("onPodConditions") or []:
            condition.setdefault("status", "True")


def label_job(obj: Obj) -> None:
    """Give a new Job its selector, and its template the labels that the selector asks for."""
    if dig(obj, "spec", "manualSelector"):
        return
    uid, name = obj["metadata"]["uid"], obj["metadata"]["name"]
    labels = {_CONTROLLER_UID: uid, _JOB_NAME: name, "controller-uid": uid, "job-name": name}
    template = obj["spec"]["template"]
    template.setdefault("metadata", {}).setdefault("labels", {}).update(labels)
    obj["spec"].setdefault("selector", {}).setdefault("matchLabels", {})[_CONTROLLER_UID] = uid


def job_problems(obj: Obj) -> Iterator[FieldProblem]:
    """Faults in a Job."""
    spec = obj["spec"]
    for name in ("parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"):
        if spec.get(name) is not None and spec[name] < 0:
            yield bad_value(f"spec.{name}", spec[name], "must be greater than or equal to 0")
    if spec["completionMode"] not in ("NonIndexed", "Indexed"):
        yield not_supported("spec.completionMode", spec["completionMode"], ("NonIndexed", "Indexed"))
    indexed = spec["completionMode"] == "Indexed"
    if indexed and spec.get("completions") is None:
        yield required("spec.completions", "when completion mode is Indexed")
    if spec.get("backoffLimitPerIndex") is not None and not indexed:
        yield bad_value("spec.backoffLimitPerIndex", spec["backoffLimitPerIndex"], "requires indexed completion mode")
    template = spec["template"]
    yield from label_problems(labels_of(template), "spec.template.metadata.labels")
    policy = template["spec"].get("restartPolicy")
    if policy not in ("OnFailure", "Never"):
        field = "spec.template.spec.restartPolicy"
        yield FieldProblem(field, 'Required value: valid values: "OnFailure", "Never"', "FieldValueRequired")
    elif spec.get("podFailurePolicy") and policy != "Never":
        field = "spec.template.spec.restartPolicy"
        yield bad_value(field, policy, 'only "Never" is supported when podFailurePolicy is specified')
    yield from pod_spec_problems(template["spec"], "spec.template.spec", ("OnFailure", "Never", "Always"))


def _steerable(template: Obj) -> Obj:
    """The template without what a queue controller may still set on a suspended Job."""
    kept: Obj = clone(template)
    for name in ("labels", "annotations"):
        (kept.get("metadata") or {}).pop(name, None)
    for name in ("nodeSelector", "affinity", "tolerations", "schedulingGates"):
        kept["spec"].pop(name, None)
    return kept


def job_change_problems(old: Obj, new: Obj) -> Iterator[FieldProblem]:
    """A Job's work is fixed once it is made: completions, mode, selector and template."""
    before, after = old["spec"], new["spec"]
    for name in ("completionMode", "selector", "podFailurePolicy", "backoffLimitPerIndex", "managedBy"):
        if before.get(name) != after.get(name):
            yield bad_value(f"spec.{name}", after.get(name), "field is immutable")
    if before.get("completions") != after.get("completions"):
        elastic = after["completionMode"] == "Indexed" and after.get("completions") == after.get("parallelism")
        if not elastic:
            yield bad_value("spec.completions", after.get("completions"), "field is immutable")
    fresh = before.get("suspend") and not dig(old, "status", "startTime")
    if fresh and _steerable(before["template"]) == _steerable(after["template"]):
        return
    if before["template"] != after["template"]:
        yield bad_value("spec.template", after["template"], "field is immutable")
