"""Does what the guards of a run decide, after each entry of the trainer's log. Added to the trainer by `train`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from reasoner_api.guards import Guards
from reasoner_workloads.common.progress import Reporter
from reasoner_workloads.common.run import ConfigError, Paused
from reasoner_workloads.grpo.guards import Finding, findings, mark
from reasoner_workloads.training.stop import Stop

GO_ON = "set spec.suspend and clear it again to go on"


@dataclass
class Guard(TrainerCallback):
    """Stops, pauses or warns."""

    guards: Guards
    reporter: Reporter
    stop: Stop
    main: bool
    """Whether this process speaks for all."""

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        for finding in findings(state.log_history, self.guards):
            # In the log before it is saved: a run that goes on after a pause does not fall over the same thing again.
            state.log_history.append(mark(finding, state.global_step))
            self._act(finding)

    def _act(self, finding: Finding) -> None:
        if self.main:
            self.reporter.warn(finding.reason, finding.message)
        if finding.action == "stop":
            # No failure that another pod could mend.
            raise ConfigError(finding.message, reason=finding.reason)
        if finding.action == "pause":
            pause = Paused(f"{finding.message}; {GO_ON}", reason=finding.reason)
            if finding.reason == "LossNotFinite":
                raise pause  # what would be saved now holds it
            self.stop.pause = pause
