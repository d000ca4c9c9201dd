"""The file a pod reads: rendered by the operator's `plan`, mounted from an immutable ConfigMap as
`/etc/reasoner/task.json`, validated again by the workload with this same class."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from reasoner_api.base import Digest, Model, StoreURI
from reasoner_api.common import VerifierPrompt
from reasoner_api.curation import Budget, CurationWork
from reasoner_api.digest import digest_of
from reasoner_api.grpo import GRPOWork
from reasoner_api.reward import CompletionsAPI
from reasoner_api.verifier import VerifierWork

#: Where the file is mounted, and how programs are told (`--task`).
TASK_DIR = "/etc/reasoner"
TASK_FILE = "task.json"

#: Port on which rank 0 serves `/progress` and `/metrics`.
REPORT_PORT = 9464

#: Environment variable with the host name of the pod that generates responses for a run, where one does.
ROLLOUT_HOST = "ROLLOUT_HOST"
#: Ports of a pod that generates responses: its vLLM server, and what tells the trainer how that server is.
ROLLOUT_PORT = 8000
LEASE_PORT = 9465
#: Port on which the first training pod meets the workers of that server, to send them the weights.
WEIGHTS_PORT = 51216

#: Exit code that means "bad configuration, never retry".
EXIT_BAD_CONFIG = 2
#: Exit code of a pod that could not go on because another of its process group was gone: no failure of its own.
EXIT_PEER_LOST = 4
#: Exit code after SIGTERM.
EXIT_TERMINATED = 143
#: Exit code that means "paused until somebody acts or what is missing is back": no failure, and nothing is lost.
EXIT_PAUSED = 3


def api_key_variable(role: str) -> str:
    """Environment variable that holds the API key of a model role: `EXTRACTOR_API_KEY`, ..."""
    return f"{role.upper()}_API_KEY"


class TaskBase(Model):
    """What every task says."""

    namespace: str
    """Namespace of the custom resource."""
    name: str
    """Name of the custom resource."""
    output: StoreURI
    """Prefix for what this run publishes, without its digest: workloads add `/<digest of the task>`."""

    @property
    def digest(self) -> str:
        """What the run's work is kept under."""
        return digest_of(self.wire())


class Topology(Model):
    """How many processes train together."""

    nodes: int = 1
    """Pods that train."""
    processes_per_node: int = 1
    """Processes in each pod."""
    rollout_nodes: int = 0
    """Further pods, with the indexes after the training pods', that generate responses for them."""


class InputArtifact(Model):
    """A published artifact that the run reads."""

    uri: StoreURI
    """Prefix of the artifact."""
    digest: Digest | None = None
    """Digest that it must have, where it is known."""


class VerifierEndpoint(Model):
    """A served verifier."""

    endpoint: str
    """Base URL of its OpenAI API."""
    model: str
    """Model name to send."""
    prompt: VerifierPrompt
    """What it is asked, and how its verdict is read."""
    api: CompletionsAPI = "completions"
    """How it is asked."""
    role: Literal["verifier", "judge"] = "verifier"
    """Whose API key is sent, where there is one: see `api_key_variable`."""
    digest: Digest | None = None
    """Digest of the served artifact, where it is known."""


class CurationTask(TaskBase):
    """One CurationJob's work. The shard is the pod's `JOB_COMPLETION_INDEX`."""

    kind: Literal["CurationJob"] = "CurationJob"
    """The kind."""
    work: CurationWork
    """What to do."""
    budget: Budget = Budget()
    """What it may cost."""
    parallelism: Annotated[int, Field(ge=1)] | None = None
    """Pods at work at a time; as many as shards when absent."""

    @property
    def pods(self) -> int:
        """Pods at work at a time, at most: what the job's rates are divided by."""
        return min(self.work.shards, self.parallelism or self.work.shards)

    @property
    def digest(self) -> str:
        """What the job's work is kept under: with another budget or more pods it goes on."""
        return digest_of(self.model_copy(update={"budget": Budget(), "parallelism": None}).wire())


class VerifierTask(TaskBase):
    """One VerifierTraining's work."""

    kind: Literal["VerifierTraining"] = "VerifierTraining"
    """The kind."""
    work: VerifierWork
    """What to do."""
    dataset: InputArtifact
    """The verdicts to learn from."""
    topology: Topology
    """Processes that train together."""


class GRPOTask(TaskBase):
    """One GRPORun's work."""

    kind: Literal["GRPORun"] = "GRPORun"
    """The kind."""
    work: GRPOWork
    """What to do."""
    dataset: InputArtifact
    """The questions."""
    verifier: VerifierEndpoint | None = None
    """The verifier; judged by rules when absent."""
    topology: Topology
    """Processes that train together."""


Task = Annotated[CurationTask | VerifierTask | GRPOTask, Field(discriminator="kind")]
TASK = TypeAdapter[CurationTask | VerifierTask | GRPOTask](Task)
