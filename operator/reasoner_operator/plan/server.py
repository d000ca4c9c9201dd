"""The pods that serve one digest of a verifier. Called by `served`; pure.

Weights are fetched by an init container and not streamed into the engine: that alone holds every byte to its digest,
and three gigabytes of a 1.5 B model are seconds."""

from __future__ import annotations

from dataclasses import dataclass

from reasoner_api.common import Compute, Storage
from reasoner_api.serving import Serving
from reasoner_api.status import Artifact
from reasoner_operator import naming
from reasoner_operator.plan.compute import container_resources, resolve
from reasoner_operator.plan.pod import Container, Pod, credentials, template
from reasoner_operator.seen import Object, Seen
from reasoner_operator.settings import Settings

CACHE_DIR = "/cache"
#: Seconds that a server may take to load its model: startup probes every 5 s.
STARTUP_SECONDS = 1800
#: Seconds from the word that a pod is leaving until its server hears of it: no Service sends it anybody new by then.
LEAVING_SECONDS = 10
#: Seconds that the server then has for the replies that it owes.
REPLY_SECONDS = 120
#: Kernels compiled once are found again; nothing is asked of the internet.
VLLM = (
    {"name": "VLLM_CACHE_ROOT", "value": f"{CACHE_DIR}/vllm"},
    {"name": "VLLM_NO_USAGE_STATS", "value": "1"},
    {"name": "HF_HUB_OFFLINE", "value": "1"},
)
#: The startup probe: a completion by the name that carries the digest, so that a pod is ready only once this very
#: digest is loaded and has answered. Every image that serves has a Python.
ASK = """\
import json, os, sys, urllib.request
host = os.environ["POD_IP"]
url = f"http://[{host}]" if ":" in host else f"http://{host}"
body = json.dumps({"model": sys.argv[1], "prompt": "1", "max_tokens": 1, "temperature": 0}).encode()
request = urllib.request.Request(f"{url}:{sys.argv[2]}/v1/completions", body, {"Content-Type": "application/json"})
try:
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=8)
except OSError as error:
    sys.exit(f"no completion yet: {error}")
"""


@dataclass(frozen=True)
class Served:
    """One digest of a verifier, and how it is to be served."""

    seen: Seen
    serving: Serving
    storage: Storage
    model: Artifact
    settings: Settings

    @property
    def labels(self) -> dict[str, str]:
        """Labels of everything that serves this digest, and of nothing that serves another."""
        labels = naming.labels(self.seen.kind, self.seen.name, naming.ROLE_SERVE)
        return {**labels, naming.LABEL_ARTIFACT: naming.short(self.model.digest)}

    @property
    def folder(self) -> str:
        """Where the weights lie in the cache."""
        return f"{CACHE_DIR}/models/{self.model.digest.removeprefix('sha256:')}"


def pod_template(served: Served) -> Object:
    """The template of the Deployment's pods."""
    compute = resolve(Compute(profile=served.serving.profile), served.settings)
    pod = Pod(
        labels=served.labels,
        annotations={naming.ANNOTATION_ARTIFACT: served.model.digest},
        init_containers=(_fetch(served),),
        containers=(_server(served),),
        volumes=(
            {"name": "cache", **(served.serving.cache or {"emptyDir": {}})},
            {"name": "shm", "emptyDir": {"medium": "Memory"}},
        ),
        more={
            "terminationGracePeriodSeconds": LEAVING_SECONDS + REPLY_SECONDS,
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
    command += ["--region", storage.region]
    if storage.endpoint:
        command += ["--endpoint", storage.endpoint]
    return Container(
        name="fetch",
        image=served.settings.images.curation,
        command=tuple(command),
        env_from=credentials(storage),
        mounts=({"name": "cache", "mountPath": CACHE_DIR},),
        more={"terminationMessagePolicy": "FallbackToLogsOnError"},
    )


def _server(served: Served) -> Container:
    serving, images = served.serving, served.settings.images
    pinned = naming.served_model(served.seen.name, served.model.digest)
    port = str(naming.SERVE_PORT)
    # The first name is the one that replies bear; people may leave the digest out.
    common = ("--served-model-name", pinned, served.seen.name, "--host", "$(POD_IP)", "--port", port)
    image, command = images.vllm, ["vllm", "serve", served.folder]
    if serving.engine == "transformers":
        image, command = images.trainer, ["python", "-m", "reasoner_workloads", "serve", "--model", served.folder]
    healthy = {"httpGet": {"path": "/health", "port": "http"}}
    asked = {"exec": {"command": ["python3", "-c", ASK, pinned, port]}}
    return Container(
        image=serving.image or image,
        command=(*command, *common, *serving.args),
        env=VLLM if serving.engine == "vllm" else (),
        resources=container_resources(serving.resources, serving.gpus),
        mounts=(
            # Not read-only: compiled kernels lie beside the weights.
            {"name": "cache", "mountPath": CACHE_DIR},
            {"name": "shm", "mountPath": "/dev/shm"},
        ),
        more={
            "ports": [{"name": "http", "containerPort": naming.SERVE_PORT}],
            "startupProbe": {
                **asked,
                "periodSeconds": 5,
                "timeoutSeconds": 10,
                "failureThreshold": STARTUP_SECONDS // 5,
            },
            "readinessProbe": {**healthy, "periodSeconds": 5, "timeoutSeconds": 5},
            "livenessProbe": {**healthy, "periodSeconds": 20, "timeoutSeconds": 10, "failureThreshold": 6},
            "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(LEAVING_SECONDS)]}}},
            "terminationMessagePolicy": "FallbackToLogsOnError",
        },
    )
