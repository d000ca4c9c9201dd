"""Each time that a run's training began, in its store: what the report marks as restarts, and what tells bad luck from
a run that gets nowhere. Written by `callbacks.train`, read by `peers` and the report."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import BaseModel

from reasoner_workloads.common.store import Store

FOLDER = "attempts"


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
        attempt = Attempt(step=step, at=datetime.now(UTC).isoformat(timespec="seconds"))
        number = len(self.store.list(f"{FOLDER}/")) + 1
        self.store.put_new(f"{FOLDER}/{number:05d}.json", attempt.model_dump_json().encode())


def fruitless(store: Store) -> int:
    """How many of the last attempts began at the very same step: those before the last brought nothing."""
    steps = [attempt.step for attempt in Attempts(store).all()]
    return next((back for back, step in enumerate(reversed(steps)) if step != steps[-1]), len(steps))
