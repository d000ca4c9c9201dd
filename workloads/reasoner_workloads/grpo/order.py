"""The order of a run's questions, the same whether it resumes or not. Used by `trainer`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch.utils.data import Sampler
from trl.trainer.utils import RepeatSampler


class Order(Sampler[int]):
    """TRL's order, drawn for each epoch from the seed and the epoch's number. TRL draws one epoch's after the other
    from one generator: a run that resumes in its second epoch would go through the first's again."""

    def __init__(self, inner: RepeatSampler, epoch: Callable[[], int]) -> None:
        """`inner` is TRL's own sampler, `epoch` the number of the epoch that begins."""
        self.inner, self.epoch = inner, epoch

    def __iter__(self) -> Iterator[int]:
        if self.inner.shuffle:
            self.inner.generator.manual_seed(self.inner.seed + self.epoch())
        return iter(self.inner)

    def __len__(self) -> int:
        return len(self.inner)
