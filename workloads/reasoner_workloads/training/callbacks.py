"""What happens around the trainer's steps: word is left, checkpoints go to the store, SIGTERM ends the run at a step
that can be resumed. Used by `verifier.train` and `grpo.train`."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from reasoner_workloads.common.run import Run, Terminated, WorkloadError
from reasoner_workloads.training.attempts import Attempts
from reasoner_workloads.training.checkpoints import Checkpoints
from reasoner_workloads.training.stop import Stop
from reasoner_workloads.training.watchdog import Watchdog

#: Entry of the trainer's log: the step of a checkpoint that was taken.
SAVED = "checkpoint"
#: Seconds of the grace period that are left for the manifest, and to end.
SPARE_SECONDS = 10.0


class _NothingLeft(Exception):
    """The restored checkpoint is the last step's. The trainer would go one step beyond it."""


@dataclass
class Watch(TrainerCallback):
    """Follows one training run."""

    run: Run[Any]
    checkpoints: Checkpoints
    stop: Stop
    names: Mapping[str, str]
    """Metric of the report -> entry of the trainer's log."""
    every: int = 1
    """Steps between points at which a run can resume as it is (a GRPO generation serves several)."""
    patience: float = 60.0
    """Seconds after SIGTERM for which such a point is waited for: about half the pod's grace period, as the rest is
    for writing and bringing away the checkpoint."""
    span: tuple[float, float] = (0.0, 1.0)
    """The part of the whole run's progress that training is."""
    watchdog: Watchdog | None = None
    """What ends a run that waits for ever, where it is asked for."""
    logged: dict[str, float] = field(default_factory=dict)
    ending: bool = False
    """Whether the next checkpoint is the last of this process."""
    _told: float = 0.0
    """When this process learnt that another of the group was told to stop."""
    _tokens: tuple[float, float] | None = None
    """When the last log was written, and TRL's count of tokens in it."""

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._advance(state)
        if state.global_step:
            self._note_saved(state)  # what was written then could not yet say so of itself
            # The figures as they stood, until there are newer ones.
            self._tell({name: value for entry in state.log_history for name, value in entry.items()})
        if state.global_step >= state.max_steps:
            raise _NothingLeft

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        self._advance(state)
        urgency = self.checkpoints.world.most(self.stop.urgency(self.patience))
        if urgency and self.stop.pause is None:
            self._told = self._told or time.monotonic()
        if urgency > 1 or (urgency and self._at_point(state)):
            self._end(control)
        # Nothing goes on beside it for which the last step's would be worth leaving out.
        self.ending |= state.global_step >= state.max_steps
        # Logged first: what is saved or published is known to be finite, and a resumed run's log has the same windows.
        control.should_log |= control.should_save or state.global_step >= state.max_steps
        return control

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        self._pace(logs or {})
        self._tell(logs or {})
        if self.stop.pause is not None and self._at_point(state):
            # Found by what this step's log says, which comes after the step's end and before its checkpoint.
            self._end(control)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        if self.checkpoints.save(folder, state.global_step, last=self.ending, by=self.leave_by):
            self._note_saved(state)

    def leave_by(self) -> float:
        """Monotonic time by which this process must be gone: what is left of the grace period, of which `patience` is a
        half, where the pod or another of the group was told to stop."""
        since = self.stop.since if self.stop.asked else self._told
        return since + 2 * self.patience - SPARE_SECONDS if since else math.inf

    def _note_saved(self, state: TrainerState) -> None:
        state.log_history.append({SAVED: state.global_step, "step": state.global_step})

    def _at_point(self, state: TrainerState) -> bool:
        return state.global_step % self.every == 0

    def _end(self, control: TrainerControl) -> None:
        control.should_save = True
        control.should_training_stop = True
        self.ending = True

    def _tell(self, logs: Mapping[str, Any]) -> None:
        """Report what a log names. None where TRL has nothing to take the mean of; what is no number has no place in a
        report."""
        found = {name: logs[entry] for name, entry in self.names.items() if logs.get(entry) is not None}
        self.logged |= {name: float(value) for name, value in found.items() if math.isfinite(value)}
        self.run.reporter.update(metrics=self.logged)

    def _pace(self, logs: Mapping[str, float]) -> None:
        """Tokens a second since the last log, where TRL counts them."""
        if "num_tokens" not in logs:
            return
        now, count = time.monotonic(), float(logs["num_tokens"])
        if self._tokens is not None and now > self._tokens[0]:
            self.logged["tokens_per_second"] = (count - self._tokens[1]) / (now - self._tokens[0])
        self._tokens = now, count

    def _advance(self, state: TrainerState) -> None:
        start, end = self.span
        done = state.global_step / max(state.max_steps, 1)
        self.run.reporter.advance(start + (end - start) * done, f"step {state.global_step}/{state.max_steps}")
        self.run.reporter.update(metrics={"step": state.global_step, "max_steps": state.max_steps})


def train(trainer: Any, watch: Watch, step: int | None) -> None:
    """Train to the end, from the restored checkpoint of `step` where there is one. Raises Terminated where SIGTERM cut
    it short, Paused where a guard did, and WorkloadError where it has not come to its end: the trainer itself returns
    as if done."""
    watchdog = watch.watchdog
    for callback in (watchdog, watch) if watchdog else (watch,):
        trainer.add_callback(callback)
    if step is not None:
        print(f"resuming after step {step}", flush=True)
    if watch.checkpoints.world.main:
        Attempts(watch.run.store).begin(step or 0)
    watch.stop.training = True
    try:
        with contextlib.suppress(_NothingLeft), watchdog or contextlib.nullcontext():
            restored = None if step is None else f"{trainer.args.output_dir}/checkpoint-{step}"
            trainer.train(resume_from_checkpoint=restored)
    finally:
        watch.stop.training = False
        watch.checkpoints.finish(watch.leave_by)
    if watch.stop.pause is not None:
        raise watch.stop.pause
    if watch.checkpoints.world.any(watch.stop.asked):
        raise Terminated
    done, wanted = trainer.state.global_step, trainer.state.max_steps
    if done < wanted:
        # The trainer takes a data loader that yields nothing for a run that is over.
        raise WorkloadError(f"training has ended at step {done} of {wanted}, for want of data")
