"""The pods that serve one digest of a verifier: weights, then the server. Called by `served`; pure.

Weights are fetched by an init container and not streamed into the engine: that alone holds every byte to its digest,
and three gigabytes of a 1.5 B model are seconds."""

from __future__ import annotations

from reasoner_api.common import Compute
from reasoner_operator import naming
from reasoner_operator.plan.compute import resolve
from reasoner_operator.plan.pod import Container, Pod, credentials, template
from reasoner_operator.plan.server import CACHE_DIR, HOOKS_DIR, LEAVING_SECONDS, REPLY_SECONDS, Served, server
from reasoner_operator.seen import Object

#: Seconds in which a server that has given its last reply lets go of its GPUs.
ENDING_SECONDS = 20
#: Enough for a download in parts; a namespace with a quota wants it said.
FETCHING = {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}}


def pod_template(served: Served) -> Object:
    """The template of the Deployment's pods."""
    compute = resolve(Compute(profile=served.serving.profile), served.settings)
    pod = Pod(
        labels=served.labels,
        annotations={naming.ANNOTATION_ARTIFACT: served.model.digest},
        init_containers=(_fetch(served),),
        containers=(server(served),),
        volumes=(
            {"name": "cache", **(served.serving.cache or {"emptyDir": {}})},
            {"name": "shm", "emptyDir": {"medium": "Memory"}},
        ),
        more={
            "terminationGracePeriodSeconds": LEAVING_SECONDS + REPLY_SECONDS + ENDING_SECONDS,
            "topologySpreadConstraints": [_spread(served.labels)],
        },
    )
    return template(pod, compute, served.settings.image_pull_policy)


def _spread(labels: dict[str, str]) -> Object:
    """Replicas on different machines where there are enough: the loss of one is not the loss of all."""
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels},
        "matchLabelKeys": ["pod-template-hash"],
    }


def _fetch(served: Served) -> Container:
    model, storage = served.model, served.storage
    command = ["python", "-m", "reasoner_workloads", "fetch"]
    command += ["--uri", model.uri, "--digest", model.digest, "--dest", served.folder]
    command += ["--hooks", HOOKS_DIR, "--region", storage.region]
    if storage.endpoint:
        command += ["--endpoint", storage.endpoint]
    return Container(
        name="fetch",
        image=served.settings.images.curation,
        command=tuple(command),
        env_from=credentials(storage),
        resources=FETCHING,
        mounts=({"name": "cache", "mountPath": CACHE_DIR},),
        more={"terminationMessagePolicy": "FallbackToLogsOnError"},
    )
