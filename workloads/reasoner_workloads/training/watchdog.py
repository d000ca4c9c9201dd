"""Ends a run that waits for ever: a collective that one process never joins, a server that never answers. Without it
such a run holds its GPUs until somebody looks. A callback of the trainer's, made by `grpo.train`, armed by
`callbacks.train` and by `grpo.train` for what is measured at the end; every process has its own, so each shows where
it stands."""

from __future__ import annotations

import contextlib
import faulthandler
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from reasoner_api.guards import Hang
from reasoner_api.task import EXIT_PEER_LOST
from reasoner_workloads.common.progress import Reporter
from reasoner_workloads.common.run import EXIT_ERROR
from reasoner_workloads.training import launch
from reasoner_workloads.training.world import World

#: Generations whose time is remembered.
REMEMBERED = 101
#: Seconds within which a further sign of life tells nothing new.
OFTEN = 1.0


def patience(durations: Sequence[float], hang: Hang) -> float:
    """Seconds without a step after which a run hangs."""
    return max(hang.min_seconds, hang.factor * median(durations) if durations else 0.0)


@dataclass
class Watchdog(TrainerCallback):
    """Watches while it is entered."""

    hang: Hang
    every: int
    """Steps of a generation: one of them is far longer than the others, so only all together have a median."""
    reporter: Reporter
    world: World
    durations: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    """Seconds of the last generations with all their steps, without what was measured in between."""
    _wake: threading.Condition = field(default_factory=threading.Condition)
    _sign: float = 0.0
    """When something last moved."""
    _begun: float | None = None
    """When the present generation began."""
    _stepped: float = 0.0
    """When the last step ended."""
    _allowed: float = 0.0
    """Seconds that what is waited for now may take."""
    _thread: threading.Thread | None = None
    _off: bool = True

    def __enter__(self) -> Watchdog:
        self._off = False
        self._beat()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._wake:
            self._off = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()
        faulthandler.cancel_dump_traceback_later()

    @contextlib.contextmanager
    def waiting(self, seconds: float) -> Iterator[None]:
        """Something outside of the group is waited for, which may take so long."""
        self._allow(seconds)
        try:
            yield
        finally:
            self._allow(0.0)

    def sign_of_life(self) -> None:
        """What is waited for gets on, however slowly: answers of a verifier. Called at each, from any thread."""
        if time.monotonic() > self._sign + OFTEN:
            self._beat()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        now = self._stepped = time.monotonic()
        if state.global_step % self.every == 0:
            with self._wake:
                if self._begun is not None:
                    self.durations.append(now - self._begun)
            self._begun = now
        self._beat()

    def on_substep_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._beat()

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._beat()

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._begun is not None:
            # It follows a step, and is no part of the generation.
            self._begun += time.monotonic() - self._stepped
        self._beat()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._beat()
        if control.should_training_stop:
            self.__exit__()  # no step is to come: what is saved now is waited for

    def _beat(self) -> None:
        with self._wake:
            if self._off:
                return
            self._sign = time.monotonic()
            # Runs without Python: for code that waits in C and never lets go of the interpreter.
            faulthandler.dump_traceback_later(self._limit() + 4 * self._settle() + 10, exit=True)

    def _allow(self, seconds: float) -> None:
        with self._wake:
            # Together: what was waited for until now must not be measured by the new limit.
            self._allowed = seconds
            self._beat()
            self._wake.notify()

    def _limit(self) -> float:
        return max(patience(self.durations, self.hang), self._allowed)

    def _settle(self) -> float:
        """Seconds that the other processes are given to find out for themselves, and show where they stand."""
        return min(15.0, self._limit() / 4)

    def _watch(self) -> None:
        with self._wake:
            while not self._off:
                left = self._sign + self._limit() - time.monotonic()
                if left <= 0:
                    break
                self._wake.wait(left)
            else:
                return
        self._bite(time.monotonic() - self._sign)

    def _bite(self, waited: float) -> None:
        usual = f"a generation takes {median(self.durations):.3g} s" if self.durations else "none was done before"
        said = f"no step for {waited:.0f} s, where {usual}: the stacks of all processes are in the log"
        print(f"rank {self.world.rank}: {said}", file=sys.stderr, flush=True)
        faulthandler.dump_traceback(sys.stderr, all_threads=True)
        self.reporter.update(state="Failed", reason="Hung", message=said)
        # The first node fails, and is counted; the others go along with it, which is no failure of theirs.
        first = self.world.node == 0
        time.sleep(self._settle() * (1 if first else 2))
        launch.leave_at_once(EXIT_ERROR if first else EXIT_PEER_LOST, self.reporter)
