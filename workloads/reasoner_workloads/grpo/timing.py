"""Where the time of a generation goes: sampling it, waiting for its scores, learning from it. A callback of the
trainer's that the reward function tells more; what they find goes into TRL's log, and so to the report and to every
tracker. Made by `train`."""

from __future__ import annotations

import time
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class Timing(TrainerCallback):
    """Seconds by this process's clock. TRL's log holds the mean over the processes."""

    def __init__(self) -> None:
        self._begun = self._generated = 0.0
        """When the present step began, and when the present generation was there."""
        self._generation = self._update = 0.0
        """Seconds of the present generation so far."""
        self._before: float | None = None
        """Seconds that learning from the generation before took."""

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._begun = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        # What lies between two steps is measuring and saving, and counts for none of the three.
        self._update += time.monotonic() - max(self._begun, self._generated)

    def generated(self) -> None:
        """The responses are there."""
        self._before = self._update if self._generated else None
        self._generated = time.monotonic()
        self._generation, self._update = self._generated - self._begun, 0.0

    def rewarded(self, waited: float) -> dict[str, float]:
        """Their rewards are there, after so many seconds in which nothing else was done: the figures for the log."""
        self._update -= waited
        found = {"generation_seconds": self._generation, "reward_seconds": waited}
        return found if self._before is None else {**found, "update_seconds": self._before}
