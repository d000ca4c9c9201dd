"""What ends training before its last step: SIGTERM, or the run's own judgement. Used by `callbacks` and the trainers;
loads no torch."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from reasoner_workloads.common.run import Paused, Run, Terminated


@dataclass
class Stop:
    """What ends training early: SIGTERM, as a flag while training and as an exception before and after; or a pause."""

    asked: bool = False
    training: bool = False
    pause: Paused | None = None
    """Set where a run is to save and stop by its own judgement; by every process alike."""
    since: float = 0.0

    def __call__(self) -> None:
        """Called by the signal handler."""
        self.asked, self.since = True, time.monotonic()
        if not self.training:
            raise Terminated

    def urgency(self, patience: float) -> int:
        """0: go on; 1: stop where the run can resume as it is; 2: stop after this step, the time is nearly up."""
        if not self.asked:
            return int(self.pause is not None)
        return 1 + (time.monotonic() - self.since > patience)


def listen(run: Run[Any]) -> Stop:
    """Hear SIGTERM from here on."""
    stop = Stop()
    run.on_sigterm(stop)
    return stop
