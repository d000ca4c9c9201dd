"""What the operator counts of itself, under the names that controller-runtime's dashboards and alerts know. Counted by
`queue`, `reconcile`, `transport` and `lease`, served by `endpoints`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram

from reasoner_operator.seen import Key

#: Seconds of one pass over an object: from a look that changes nothing to one that waits for a busy API server.
_PASS_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

_passes = Counter("controller_runtime_reconcile", "Reconciliations by outcome", ["controller", "result"])
_errors = Counter("controller_runtime_reconcile_errors", "Reconciliations that failed", ["controller"])
_bugs = Counter("controller_runtime_reconcile_panics", "Reconciliations that tripped over a bug", ["controller"])
_seconds = Histogram(
    "controller_runtime_reconcile_time_seconds", "Length of a reconciliation", ["controller"], buckets=_PASS_SECONDS
)
_active = Gauge("controller_runtime_active_workers", "Objects that are reconciled now", ["controller"])
_depth = Gauge("workqueue_depth", "Objects that wait for their reconciliation", ["name"])
_adds = Counter("workqueue_adds", "Objects put into the queue", ["name"])
_retries = Counter("workqueue_retries", "Objects put into the queue again after a failure", ["name"])
_waited = Histogram("workqueue_queue_duration_seconds", "Time in the queue", ["name"], buckets=_PASS_SECONDS)
_answers = Counter("rest_client_requests", "Requests to the API server", ["method", "code"])
_leading = Gauge("leader_election_master_status", "Whether this replica leads", ["name"])
_objects = Gauge("reasoner_objects", "Custom resources by phase", ["kind", "phase"])

#: Name of the one queue in the metrics.
QUEUE = "reasoner"


@contextmanager
def reconciliation(kind: str) -> Iterator[None]:
    """Times one pass over an object."""
    with _active.labels(kind).track_inprogress(), _seconds.labels(kind).time():
        yield


def passed(kind: str, again: bool) -> None:
    """A pass has ended well."""
    _passes.labels(kind, "requeue_after" if again else "success").inc()


def failed(kind: str, bug: bool = False) -> None:
    """A pass has failed, and comes again."""
    _passes.labels(kind, "error").inc()
    _errors.labels(kind).inc()
    _retries.labels(QUEUE).inc()
    if bug:
        _bugs.labels(kind).inc()


def queued(depth: int) -> None:
    """An object was put into the queue, which now holds so many."""
    _adds.labels(QUEUE).inc()
    _depth.labels(QUEUE).set(depth)


def taken(depth: int, waited: float) -> None:
    """An object was taken from the queue after so many seconds."""
    _depth.labels(QUEUE).set(depth)
    _waited.labels(QUEUE).observe(waited)


def api_answer(method: str, code: str) -> None:
    """The API server answered, or did not."""
    _answers.labels(method, code).inc()


def leading(name: str, yes: bool) -> None:
    """Whether this replica holds the lease."""
    _leading.labels(name).set(yes)


class Census:
    """Counts objects by phase."""

    def __init__(self) -> None:
        self._phases: dict[Key, str] = {}

    def put(self, key: Key, phase: str | None) -> None:
        """The object is in this phase now; gone where that is None."""
        before = self._phases.pop(key, None)
        if before is not None:
            _objects.labels(key.kind, before).dec()
        if phase is not None:
            self._phases[key] = phase
            _objects.labels(key.kind, phase).inc()
