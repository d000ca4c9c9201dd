"""The plan of a GRPORun. Called by `plan`; pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from reasoner_api.common import Compute
from reasoner_api.grpo import GRPORunSpec, GRPOWork
from reasoner_api.task import GRPOTask, InputArtifact, Topology, VerifierEndpoint, api_key_variable
from reasoner_operator.plan import (
    figures,
    generation,
    outcome,
    pause,
    promotion,
    references,
    rollout,
    standing,
    training,
)
from reasoner_operator.plan.job import Work
from reasoner_operator.seen import Object, Patch, Plan, Seen, Target
from reasoner_operator.settings import Settings
from reasoner_operator.status import notes

_KEPT = (*figures.FIELDS, "lastCheckpoint", "benchmarks", "artifacts", "lineage")


def plan(seen: Seen, settings: Settings, now: datetime) -> Plan:
    """Wait for dataset and verifier, make the training Job, say how it stands."""
    spec = GRPORunSpec.model_validate(seen.obj["spec"])
    if standing.is_over(seen):
        return _let_go(seen, outcome.finished(seen, now))
    if seen.job is None:
        # What cannot begin says so before it waits for anything.
        _placed(seen, spec, settings)
        dataset = references.dataset_of(seen, spec.dataset, "dataset")
        verifier = references.verifier_of(seen, spec.verifier)
        keys = references.keys(spec, seen.namespace)
        if isinstance(dataset, references.Waiting | references.Broken):
            return outcome.waiting(seen, dataset, keys, now)
        if isinstance(verifier, references.Waiting | references.Broken):
            return outcome.waiting(seen, verifier, keys, now)
        return _start(seen, spec, _Inputs(dataset, verifier), settings, now)
    seen = pause.present(seen)
    found = promotion.gated(seen, spec.evaluation, standing.observe(seen, 1))
    retry = spec.reward.verifier_unavailable.retry_seconds
    paused = pause.state(seen, found, retry, now)
    if paused is not None:
        found = replace(found, state=paused)
    look_again = outcome.look_again(seen, found, spec.scheduling, settings.progress_seconds)
    status = _status(seen, spec, found, now)
    made = Plan(
        status=status,
        patch=outcome.adjustments(seen, spec.suspend or paused is not None, spec.scheduling, standing.group_size(seen)),
        notes=figures.notes(seen, status, notes(seen, found.state)),
        requeue_after=look_again if paused is None else pause.seconds_left(seen, paused, retry, now),
        waits_for=frozenset() if paused is None else references.keys(spec, seen.namespace),
    )
    return _let_go(seen, made)


@dataclass(frozen=True)
class _Inputs:
    """What the run stands on, resolved."""

    dataset: InputArtifact
    verifier: VerifierEndpoint | None


def _start(seen: Seen, spec: GRPORunSpec, inputs: _Inputs, settings: Settings, now: datetime) -> Plan:
    """The Job, and from the first the digest of the verifier, which is kept until the run has ended."""
    made = outcome.start(seen, work(seen, spec, inputs, settings), now)
    if inputs.verifier is None or inputs.verifier.digest is None:
        return made
    return replace(made, status={**made.status, "lineage": {"verifier": inputs.verifier.digest}})


def _let_go(seen: Seen, made: Plan) -> Plan:
    """Of what outlived its VerifierTraining for the sake of runs like this one, which has ended: deleted by the last
    of them."""
    delete, patch = list(made.delete), list(made.patch)
    for item in seen.held:
        metadata = item["metadata"]
        others = [owner for owner in metadata["ownerReferences"] if owner["uid"] != seen.obj["metadata"]["uid"]]
        if others:
            # The version guards against another run that lets go at the same time.
            body = {"metadata": {"ownerReferences": others, "resourceVersion": metadata["resourceVersion"]}}
            patch.append(Patch(item["apiVersion"], item["kind"], metadata["name"], body))
        else:
            delete.append(Target(item["apiVersion"], item["kind"], metadata["name"]))
    return replace(made, delete=tuple(delete), patch=tuple(patch))


def work(seen: Seen, spec: GRPORunSpec, inputs: _Inputs, settings: Settings) -> Work:
    """One pod a node. Raises as `_placed`."""
    compute, topology = _placed(seen, spec, settings)
    container = training.container("grpo", settings.images.trainer, compute, spec.storage)
    pods = topology.nodes + topology.rollout_nodes
    return Work(
        task=GRPOTask(
            namespace=seen.namespace,
            name=seen.name,
            output=f"{spec.storage.uri.rstrip('/')}/{seen.kind.plural}/{seen.namespace}/{seen.name}",
            work=GRPOWork.model_validate({name: getattr(spec, name) for name in GRPOWork.model_fields}),
            dataset=inputs.dataset,
            verifier=inputs.verifier,
            topology=topology,
        ),
        container=replace(container, env=(*container.env, *rollout.env(spec.rollout), *_api_keys(spec))),
        compute=compute,
        scheduling=spec.scheduling,
        pull_policy=settings.image_pull_policy,
        suspend=spec.suspend,
        completions=pods,
        parallelism=pods,
        rollout_index=rollout.index(topology),
        grace_seconds=spec.checkpoint.grace_period_seconds,
        gang=True,
    )


def _placed(seen: Seen, spec: GRPORunSpec, settings: Settings) -> tuple[Compute, Topology]:
    """Where the run's processes are, and how many.

    Raises:
        UnknownProfile: as `training.placed`.
        NoNodeLeft: as `rollout.split`.
        Uneven: as `generation.check`.
    """
    compute = training.placed(seen, spec.compute, settings)
    topology = rollout.split(training.topology(compute), spec.rollout)
    generation.check(spec, topology.nodes * topology.processes_per_node)
    return compute, topology


def _api_keys(spec: GRPORunSpec) -> tuple[Object, ...]:
    """The keys of the verifier and the judge, as their clients look for them."""
    judge = spec.evaluation.judge
    refs = {"verifier": spec.verifier.api_key_secret_ref, "judge": judge.api_key_secret_ref if judge else None}
    return tuple(
        {"name": api_key_variable(role), "valueFrom": {"secretKeyRef": ref.wire()}}
        for role, ref in refs.items()
        if ref is not None
    )


def _status(seen: Seen, spec: GRPORunSpec, found: standing.Outcome, now: datetime) -> dict[str, Any]:
    old = seen.obj.get("status", {})
    status = {key: old[key] for key in _KEPT if key in old}
    if (report := found.report) is not None:
        status |= figures.of_report(report)
        if report.last_checkpoint is not None:
            status["lastCheckpoint"] = report.last_checkpoint.wire()
        if scores := promotion.scores(report):
            status["benchmarks"] = scores
        if "model" in report.artifacts:
            status["artifacts"] = promotion.artifacts(seen, spec.evaluation, report)
        if report.lineage is not None:
            status["lineage"] = report.lineage.wire()
    status |= figures.reward_text(status) | figures.restarts(seen)
    return {**status, **outcome.common_status(seen, found, now)}
