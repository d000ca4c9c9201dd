"""Measures a policy on held-out questions before its first and after its last step. Used by `train`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from transformers import TrainerControl, TrainerState, TrainingArguments

from reasoner_workloads.common.store import Missing, Store
from reasoner_workloads.training.callbacks import Watch

BASELINE = "baseline.json"
FIGURES = ("reward", "accuracy", "extraction_failures")


@dataclass
class Baseline:
    """What was measured before the first step, kept in the run's store: a resumed run cannot measure it again."""

    store: Store

    def read(self) -> dict[str, float]:
        """What an earlier pod measured; empty when none has."""
        try:
            return dict(json.loads(self.store.get(BASELINE)))
        except Missing:
            return {}

    def keep(self, measured: dict[str, float]) -> None:
        """Keep it, unless it is kept already."""
        self.store.put_new(BASELINE, json.dumps(measured).encode())


@dataclass
class MeasuringWatch(Watch):
    """A Watch that also measures. TRL's own evaluation does it, so it works sharded and with vLLM."""

    baseline: Baseline | None = None
    """Where the first measurement is kept; None where there is nothing to measure on."""
    measured: dict[str, float] = field(default_factory=dict)

    @property
    def unmeasured(self) -> bool:
        """Whether the measurement after the last step is still to be made."""
        return self.baseline is not None and "reward_after" not in self.measured

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> TrainerControl:
        super().on_step_end(args, state, control, **more)
        if state.global_step >= state.max_steps and self.baseline is not None:
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
        when = "before" if state.global_step == 0 else "after"
        found = {f"{figure}_{when}": float((metrics or {})[f"eval_{figure}"]) for figure in FIGURES}
        if when == "before" and self.baseline is not None and self.checkpoints.world.main:
            self.baseline.keep(found)
        self.measured |= found
        self.run.reporter.update(metrics=self.measured)
