"""What a run does whose verifier or store stays away: it keeps what it has learnt, lets go of its GPUs and says so, or
counts as failed. Made by `train`, called by `trainer`; the store's part is used by `run`. Loads no torch by itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from reasoner_api.reward import Reward
from reasoner_api.task import GRPOTask
from reasoner_workloads.common.run import Paused, Terminated
from reasoner_workloads.common.store import Missing, StoreError
from reasoner_workloads.grpo.circuit import VerifierUnavailable

if TYPE_CHECKING:
    from reasoner_workloads.training.callbacks import Watch

#: Seconds beyond the wait itself: the last request, and the checkpoint that is kept then.
MARGIN = 300.0


def longest_wait(task: GRPOTask) -> float:
    """Seconds that scores may be waited for, which the spec allows and no watchdog may take for a hang."""
    if task.verifier is None and task.work.evaluation.judge is None:
        return 0.0
    reward = task.work.reward
    return reward.verifier_unavailable.wait_seconds + reward.timeout_seconds + MARGIN


@contextlib.contextmanager
def waiting_for_the_store() -> Iterator[None]:
    """A run whose store stays away, or refuses, pauses: what it has done is there, and no restart is worth an outage.
    While it trains it goes on without (`record`, `measure`, `uploads`); this is how it begins, and ends."""
    try:
        yield
    except Missing:
        raise  # it answers, and something is gone
    except StoreError as error:
        raise Paused(
            f"{error}; the run goes on by itself once the store answers, for which it is asked every five minutes",
            reason="StoreUnavailable",
        ) from error


@dataclass
class Away:
    """The end of a run for want of its verifier."""

    trainer: Any
    watch: Watch
    reward: Reward

    def __call__(self, why: VerifierUnavailable) -> NoReturn:
        """Called by every process at the same point. Raises Terminated where the pod was told to stop meanwhile, else
        what the spec says."""
        self._save()
        if self.watch.checkpoints.world.any(self.watch.stop.asked):
            raise Terminated
        settings = self.reward.verifier_unavailable
        if settings.action == "Fail":
            raise why
        raise Paused(
            f"{why}; the run goes on by itself when its VerifierTraining is Ready anew, in {settings.retry_seconds} s, "
            "or when spec.suspend is set and cleared",
            reason=why.reason,
        )

    def _save(self) -> None:
        """Keep the last step, unless it is kept already or within a generation, which cannot be learnt from in part."""
        trainer, checkpoints = self.trainer, self.watch.checkpoints
        step = trainer.state.global_step
        checkpoints.finish(self.watch.leave_by)
        there = checkpoints.world.any(checkpoints.world.main and step in checkpoints.steps())
        if step and not there and step % self.watch.every == 0:
            self.watch.ending = True
            trainer._save_checkpoint(trainer.model, trial=None)
            trainer.callback_handler.on_save(trainer.args, trainer.state, trainer.control)
