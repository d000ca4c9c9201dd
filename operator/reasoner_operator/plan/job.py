"""A task -> ConfigMap, Indexed Job and, for several nodes, headless Service. Called by the kinds' plans; pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reasoner_api.common import Compute, Scheduling
from reasoner_api.digest import canonical_json, digest_of
from reasoner_api.task import (
    EXIT_BAD_CONFIG,
    EXIT_PAUSED,
    EXIT_PEER_LOST,
    EXIT_TERMINATED,
    REPORT_PORT,
    ROLLOUT_HOST,
    TASK_DIR,
    TASK_FILE,
    TaskBase,
)
from reasoner_operator import naming
from reasoner_operator.plan.pod import Container, Pod, template
from reasoner_operator.seen import Object, Seen

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
TERMINATION_MESSAGE_PATH = "/dev/termination-log"
#: Seconds between SIGTERM and SIGKILL: a trainer writes a checkpoint in them.
GRACE_SECONDS = 120


@dataclass(frozen=True)
class Work:
    """What a run's Job is made of."""

    task: TaskBase
    container: Container
    compute: Compute
    scheduling: Scheduling
    pull_policy: str
    suspend: bool = False
    completions: int = 1
    parallelism: int = 1
    grace_seconds: int = GRACE_SECONDS
    #: Whether the pods need each other (one torch process group) or are shards on their own.
    gang: bool = False
    #: Which of the pods generates responses for the others, if one does.
    rollout_index: int | None = None

    @property
    def several_nodes(self) -> bool:
        """Whether pods must find each other."""
        return self.gang and self.completions > 1

    @property
    def digest(self) -> str:
        return digest_of(self.task.wire())


def manifests(seen: Seen, work: Work) -> tuple[Object, ...]:
    """Everything that the Job needs, and the Job last."""
    metadata = shared_metadata(seen, naming.work_name(seen.kind, seen.name, work.digest), work.digest)
    text = canonical_json(work.task.wire()).decode()
    services = (headless_service(metadata),) if work.several_nodes else ()
    return (config_map(metadata, text), *services, _job(metadata, work, text))


def shared_metadata(seen: Seen, name: str, digest: str) -> Object:
    """What the Job and all that it needs are known by."""
    return {
        "name": name,
        "namespace": seen.namespace,
        "labels": naming.labels(seen.kind, seen.name, naming.ROLE_WORK),
        "annotations": {naming.ANNOTATION_DIGEST: digest},
        "ownerReferences": [naming.owner_reference(seen.obj)],
    }


def config_map(metadata: Object, text: str) -> Object:
    """What the pods read, which nobody changes under them."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "immutable": True,
        "data": {TASK_FILE: text},
    }


def headless_service(metadata: Object) -> Object:
    """Gives each pod the stable name `<job>-<index>.<job>` that the process group meets at."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "clusterIP": "None",
            # The group forms before any pod is ready.
            "publishNotReadyAddresses": True,
            "selector": {"batch.kubernetes.io/job-name": metadata["name"]},
            "ports": [{"name": "rendezvous", "port": naming.RENDEZVOUS_PORT}],
        },
    }


def _job(metadata: Object, work: Work, text: str) -> Object:
    queue = {QUEUE_LABEL: work.scheduling.queue_name} if work.scheduling.queue_name else {}
    spec: Object = {
        "completionMode": "Indexed",
        "completions": work.completions,
        "parallelism": work.parallelism,
        # Kueue unsuspends the Jobs that it admits.
        "suspend": work.suspend or bool(queue),
        "podFailurePolicy": _pod_failure_policy(work.gang),
        "template": _template(metadata, work),
        **_retries(work),
    }
    # ttlSecondsAfterFinished is set once the end is in the status (`outcome.adjustments`): a Job that goes before it
    # was seen finished would be made again.
    if work.scheduling.active_deadline_seconds is not None:
        spec["activeDeadlineSeconds"] = work.scheduling.active_deadline_seconds
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            **metadata,
            "labels": {**metadata["labels"], **queue},
            # The ConfigMap's text once more: one that somebody deletes is made again as it was (`restored`).
            "annotations": {**metadata["annotations"], naming.ANNOTATION_TASK: text},
        },
        "spec": spec,
    }


def _retries(work: Work) -> Object:
    """Shards are retried one by one. A process group fails as one: the pods that could not go on without the one that
    failed say so by their exit code, and are not counted."""
    if work.gang:
        return {"backoffLimit": work.scheduling.max_restarts}
    return {"backoffLimitPerIndex": work.scheduling.max_restarts, "maxFailedIndexes": 0}


def _pod_failure_policy(gang: bool) -> Object:
    no_failures = (EXIT_PAUSED, EXIT_PEER_LOST, EXIT_TERMINATED) if gang else (EXIT_PAUSED,)
    return {
        "rules": [
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {"action": "FailJob", "onExitCodes": _exits_with(EXIT_BAD_CONFIG)},
            {"action": "Ignore", "onExitCodes": _exits_with(*no_failures)},
        ]
    }


def _exits_with(*codes: int) -> Object:
    return {"containerName": naming.MAIN_CONTAINER, "operator": "In", "values": list(codes)}


def _template(metadata: Object, work: Work) -> Object:
    container = work.container
    main = replace(
        container,
        env=(
            {"name": "TERMINATION_MESSAGE_PATH", "value": TERMINATION_MESSAGE_PATH},
            {"name": "REPORT_PORT", "value": str(REPORT_PORT)},
            *(_rendezvous(metadata["name"], work.rollout_index) if work.several_nodes else ()),
            *container.env,
        ),
        mounts=({"name": "task", "mountPath": TASK_DIR, "readOnly": True}, *container.mounts),
        more={
            "ports": [{"name": "report", "containerPort": REPORT_PORT}],
            "terminationMessagePath": TERMINATION_MESSAGE_PATH,
            "terminationMessagePolicy": "FallbackToLogsOnError",
        },
    )
    more: Object = {"restartPolicy": "Never", "terminationGracePeriodSeconds": work.grace_seconds}
    volumes: tuple[Object, ...] = ({"name": "task", "configMap": {"name": metadata["name"]}},)
    if work.gang:
        # torch and NCCL pass tensors between processes through shared memory; the default is 64 MiB.
        volumes = (*volumes, {"name": "shm", "emptyDir": {"medium": "Memory"}})
    if work.several_nodes:
        more["subdomain"] = metadata["name"]
    pod = Pod(
        labels=metadata["labels"],
        annotations=metadata["annotations"],
        containers=(main,),
        volumes=volumes,
        more=more,
    )
    return template(pod, work.compute, work.pull_policy)


def _rendezvous(job_name: str, rollout_index: int | None) -> tuple[Object, ...]:
    """Where the process group of several nodes meets: the first pod, by its stable name; and where the server is that
    generates its responses."""
    index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    server = (
        () if rollout_index is None else ({"name": ROLLOUT_HOST, "value": f"{job_name}-{rollout_index}.{job_name}"},)
    )
    return (
        {"name": "MASTER_ADDR", "value": f"{job_name}-0.{job_name}"},
        {"name": "MASTER_PORT", "value": str(naming.RENDEZVOUS_PORT)},
        {"name": "NODE_RANK", "valueFrom": {"fieldRef": {"fieldPath": index}}},
        *server,
    )
