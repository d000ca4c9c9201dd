"""The broadcast of the weights, over the socket of `nccl_common`."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import torch

from vllm.distributed.weight_transfer.nccl_common import Group


def packed_nccl_broadcast_producer(
    iterator: Iterator[Any], group: Group, src: int, post_iter_func: Callable[[Any], torch.Tensor]
) -> None:
    """Send the tensors in their order; without names, as NCCL does."""
    assert src == 0
    for item in iterator:
        pickle.dump(post_iter_func(item).detach().cpu().numpy(), group.stream)
    group.stream.flush()


def receive(group: Group, count: int) -> list[torch.Tensor]:
    """So many tensors."""
    return [torch.from_numpy(pickle.load(group.stream)) for _ in range(count)]
