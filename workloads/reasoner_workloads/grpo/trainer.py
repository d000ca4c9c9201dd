"""TRL's GRPOTrainer as a GRPORun needs it: scoring begins as soon as responses are there, a verifier that stays away is
everybody's business at once, and measurement is the recipe's own. Made by `train`; needs TRL."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NoReturn

from trl import GRPOTrainer

from reasoner_workloads.grpo.circuit import VerifierUnavailable
from reasoner_workloads.grpo.order import Order
from reasoner_workloads.grpo.training_reward import TrainingReward
from reasoner_workloads.training.world import World


class PolicyTrainer(GRPOTrainer):  # type: ignore[misc]
    """One process's trainer. `measure`, `give_up` and `waiting` are set by who makes it, as they need the trainer."""

    def __init__(self, reward: TrainingReward, world: World, **trl: Any) -> None:
        super().__init__(reward_funcs=reward, **trl)
        self.reward, self.world = reward, world
        self.measure: Callable[[], dict[str, float]]
        """Figures on held-out questions, from all processes to each."""
        self.give_up: Callable[[VerifierUnavailable], NoReturn]
        """Ends the run, called by every process at the same point."""
        self.waiting: Callable[[], AbstractContextManager[None]]
        """Entered while scores are waited for, and with them the other processes, which wait for theirs."""
        self._rows: list[dict[str, Any]] = []

    def begin_at(self, step: int) -> None:
        """Training begins after this step. TRL counts forward passes from 0 wherever it resumes, and generates anew by
        that count: after a stop within a generation every later one would begin between the points that checkpoints
        are made at. It has no buffer yet, so the rest of the generation is made first, as a whole, and its first
        passes are left out."""
        self._step = step * self.args.gradient_accumulation_steps

    def agree(self, away: VerifierUnavailable | None) -> None:
        """Give up where any process must: one that left alone would leave the others waiting for it."""
        if self.world.any(away is not None):
            told = self.world.gather(None if away is None else str(away))
            self.give_up(VerifierUnavailable(next(text for text in told if text is not None)))

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Measure, and tell the log and the callbacks as a trainer does. TRL's own evaluation samples at the training
        temperature and computes a loss, which nobody needs, from log-probabilities, which take as long again."""
        with self.no_training():
            metrics = {f"eval_{name}": value for name, value in self.measure().items()}
            self.log(metrics)  # TRL would add the figures of the step
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    @contextlib.contextmanager
    def no_training(self) -> Iterator[None]:
        """The model as it is measured, without dropout."""
        training = self.model.training
        self.model.eval()
        try:
            yield
        finally:
            self.model.train(training)

    def _get_train_sampler(self, dataset: Any = None) -> Order:
        return Order(super()._get_train_sampler(dataset), lambda: int(self.state.epoch or 0))

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self._rows = inputs
        return super()._generate_and_score_completions(inputs)  # type: ignore[no-any-return]

    def _generate(self, prompts: list[str]) -> Any:
        found = super()._generate(prompts)
        _, ids, _, texts, *_ = found
        # TRL asks for rewards only after the log-probabilities of the old and of the reference policy.
        self.reward.begin(self._rows, texts, ids, self.async_loop)
        return found

    def _calculate_rewards(self, *arguments: Any) -> Any:
        with self.waiting():
            rewards = super()._calculate_rewards(*arguments)
            self.agree(self.reward.away)
        return rewards
