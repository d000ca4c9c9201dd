"""The container that serves one digest of a verifier: how it is started, probed and taken leave of. Called by
`server_pod`; pure."""

from __future__ import annotations

from dataclasses import dataclass

from reasoner_api.common import Storage
from reasoner_api.serving import Serving
from reasoner_api.status import Artifact
from reasoner_operator import naming
from reasoner_operator.plan.compute import container_resources
from reasoner_operator.plan.pod import SCRATCH, Container
from reasoner_operator.seen import Seen
from reasoner_operator.settings import Settings

CACHE_DIR = "/cache"
#: Seconds that a server may take to load its model: startup probes every 5 s.
STARTUP_SECONDS = 1800
#: Seconds from the word that a pod is leaving until its server is told to end: no Service sends it anybody new by then,
#: and whoever is connected has been told by a reply to go elsewhere.
LEAVING_SECONDS = 10
#: Seconds that the server then has for the replies that it owes.
REPLY_SECONDS = 120
#: Where the fetching container puts `leaving.py`, and the file whose existence tells it that the pod is leaving.
HOOKS_DIR = f"{SCRATCH}/hooks"
LEAVING_FILE = f"{SCRATCH}/leaving"
#: Kernels compiled once are found again; idle connections are kept for longer than clients keep theirs, so that none
#: asks over one that is just being closed; nothing is asked of the internet.
VLLM = (
    {"name": "PYTHONPATH", "value": HOOKS_DIR},
    {"name": "VLLM_CACHE_ROOT", "value": f"{CACHE_DIR}/vllm"},
    {"name": "VLLM_HTTP_TIMEOUT_KEEP_ALIVE", "value": "75"},
    {"name": "VLLM_NO_USAGE_STATS", "value": "1"},
    {"name": "HF_HUB_OFFLINE", "value": "1"},
)
#: Without the first vLLM cuts off the replies that it owes; the second closes the connections that clients keep.
DRAIN = ("--shutdown-timeout", str(REPLY_SECONDS), "--middleware", "leaving.Leaving")
LEAVE = f"touch {LEAVING_FILE}; sleep {LEAVING_SECONDS}"
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


def server(served: Served) -> Container:
    """The container."""
    serving, images = served.serving, served.settings.images
    pinned = naming.served_model(served.seen.name, served.model.digest)
    port = str(naming.SERVE_PORT)
    # The first name is the one that replies bear; people may leave the digest out.
    common = ("--served-model-name", pinned, served.seen.name, "--host", "$(POD_IP)", "--port", port)
    image, command = images.vllm, ["vllm", "serve", served.folder, *DRAIN]
    if serving.engine == "transformers":
        image, command = images.trainer, ["python", "-m", "reasoner_workloads", "serve", "--model", served.folder]
    healthy = {"httpGet": {"path": "/health", "port": "http"}}
    asked = {"exec": {"command": ["python3", "-c", ASK, pinned, port]}}
    return Container(
        image=serving.image or image,
        command=(*command, *common, *serving.args),
        env=({"name": "LEAVING_FILE", "value": LEAVING_FILE}, *(VLLM if serving.engine == "vllm" else ())),
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
            "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", LEAVE]}}},
            "terminationMessagePolicy": "FallbackToLogsOnError",
        },
    )
