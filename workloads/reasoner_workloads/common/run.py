"""The frame of every workload: reads the task, runs the body, leaves the report, turns outcomes into exit codes.
Called by each workload's `run.main`."""

from __future__ import annotations

import contextlib
import signal
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from reasoner_api.task import (
    EXIT_BAD_CONFIG,
    EXIT_PAUSED,
    EXIT_PEER_LOST,
    EXIT_TERMINATED,
    TASK,
    CurationTask,
    GRPOTask,
    VerifierTask,
)
from reasoner_workloads.common.progress import Reporter
from reasoner_workloads.common.store import Store, StoreError, hurry, open_store

T = TypeVar("T", CurationTask, VerifierTask, GRPOTask)

EXIT_ERROR = 1


class WorkloadError(Exception):
    """A failure that needs no traceback: `reason` is one word for programs, the message says what to do."""

    exit_code = EXIT_ERROR

    def __init__(self, message: str, *, reason: str = "Error") -> None:
        super().__init__(message)
        self.reason = reason


class ConfigError(WorkloadError):
    """The user's fault, which no retry mends."""

    exit_code = EXIT_BAD_CONFIG

    def __init__(self, message: str, *, reason: str = "BadConfig") -> None:
        super().__init__(message, reason=reason)


class Paused(WorkloadError):
    """The run stops, with what it has done kept, until somebody lets it go on."""

    exit_code = EXIT_PAUSED


class PeerLost(WorkloadError):
    """Another process of the group is gone, and with it the step: no failure of this one."""

    exit_code = EXIT_PEER_LOST

    def __init__(self, message: str, *, reason: str = "PeerLost") -> None:
        super().__init__(message, reason=reason)


class Terminated(SystemExit):
    """SIGTERM arrived. Raised in the main thread, or by a body that asked to be told instead (`Run.on_sigterm`).
    A SystemExit: no handler of failures may take it for one, and event loops let it through."""

    def __init__(self) -> None:
        super().__init__(EXIT_TERMINATED)


@dataclass
class Run(Generic[T]):
    """What a body is given."""

    task: T
    """What to do."""
    reporter: Reporter
    """Where to say how far it is."""
    _hooks: list[Callable[[], None]] = field(default_factory=list)

    @cached_property
    def digest(self) -> str:
        """Digest of the task: what its artifacts carry as the spec's digest."""
        return self.task.digest

    @cached_property
    def store(self) -> Store:
        """The task's own store."""
        return store_of(self.task, self.reporter.store_away)

    def on_sigterm(self, hook: Callable[[], None]) -> None:
        """Be told of SIGTERM by a call (in a signal handler: set a flag, no more) in place of Terminated being raised.
        A body that then stops early raises Terminated itself."""
        self._hooks.append(hook)

    @contextlib.contextmanager
    def told_of_sigterm(self, hook: Callable[[], None]) -> Iterator[None]:
        """The same for a while."""
        self._hooks.append(hook)
        try:
            yield
        finally:
            self._hooks.remove(hook)

    def _terminate(self, _signal: int, _frame: FrameType | None) -> None:
        hurry()
        if not self._hooks:
            raise Terminated
        for hook in self._hooks:
            hook()


def store_of(task: CurationTask | VerifierTask | GRPOTask, tell: Callable[[str], None] | None = None) -> Store:
    """The store at the task's own prefix, `<output>/<hex of its digest>`. `tell` hears that it is away."""
    storage = task.work.storage
    uri = f"{task.output}/{task.digest.removeprefix('sha256:')}"
    return open_store(uri, endpoint=storage.endpoint, region=storage.region, tell=tell)


def load_task(path: Path, kind: type[T]) -> T:
    """The task in the file. Raises ConfigError naming the file or the field."""
    try:
        task = TASK.validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot read the task {path}: {error.strerror}") from error
    except ValidationError as error:
        # The first part of the location is the kind, which chose among the models.
        faults = (f"{'.'.join(map(str, e['loc'][1:])) or 'kind'}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"bad task: {'; '.join(faults)}") from error
    if not isinstance(task, kind):
        raise ConfigError(f"bad task: kind is {task.kind}, which this workload does not do")
    return task


def run(path: Path, kind: type[T], body: Callable[[Run[T]], Any]) -> int:
    """Run a workload's body on the task in the file and return the exit code: 0, 2 for the user's fault (never
    retry), 3 for a pause, 4 for a lost peer, 143 for SIGTERM, 1 for all else. The termination message is left in
    every case."""
    reporter = Reporter()
    try:
        with _told(reporter), _signals() as arm:
            task = load_task(path, kind)
            this = Run(task, reporter)
            arm(this._terminate)
            body(this)
            reporter.update(state="Succeeded")
    except WorkloadError as error:
        return error.exit_code
    except Terminated:
        return EXIT_TERMINATED
    finally:
        reporter.close()
    return EXIT_ERROR if reporter.report.state == "Failed" else 0


@contextlib.contextmanager
def _told(reporter: Reporter) -> Iterator[None]:
    """What ends the run, written into the report; a bug also to stderr."""
    try:
        yield
    except WorkloadError as error:
        state = "Paused" if isinstance(error, Paused) else "Failed"
        reporter.update(state=state, reason=error.reason, message=str(error))
        raise
    except ImportError as error:
        # No other pod of this image will find it either.
        traceback.print_exc()
        message = f"this image lacks something that the spec asks for: {error}"
        reporter.update(state="Failed", reason="BadConfig", message=message)
        raise ConfigError(message) from error
    except StoreError as error:
        reporter.update(state="Failed", reason="StoreUnavailable", message=str(error))
        raise WorkloadError(str(error), reason="StoreUnavailable") from error
    except Terminated:
        reporter.update(state="Failed", reason="Terminated", message="ended by SIGTERM before the work was done")
        raise
    except Exception as error:  # noqa: BLE001 - the last stop: whatever it is must be told and shown
        traceback.print_exc()
        reporter.update(state="Failed", reason="Error", message=f"{type(error).__name__}: {error}")


@contextlib.contextmanager
def _signals() -> Iterator[Callable[[Callable[[int, FrameType | None], None]], Any]]:
    """SIGTERM handled from the start: before the task is known it simply ends the run."""

    def at_once(_signal: int, _frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, at_once)
    try:
        yield lambda handler: signal.signal(signal.SIGTERM, handler)
    finally:
        signal.signal(signal.SIGTERM, before)
