"""The plan of a CurationJob. Called by `plan`; pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from reasoner_api.curation import CurationJobSpec, CurationWork
from reasoner_api.task import TASK_DIR, TASK_FILE, CurationTask, api_key_variable
from reasoner_operator.plan import budget, outcome, standing, told
from reasoner_operator.plan.compute import container_resources, resolve
from reasoner_operator.plan.job import Work
from reasoner_operator.plan.pod import Container, credentials
from reasoner_operator.seen import Object, Plan, Seen
from reasoner_operator.settings import Settings
from reasoner_operator.status import notes

ROLES = ("extractor", "annotator", "solver", "judge")


def plan(seen: Seen, settings: Settings, now: datetime) -> Plan:
    """Make the Job of the shards, or say how it stands."""
    spec = CurationJobSpec.model_validate(seen.obj["spec"])
    if standing.is_over(seen):
        return outcome.finished(seen, now)
    if seen.job is None:
        return outcome.start(seen, work(seen, spec, settings), now)
    if budget.is_changed(seen, spec.budget):
        return outcome.replaced(seen, "BudgetChanged", "the run goes on with the new budget", now)
    if not standing.is_ended(seen.job) and told.is_more_pods(seen, spec):
        return outcome.replaced(seen, "ParallelismRaised", "the run goes on with more pods, that share its rates", now)
    found = budget.observed(seen, standing.observe(seen, spec.shards))
    look_again = outcome.look_again(seen, found, spec.scheduling, settings.progress_seconds)
    return Plan(
        status=_status(seen, found, now),
        patch=outcome.adjustments(seen, spec.suspend, spec.scheduling, spec.parallelism or spec.shards),
        notes=notes(seen, found.state),
        requeue_after=None if budget.is_spent(found) else look_again,
    )


def work(seen: Seen, spec: CurationJobSpec, settings: Settings) -> Work:
    """One pod a shard."""
    compute = resolve(spec.compute, settings)
    part = CurationWork.model_validate({name: getattr(spec, name) for name in CurationWork.model_fields})
    container = Container(
        image=compute.image or settings.images.curation,
        command=("python", "-m", "reasoner_workloads", "curation", "--task", f"{TASK_DIR}/{TASK_FILE}"),
        env=_api_keys(spec),
        env_from=credentials(spec.storage),
        resources=container_resources(compute.resources, compute.gpus_per_node or 0),
    )
    return Work(
        task=CurationTask(
            namespace=seen.namespace,
            name=seen.name,
            output=f"{spec.storage.uri.rstrip('/')}/{seen.kind.plural}/{seen.namespace}/{seen.name}",
            work=part,
            budget=spec.budget,
            parallelism=spec.parallelism,
        ),
        container=container,
        compute=compute,
        scheduling=spec.scheduling,
        pull_policy=settings.image_pull_policy,
        suspend=spec.suspend,
        completions=spec.shards,
        parallelism=spec.parallelism or spec.shards,
    )


def _api_keys(spec: CurationJobSpec) -> tuple[Object, ...]:
    found = []
    for role in ROLES:
        endpoint = getattr(spec.models, role)
        if endpoint is not None and endpoint.api_key_secret_ref is not None:
            ref = endpoint.api_key_secret_ref.wire()
            found.append({"name": api_key_variable(role), "valueFrom": {"secretKeyRef": ref}})
    return tuple(found)


def _status(seen: Seen, found: standing.Outcome, now: datetime) -> dict[str, Any]:
    old = seen.obj.get("status", {})
    status = {**{key: old[key] for key in ("stages", "usage", "artifacts") if key in old}}
    if (report := found.report) is not None:
        if report.stages:
            status["stages"] = [stage.wire() for stage in report.stages]
        if report.usage is not None:
            status["usage"] = budget.projected(report.usage, report.progress).wire()
        names = {"dataset": "dataset", "verifier_data": "verifierData", "report": "report"}
        if published := {names[key]: item.wire() for key, item in report.artifacts.items() if key in names}:
            status["artifacts"] = published
    status |= outcome.common_status(seen, found, now)
    if budget.is_spent(found):
        # It has not ended: a raised budget lets it go on.
        del status["completionTime"]
    return status
