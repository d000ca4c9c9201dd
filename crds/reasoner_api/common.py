"""What the specs of all three kinds share: storage, compute, scheduling, references. Used by `curation`,
`verifier` and `grpo`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from reasoner_api.base import Digest, Manifest, Model, ObjectName, Quantity, StoreURI, rules

#: Passed to the library unchanged; what it accepts is that library's business, not the API server's.
Passthrough = Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]

#: A seed of random numbers, as numpy takes it.
Seed = Annotated[int, Field(ge=0, le=4294967295)]


class LocalRef(Model):
    """A reference to an object in the same namespace."""

    name: ObjectName
    """Name of the object."""


class SecretKeyRef(Model):
    """One key of a Secret in the same namespace."""

    name: ObjectName
    """Name of the Secret."""
    key: Annotated[str, Field(min_length=1, max_length=253)] = "api-key"
    """Key within the Secret's data."""


class Storage(Model):
    """Where artifacts are published and checkpoints are kept."""

    uri: StoreURI
    """Prefix that artifacts are published under: `s3://bucket/prefix` or `file:///path`."""
    endpoint: Annotated[str, Field(pattern=r"^https?://.+", max_length=2048)] | None = None
    """URL of an S3-compatible server; absent for AWS itself."""
    region: Annotated[str, Field(max_length=64)] = "us-east-1"
    """Region of the bucket."""
    credentials_secret_ref: LocalRef | None = None
    """Secret whose keys (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, ...) become the pods' environment;
    absent where the pods' service account carries the right to the bucket."""


class Resources(Model):
    """Compute resources of the main container, beside its GPUs."""

    requests: dict[str, Quantity] = Field(default_factory=dict)
    """What the scheduler reserves, for example `cpu: "8"`, `memory: 64Gi`."""
    limits: dict[str, Quantity] = Field(default_factory=dict)
    """What the container may not exceed."""


class Compute(Model):
    """Where and on what the pods run. Each field set here wins over the profile's."""

    profile: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """Name of one of the platform team's profiles (Helm value `profiles`): its fields apply unless set here."""
    nodes: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Number of pods of a training job, one a node (default 1). A CurationJob scales by `shards` instead."""
    gpus_per_node: Annotated[int, Field(ge=0, le=16)] | None = None
    """GPUs (`nvidia.com/gpu`) of each pod, and training processes in it (default 0: one process on the CPU)."""
    resources: Resources | None = None
    """Requests and limits of the main container."""
    node_selector: dict[str, str] | None = None
    """Labels that a node must have."""
    tolerations: list[Manifest] | None = None
    """Tolerations of the pods."""
    affinity: Manifest | None = None
    """Affinity of the pods."""
    priority_class_name: str | None = None
    """Priority class of the pods."""
    runtime_class_name: ObjectName | None = None
    """Runtime class of the pods, for example `nvidia` where that is not the nodes' default."""
    scheduler_name: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """Scheduler of the pods, in place of the cluster's default."""
    security_context: Manifest | None = None
    """Security context of the main container, each field in place of ours: for example
    `{capabilities: {drop: [ALL], add: [IPC_LOCK]}}` where RDMA must lock memory."""
    env: list[Manifest] | None = None
    """Environment variables of the main container, as in a pod."""
    env_from: list[Manifest] | None = None
    """Sources of environment variables of the main container, as in a pod."""
    volumes: list[Manifest] | None = None
    """Volumes of the pods, as in a pod."""
    volume_mounts: list[Manifest] | None = None
    """Mounts of those volumes in the main container, as in a pod."""
    service_account_name: ObjectName | None = None
    """Service account of the pods, for example for a cloud identity. No API token is mounted."""
    image: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """Image of the main container, in place of the operator's default for the kind."""
    image_pull_secrets: list[LocalRef] | None = None
    """Secrets to pull the image with."""
    labels: dict[str, str] | None = None
    """More labels of the pods."""
    annotations: dict[str, str] | None = None
    """More annotations of the pods."""


class Scheduling(Model):
    """How the work is queued, retried and cleaned up."""

    queue_name: Annotated[str, Field(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")] | None = None
    """Kueue LocalQueue that admits the Job (label `kueue.x-k8s.io/queue-name`)."""
    launcher: Literal["Job"] = "Job"
    """The workload API that runs the pods."""
    max_restarts: Annotated[int, Field(ge=0, le=100)] = 3
    """Failures after which the run goes on before it fails. Bad configuration ends it at once; disruptions do not
    count, nor do the pods that could not go on without the one that failed."""
    active_deadline_seconds: Annotated[int, Field(ge=1)] | None = None
    """Seconds after which the run is ended as failed."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0)] | None = None
    """Seconds after its end when the Job and its pods are deleted; kept until the object goes when absent."""


class DatasetRef(Model):
    """Where a dataset comes from: a CurationJob of this namespace, or an artifact by uri."""

    model_config = rules(
        ("has(self.curationJobRef) != has(self.uri)", "set exactly one of curationJobRef and uri"),
        ("!has(self.digest) || has(self.uri)", "digest goes with uri"),
    )

    curation_job_ref: LocalRef | None = None
    """CurationJob whose artifact is used; it is waited for."""
    uri: StoreURI | None = None
    """Prefix of a published artifact (the folder that holds `manifest.json`)."""
    digest: Digest | None = None
    """Digest that the artifact at `uri` must have; whatever lies there is taken when absent."""


class DeepSpeed(Model):
    """DeepSpeed settings of a training job."""

    zero_stage: Annotated[int, Field(ge=0, le=3)] = 2
    """ZeRO stage: what is partitioned over the processes (1 optimizer state, 2 gradients, 3 parameters)."""
    offload_optimizer: bool = False
    """Whether optimizer state lies in host memory."""


class VerifierPrompt(Model):
    """How the verifier is asked, and how its verdict is read."""

    template: Annotated[str, Field(min_length=1, max_length=8192)] = (
        "User: ### Question: {question}\n\n"
        "### Ground Truth Answer: {ground_truth}\n\n"
        "### Student Answer: {student_answer}\n\n"
        "For the above question, please verify if the student's answer is equivalent to the ground truth answer.\n"
        "Do not solve the question by yourself; just check if the student's answer is equivalent to the ground "
        "truth answer.\nIf the student's answer is correct, output \"Final Decision: Yes\". If the student's answer "
        'is incorrect, output "Final Decision: No". Assistant:'
    )
    """Prompt with the fields `{question}`, `{ground_truth}` and `{student_answer}`."""
    pass_marker: Annotated[str, Field(min_length=1, max_length=256)] = "Final Decision: Yes"
    """What the verifier writes for a right answer. Where a reply holds both markers, the last one counts."""
    fail_marker: Annotated[str, Field(min_length=1, max_length=256)] = "Final Decision: No"
    """What it writes for a wrong answer. A reply with neither marker is no verdict."""
