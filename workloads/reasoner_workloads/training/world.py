"""The processes that train together, seen from one of them. Used by `checkpoints`, `callbacks` and the trainers."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")


class World:
    """Ranks and what they agree on. Without torchrun it is one process, and agreeing costs nothing."""

    def __init__(self) -> None:
        self.rank = int(os.environ.get("RANK", "0"))
        self.local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.local_size = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        self.node = int(os.environ.get("GROUP_RANK", "0"))
        self.nodes = int(os.environ.get("GROUP_WORLD_SIZE", "1"))

    @property
    def main(self) -> bool:
        """Whether this process publishes and reports for all."""
        return self.rank == 0

    @property
    def first_of_node(self) -> bool:
        """Whether this process speaks for its node's disk."""
        return self.local_rank == 0

    def gather(self, value: T) -> list[T]:
        """Everyone's value, by rank, to everyone."""
        if not self._together():
            return [value]
        values: list[T | None] = [None] * self.size
        dist.all_gather_object(values, value)
        return values  # type: ignore[return-value]

    def once_a_node(self, work: Callable[[], T]) -> T:
        """What the node's first process makes of it, to every process of the node. After the group has formed."""
        if self.size > 1 and not self._together():
            raise RuntimeError("the process group has not formed yet")
        made: list[T | None] = self.gather(work() if self.first_of_node else None)
        return made[self.rank - self.local_rank]  # type: ignore[return-value]

    def most(self, number: int) -> int:
        """The largest of everyone's numbers."""
        if not self._together():
            return number
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        found = torch.tensor([number], device=device)
        dist.all_reduce(found, op=dist.ReduceOp.MAX)
        return int(found.item())

    def any(self, flag: bool) -> bool:
        """Whether anyone's flag is set."""
        return bool(self.most(int(flag)))

    def barrier(self) -> None:
        """Wait for everyone."""
        if self._together():
            dist.barrier()

    def _together(self) -> bool:
        return self.size > 1 and dist.is_initialized()
