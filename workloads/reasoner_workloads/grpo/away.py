"""What a run does whose verifier stays away: it keeps what it has learnt, lets go of its GPUs and says so, or counts as
failed. Made by `train`, called by `trainer`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

from reasoner_api.reward import Reward
from reasoner_api.task import GRPOTask
from reasoner_workloads.common.run import Paused, Terminated
from reasoner_workloads.grpo.circuit import VerifierUnavailable
from reasoner_workloads.training.callbacks import Watch

#: Seconds beyond the wait itself: the last request, and the checkpoint that is kept then.
MARGIN = 300.0


def longest_wait(task: GRPOTask) -> float:
    """Seconds that scores may be waited for, which the spec allows and no watchdog may take for a hang."""
    if task.verifier is None and task.work.evaluation.judge is None:
        return 0.0
    reward = task.work.reward
    return reward.verifier_unavailable.wait_seconds + reward.timeout_seconds + MARGIN


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
        checkpoints.finish()
        there = checkpoints.world.any(checkpoints.world.main and step in checkpoints.steps())
        if step and not there and step % self.watch.every == 0:
            self.watch.ending = True
            trainer._save_checkpoint(trainer.model, trial=None)
            trainer.callback_handler.on_save(trainer.args, trainer.state, trainer.control)
