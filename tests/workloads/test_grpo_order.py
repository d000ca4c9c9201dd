"""The order of a run's questions, through its epochs and after it resumes."""

from __future__ import annotations

from trl.trainer.utils import RepeatSampler

from reasoner_workloads.grpo.order import Order


def order(epochs: list[int], *, shuffle: bool = True, seed: int = 7) -> list[list[int]]:
    """What a pod that goes through these epochs asks."""
    inner = RepeatSampler(range(10), mini_repeat_count=2, batch_size=3, repeat_count=2, shuffle=shuffle, seed=seed)
    now = iter(epochs)
    sampler = Order(inner, lambda: next(now))
    assert len(sampler) == 36  # the tenth question fills no batch
    return [list(sampler) for _ in epochs]


def test_a_pod_that_resumes_in_a_later_epoch_goes_on_in_that_ones_order() -> None:
    whole = order([0, 1, 2])
    assert len({tuple(epoch) for epoch in whole}) == 3
    assert order([1, 2]) == whole[1:]
    assert order([0], seed=8) != whole[:1]


def test_the_first_epoch_is_trls_own() -> None:
    inner = RepeatSampler(range(10), mini_repeat_count=2, batch_size=3, repeat_count=2, seed=7)
    assert order([0]) == [list(inner)]


def test_without_shuffling_each_epoch_is_the_datasets() -> None:
    first, second = order([0, 1], shuffle=False)
    assert first == second == sorted(first, key=lambda question: question // 3)
