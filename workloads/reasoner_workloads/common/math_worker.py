"""Computer algebra in a process of its own: some formulas never end, and only a process can be ended. Used by
whatever compares answers by rules."""

from __future__ import annotations

import logging
import multiprocessing
import threading
from multiprocessing.connection import Connection

from reasoner_workloads.common.equivalence import math_equal

log = logging.getLogger(__name__)

#: The first comparison loads sympy, also on a busy machine.
START_SECONDS = 60.0


class MathWorker:
    """Compares formulas one at a time. Thread-safe; a context manager."""

    def __init__(self, timeout_seconds: float = 5.0) -> None:
        self.timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._child: tuple[multiprocessing.process.BaseProcess, Connection] | None = None

    def equal(self, truth: str, answer: str) -> bool:
        """Whether the formulas are equal; False where that cannot be found in time."""
        with self._lock:
            fresh = self._child is None
            self._child = self._child or _start()
            pipe = self._child[1]
            try:
                pipe.send((truth, answer))
                if pipe.poll(START_SECONDS if fresh else self.timeout_seconds):
                    return bool(pipe.recv())
            except (EOFError, BrokenPipeError, ConnectionResetError):
                log.warning("the algebra process died of %r and %r", truth, answer)
            else:
                log.warning("gave up comparing %r with %r", truth, answer)
            self._stop()
            return False

    def _stop(self) -> None:
        if self._child is not None:
            process, pipe = self._child
            self._child = None
            process.kill()
            process.join()
            process.close()
            pipe.close()

    def __enter__(self) -> MathWorker:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._stop()


def _start() -> tuple[multiprocessing.process.BaseProcess, Connection]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), name="algebra", daemon=True)
    process.start()
    theirs.close()
    return process, ours


def _serve(pipe: Connection) -> None:
    """The child: answers until the parent is gone."""
    logging.disable(logging.WARNING)  # math-verify warns of the time-outs that this process stands in for
    while True:
        try:
            truth, answer = pipe.recv()
            pipe.send(_equal(truth, answer))
        except (EOFError, BrokenPipeError, KeyboardInterrupt):
            return


def _equal(truth: str, answer: str) -> bool:
    try:
        return math_equal(truth, answer)
    except Exception as error:  # noqa: BLE001 - whatever sympy raises at strange input, the answer is "not known"
        log.warning("cannot compare %r with %r: %r", truth, answer, error)
        return False
