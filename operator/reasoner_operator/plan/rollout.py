"""The pod that generates the responses of a GRPORun, where that is done apart. Called by `grpo`; pure.

It is the last pod of the training Job and not a Deployment beside it: so a queue admits all of them or none, they are
placed near each other, and one Job starts, replaces, suspends and ends them together."""

from __future__ import annotations

from reasoner_api.rollout import Rollout
from reasoner_api.task import Topology
from reasoner_operator.seen import Object


class NoNodeLeft(ValueError):
    """The server takes a node, and none would be left to train."""


def split(topology: Topology, rollout: Rollout) -> Topology:
    """The nodes, of which the last generates in mode server.

    Raises:
        NoNodeLeft: there are not two of them.
    """
    if rollout.mode == "colocate":
        return topology
    if topology.nodes < 2:
        raise NoNodeLeft("rollout.mode: server takes the last of compute.nodes for itself: set at least 2")
    return topology.model_copy(update={"nodes": topology.nodes - 1, "rollout_nodes": 1})


def env(rollout: Rollout) -> tuple[Object, ...]:
    """What vLLM is told wherever it runs, and what it and TRL need to find each other: the address at which the weights
    are sent. That of the server comes from the Job's name (`job`)."""
    if rollout.engine != "vllm":
        return ()
    quiet = {"name": "VLLM_NO_USAGE_STATS", "value": "1"}
    if rollout.mode == "colocate":
        return (quiet,)
    return (quiet, {"name": "VLLM_HOST_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}})


def index(topology: Topology) -> int | None:
    """Completion index of the pod that generates; None where none does."""
    return topology.nodes if topology.rollout_nodes else None
