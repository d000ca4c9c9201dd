"""Each time that a run's training began, in its store: what the report marks as restarts, and what tells bad luck from
a run that gets nowhere. Written by `callbacks.train`, read by `launch` and the report; loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import BaseModel

from reasoner_workloads.common.store import Store, StoreError

FOLDER = "attempts"
#: Attempts in a row from the same step after which a group that breaks counts as failed: the network may be at fault,
#: or the run itself, and what is not counted would be tried for ever.
PATIENCE = 5


class Attempt(BaseModel):
    """One beginning."""

    step: int
    """Step of the checkpoint that it went on from; 0 for none."""
    at: str
    """When, RFC 3339."""


@dataclass(frozen=True)
class Attempts:
    """A run's beginnings, oldest first."""

    store: Store

    def all(self) -> list[Attempt]:
        """All of them."""
        return [Attempt.model_validate_json(self.store.get(key)) for key in self.store.list(f"{FOLDER}/")]

    def begin(self, step: int) -> None:
        """Note one more. Called by the main process alone."""
        attempt = Attempt(step=step, at=now())
        number = len(self.store.list(f"{FOLDER}/")) + 1
        self.store.put_new(f"{FOLDER}/{number:05d}.json", attempt.model_dump_json().encode())


def now() -> str:
    """The time, as attempts are noted; texts of it sort by time."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def fruitless(store: Store) -> int:
    """How many of the last attempts began at the very same step: those before the last brought nothing."""
    steps = [attempt.step for attempt in Attempts(store).all()]
    return next((back for back, step in enumerate(reversed(steps)) if step != steps[-1]), len(steps))


def stuck(store: Store, since: str) -> bool:
    """Whether a group that began to form at `since`, and broke, is one too many. One that never came to train is
    noted as an attempt here. Called by the first node alone."""
    attempts = Attempts(store)
    try:
        known = attempts.all()
        if not known or known[-1].at < since:
            attempts.begin(known[-1].step if known else 0)
        return fruitless(store) >= PATIENCE
    except StoreError as error:
        print(f"whether the run gets anywhere is not known: {error}", flush=True)
        return False
