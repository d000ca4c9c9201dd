"""Measurements on held-out questions before, during and after training: when they are made, and where they are kept.
Used by `train`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from transformers import TrainerControl, TrainerState, TrainingArguments

from reasoner_workloads.common.store import Store, StoreError
from reasoner_workloads.training.callbacks import Watch

FOLDER = "evaluation"
FIGURES = ("reward", "accuracy", "extraction_failures")
_STEP = re.compile(rf"{FOLDER}/step-(\d{{8}})\.json")


@dataclass
class Measurements:
    """What was measured after which step, kept in the run's store: a resumed run cannot measure an earlier policy."""

    store: Store
    warn: Callable[[str, str], None]
    """Told by reason and message of what could not be kept yet."""
    _waiting: dict[int, dict[str, float]] = field(default_factory=dict)
    """What is not kept yet, by step."""

    def read(self) -> dict[int, dict[str, float]]:
        """All of them, by step."""
        steps = {int(found[1]): key for key in self.store.list(f"{FOLDER}/") if (found := _STEP.fullmatch(key))}
        return {step: json.loads(self.store.get(key)) for step, key in sorted(steps.items())}

    def keep(self, step: int, figures: dict[str, float]) -> None:
        """Keep one; one made again after a restart takes the old one's place. Where the store is away training goes on,
        and it is kept together with the next; the first must be kept before anything is trained. Raises StoreError."""
        self._waiting[step] = figures
        try:
            for waiting in sorted(self._waiting):
                self.store.put(f"{FOLDER}/step-{waiting:08d}.json", json.dumps(self._waiting[waiting]).encode())
                del self._waiting[waiting]
        except StoreError as error:
            if step == 0:
                raise
            self.warn("MeasurementNotKept", f"what was measured after step {step} is not kept yet: {error}")


@dataclass
class MeasuringWatch(Watch):
    """A Watch that also asks for measurements and reports them."""

    measurements: Measurements | None = None
    """Where they are kept; None where there is nothing to measure on."""
    every_steps: int = 0
    """Optimizer steps between them; 0 for the first and the last alone."""
    measured: dict[int, dict[str, float]] = field(default_factory=dict)
    """By step."""

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> TrainerControl:
        super().on_step_end(args, state, control, **more)
        step = state.global_step
        due = step >= state.max_steps or (self.every_steps and step % self.every_steps == 0)
        if due and self.measurements is not None:
            control.should_evaluate = True
        return control

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        step = state.global_step
        found = {name.removeprefix("eval_"): float(value) for name, value in (metrics or {}).items()}
        self.measured[step] = found
        if self.measurements is not None and self.checkpoints.world.main:
            self.measurements.keep(step, found)
        self.run.reporter.update(metrics=self.summary(step))

    def summary(self, step: int) -> dict[str, float]:
        """The first measurement and the newest up to a step, as the report names them."""
        newest = max((one for one in self.measured if 0 < one <= step), default=None)
        found = {"before": self.measured.get(0), "after": None if newest is None else self.measured[newest]}
        return {
            f"{figure}_{when}": values[figure]
            for when, values in found.items()
            for figure in FIGURES
            if values and figure in values
        }
