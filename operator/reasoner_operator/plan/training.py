"""What the two training kinds share: placement, processes, environment and command of a torch job. Called by
`verifier` and `grpo`; pure."""

from __future__ import annotations

from reasoner_api.common import Compute, Storage
from reasoner_api.task import TASK_DIR, TASK_FILE, Topology
from reasoner_operator import naming
from reasoner_operator.plan.compute import container_resources, resolve
from reasoner_operator.plan.pod import Container, credentials
from reasoner_operator.seen import Object, Seen
from reasoner_operator.settings import Settings

#: A word of NCCL where it fails; without it a broken network shows as a time-out alone.
NCCL = ({"name": "NCCL_DEBUG", "value": "WARN"},)
#: A group's pods that are moved to save a node cost the step, and all that came after the last checkpoint.
UNMOVED = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", "karpenter.sh/do-not-disrupt": "true"}
#: A crash in native code shows where Python was.
STACKS = ({"name": "PYTHONFAULTHANDLER", "value": "1"},)


def placed(seen: Seen, compute: Compute, settings: Settings) -> Compute:
    """`compute` with its profile, with the word that its pods are not to be moved, and where it says nothing of
    affinity, with the pods of several nodes one a machine and near each other. These are wishes: a small cluster still
    runs the job.

    Raises:
        UnknownProfile: as `resolve`.
    """
    found = resolve(compute, settings)
    found = found.model_copy(update={"annotations": {**UNMOVED, **(found.annotations or {})}})
    if (found.nodes or 1) == 1 or found.affinity is not None:
        return found
    mates = naming.labels(seen.kind, seen.name, naming.ROLE_WORK)
    affinity = {
        "podAffinity": _preferred(50, "topology.kubernetes.io/zone", mates),
        "podAntiAffinity": _preferred(100, "kubernetes.io/hostname", mates),
    }
    return found.model_copy(update={"affinity": affinity})


def _preferred(weight: int, topology_key: str, labels: dict[str, str]) -> Object:
    term = {"topologyKey": topology_key, "labelSelector": {"matchLabels": labels}}
    return {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": weight, "podAffinityTerm": term}]}


def topology(compute: Compute) -> Topology:
    """One process a GPU, or one on the CPU."""
    return Topology(nodes=compute.nodes or 1, processes_per_node=max(compute.gpus_per_node or 0, 1))


def container(command: str, image: str, compute: Compute, storage: Storage) -> Container:
    """The training container; its program starts torchrun itself where there are several processes."""
    return Container(
        image=compute.image or image,
        command=("python", "-m", "reasoner_workloads", command, "--task", f"{TASK_DIR}/{TASK_FILE}"),
        env=(*STACKS, *(NCCL if compute.gpus_per_node else ())),
        env_from=credentials(storage),
        resources=container_resources(compute.resources, compute.gpus_per_node or 0),
        mounts=({"name": "shm", "mountPath": "/dev/shm"},),
    )
