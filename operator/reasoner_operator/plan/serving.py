"""A trained verifier -> Deployment and Service. Called by `verifier`; pure."""

from __future__ import annotations

from reasoner_api.common import Compute, Storage
from reasoner_api.status import Artifact
from reasoner_api.verifier import Serving
from reasoner_operator import naming
from reasoner_operator.plan.compute import container_resources, resolve
from reasoner_operator.plan.pod import Container, Pod, credentials, template
from reasoner_operator.seen import Object, Seen
from reasoner_operator.settings import Settings

MODEL_DIR = "/models"
#: Seconds that a server may take to load its model: startup probes every 5 s.
STARTUP_SECONDS = 1800


def manifests(
    seen: Seen, serving: Serving, storage: Storage, model: Artifact, settings: Settings
) -> tuple[Object, ...]:
    """The Service and the Deployment behind it; the weights are brought by digest before the server starts."""
    compute = resolve(Compute(profile=serving.profile), settings)
    name = naming.serve_name(seen.name)
    labels = naming.labels(seen.kind, seen.name, naming.ROLE_SERVE)
    metadata = {
        "name": name,
        "namespace": seen.namespace,
        "labels": labels,
        "annotations": {naming.ANNOTATION_ARTIFACT: model.digest},
        "ownerReferences": [naming.owner_reference(seen.obj)],
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "selector": labels,
            "ports": [{"name": "http", "port": naming.SERVE_PORT, "targetPort": "http"}],
        },
    }
    pod = Pod(
        labels=labels,
        annotations={naming.ANNOTATION_ARTIFACT: model.digest},
        init_containers=(_fetch(storage, model, settings),),
        containers=(_server(seen, serving, settings),),
        volumes=(
            {"name": "model", "emptyDir": {}},
            {"name": "shm", "emptyDir": {"medium": "Memory"}},
        ),
    )
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "replicas": serving.replicas,
            "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": template(pod, compute, settings.image_pull_policy),
        },
    }
    return (service, deployment)


def _fetch(storage: Storage, model: Artifact, settings: Settings) -> Container:
    command = ["python", "-m", "reasoner_workloads", "fetch"]
    command += ["--uri", model.uri, "--digest", model.digest, "--dest", f"{MODEL_DIR}/verifier"]
    command += ["--region", storage.region]
    if storage.endpoint:
        command += ["--endpoint", storage.endpoint]
    return Container(
        name="fetch",
        image=settings.images.curation,
        command=tuple(command),
        env_from=credentials(storage),
        mounts=({"name": "model", "mountPath": MODEL_DIR},),
        more={"terminationMessagePolicy": "FallbackToLogsOnError"},
    )


def _server(seen: Seen, serving: Serving, settings: Settings) -> Container:
    probe = {"httpGet": {"path": "/health", "port": "http"}}
    common = ("--served-model-name", seen.name, "--host", "$(POD_IP)", "--port", str(naming.SERVE_PORT))
    if serving.engine == "vllm":
        image = settings.images.vllm
        command = ("vllm", "serve", f"{MODEL_DIR}/verifier", *common, *serving.args)
    else:
        image = settings.images.trainer
        command = ("python", "-m", "reasoner_workloads", "serve", "--model", f"{MODEL_DIR}/verifier", *common)
        command = (*command, *serving.args)
    return Container(
        image=serving.image or image,
        command=command,
        resources=container_resources(serving.resources, serving.gpus),
        mounts=(
            {"name": "model", "mountPath": MODEL_DIR, "readOnly": True},
            {"name": "shm", "mountPath": "/dev/shm"},
        ),
        more={
            "ports": [{"name": "http", "containerPort": naming.SERVE_PORT}],
            "startupProbe": {**probe, "periodSeconds": 5, "failureThreshold": STARTUP_SECONDS // 5},
            "readinessProbe": {**probe, "periodSeconds": 5},
            "livenessProbe": {**probe, "periodSeconds": 20, "timeoutSeconds": 10, "failureThreshold": 6},
            "terminationMessagePolicy": "FallbackToLogsOnError",
        },
    )
