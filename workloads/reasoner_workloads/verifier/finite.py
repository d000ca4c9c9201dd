"""A verifier's loss that is no number ends its training. Used by `train`."""

from __future__ import annotations

import math
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from reasoner_workloads.common.run import ConfigError


class Finite(TrainerCallback):
    """Ends a run whose loss is no number: the next pod would only come to the same."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(float(loss)):
            raise ConfigError(
                f"the loss is {loss} at step {state.global_step}: lower learningRate or maxGradNorm, or warm up for "
                "longer; the checkpoint before is kept",
                reason="LossNotFinite",
            )
