"""How a trained verifier is served: `spec.serving` of a VerifierTraining. Used by `verifier`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from reasoner_api.base import Manifest, Model, rules
from reasoner_api.common import Resources


class Autoscaling(Model):
    """Replicas that follow the queue of verifications, in place of `replicas`."""

    model_config = rules(
        ("self.minReplicas <= self.maxReplicas", "minReplicas is above maxReplicas"),
        (
            "self.provider != 'KEDA' || has(self.prometheusURL)",
            "KEDA asks Prometheus for the queue: set prometheusURL",
        ),
    )

    provider: Literal["HPA", "KEDA"] = "HPA"
    """Who scales: a HorizontalPodAutoscaler on a metric of the pods that an adapter brings to the API server, or
    KEDA's ScaledObject on a query to Prometheus."""
    min_replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    """Replicas at least; none at all is the business of `scaleToZero`."""
    max_replicas: Annotated[int, Field(ge=1, le=1000)]
    """Replicas at most."""
    target_queue_length: Annotated[int, Field(ge=1, le=100000)] = 64
    """Verifications waiting a replica, on average, above which replicas are added."""
    metric: Annotated[str, Field(min_length=1, max_length=253)] = "vllm_num_requests_waiting"
    """HPA: name under which the adapter serves the pods' `vllm:num_requests_waiting`, which both engines export."""
    prometheus_url: Annotated[str, Field(pattern=r"^https?://.+", max_length=2048)] | None = None
    """KEDA: Prometheus, which scrapes `/metrics` of the pods' port `http`."""


class Serving(Model):
    """How the verifier is served once it is trained."""

    enabled: bool = True
    """Whether a Deployment and a Service are made."""
    replicas: Annotated[int, Field(ge=0, le=1000)] = 1
    """Replicas; `autoscaling` wins when set."""
    autoscaling: Autoscaling | None = None
    """Lets the number of replicas follow the queue; fixed when absent."""
    scale_to_zero: bool = False
    """Whether there is no replica while no unfinished GRPORun of the namespace refers to the verifier."""
    gpus: Annotated[int, Field(ge=0, le=16)] = 1
    """GPUs of each replica."""
    engine: Literal["vllm", "transformers"] = "vllm"
    """Server: vLLM, or transformers' own where there is no GPU."""
    args: list[Annotated[str, Field(max_length=1024)]] = Field(default_factory=list)
    """More arguments of the server, for example `--max-model-len=4096`."""
    image: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """Image of the server in place of the operator's default for the engine."""
    resources: Resources = Resources()
    """Requests and limits of the server's container."""
    profile: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """Compute profile of the server's pods."""
    cache: Manifest | None = None
    """Source of the volume that holds weights by digest and compiled kernels, as in a pod, for example
    `{persistentVolumeClaim: {claimName: verifiers}}`: replicas that share one download and compile once. Each pod has
    an emptyDir of its own when absent."""
    allow_from: list[Manifest] = Field(default_factory=list)
    """Who may call the verifier beside pods of its namespace: peers as in a NetworkPolicy, for example Prometheus'
    namespace."""
