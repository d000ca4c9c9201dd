"""Whether two places hold the same weights, to the bit and cheaply: sums of the weights' bit patterns.

Sums add up over the shards of a tensor whatever the split, so a tensor-parallel engine can say what it holds without
gathering anything. Probed are the two matrices of each layer that engines neither fuse nor replicate; a weight sync
sends them with all others, in one stream. Used by `policy` in the trainer, and as vLLM's worker extension
(`--worker-extension-cls`) in the engine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

#: Ends of the names of the probed tensors, in Hugging Face's models and in vLLM's.
PROBED = (".o_proj.weight", ".down_proj.weight")
#: A weight's bits as a whole number, by its size in bytes.
_WORDS = {1: "int8", 2: "int16", 4: "int32", 8: "int64"}


def is_probed(name: str) -> bool:
    """Whether the tensor is one whose sum is compared."""
    return name.endswith(PROBED)


def bits(weights: torch.Tensor) -> torch.Tensor:
    """The sum of the bit patterns, a scalar int64 where the weights are."""
    import torch

    word = getattr(torch, _WORDS[weights.element_size()])
    return weights.detach().contiguous().view(word).sum(dtype=torch.int64)


def differing(expected: Mapping[str, int], found: Mapping[str, int]) -> list[str]:
    """Names whose sums differ; all that were expected where none is found. A tensor that the engine has under a name of
    its own (the experts of a mixture) is left to those that it has under the same one."""
    common = expected.keys() & found.keys()
    return sorted(name for name in common or expected if expected[name] != found.get(name))


def of_model(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The sums of a model's probed tensors, of those of its shard where it is one."""
    return {name: bits(weights) for name, weights in model.named_parameters() if is_probed(name)}


class WorkerSums:
    """What vLLM's workers can do beside their own; asked over `/collective_rpc`."""

    def check_policy_sums(self, expected: str) -> dict[str, int]:
        """Compare with the trainer's sums, JSON. Raises where the weights are others: of data-parallel engines
        only the first's reply is passed on, but every one's error."""
        import torch
        from vllm.distributed import get_tp_group

        model = self.get_model()  # type: ignore[attr-defined]  # of the worker that this is mixed into
        mine = of_model(model)
        group = get_tp_group()
        if mine and group.world_size > 1:
            total = torch.stack(list(mine.values())).cpu()
            torch.distributed.all_reduce(total, group=group.cpu_group)
            mine = dict(zip(mine, total, strict=True))
        wanted = json.loads(expected)
        if others := differing(wanted, {name: int(value) for name, value in mine.items()}):
            raise RuntimeError(
                f"{len(others)} of {len(wanted)} probed tensors hold other weights: {', '.join(others[:3])}"
            )
        return {"probed": len(wanted)}
