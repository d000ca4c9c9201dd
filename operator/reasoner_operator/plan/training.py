"""What the two training kinds share: processes, environment and command of a torch job. Called by `verifier`
and `grpo`; pure."""

from __future__ import annotations

from reasoner_api.common import Compute, Storage
from reasoner_api.task import TASK_DIR, TASK_FILE, Topology
from reasoner_operator.plan.compute import container_resources
from reasoner_operator.plan.pod import Container, credentials


def topology(compute: Compute) -> Topology:
    """One process a GPU, or one on the CPU."""
    return Topology(nodes=compute.nodes or 1, processes_per_node=max(compute.gpus_per_node or 0, 1))


def container(command: str, image: str, compute: Compute, storage: Storage) -> Container:
    """The training container; its program starts torchrun itself where there are several processes."""
    return Container(
        image=compute.image or image,
        command=("python", "-m", "reasoner_workloads", command, "--task", f"{TASK_DIR}/{TASK_FILE}"),
        env_from=credentials(storage),
        resources=container_resources(compute.resources, compute.gpus_per_node or 0),
        mounts=({"name": "shm", "mountPath": "/dev/shm"},),
    )
