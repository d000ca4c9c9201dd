"""Each time that a run's training began, in its store: what the report marks as restarts, and what tells bad luck from
a run that gets nowhere. Written by `callbacks.train`, read by `launch` and the report; loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import BaseModel

from reasoner_workloads.common.store import Store, StoreError

FOLDER = "attempts"
#: Folder of the numbers of attempts that ended as a pause.
PAUSED = "pauses"
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

    def count(self) -> int:
        """How many there are."""
        return len(self.store.list(f"{FOLDER}/"))

    def begin(self, step: int) -> None:
        """Note one more. Called by the main process alone."""
        attempt = Attempt(step=step, at=datetime.now(UTC).isoformat(timespec="microseconds"))
        self.store.put_new(f"{FOLDER}/{self.count() + 1:05d}.json", attempt.model_dump_json().encode())


def paused(store: Store) -> None:
    """Note that the last attempt ended as a pause, for want of a verifier for example: it says nothing of the group.
    Called by one node."""
    try:
        store.put(f"{PAUSED}/{Attempts(store).count():05d}", b"")
    except StoreError as error:
        print(f"that the run has paused is not noted: {error}", flush=True)


def fruitless(store: Store) -> int:
    """How many of the last attempts since a pause began at the very same step: those before the last brought
    nothing."""
    pauses = [int(key.rpartition("/")[2]) for key in store.list(f"{PAUSED}/")]
    steps = [attempt.step for attempt in Attempts(store).all()[max(pauses, default=0) :]]
    return next((back for back, step in enumerate(reversed(steps)) if step != steps[-1]), len(steps))


def noted(store: Store) -> int | None:
    """How many attempts there have been; None where the store does not say."""
    try:
        return Attempts(store).count()
    except StoreError as error:
        print(f"how often this run has begun is not known: {error}", flush=True)
        return None


def stuck(store: Store, before: int | None) -> bool:
    """Whether a group that broke is one too many, where `before` attempts were noted when it began to form. One that
    never came to train is noted here; not where `before` is unknown, as none may count twice. By numbers and not by
    the time: the main process, which notes the others, may be on any node, and clocks differ. Called by one node."""
    attempts = Attempts(store)
    try:
        if attempts.count() == before:
            known = attempts.all()
            attempts.begin(known[-1].step if known else 0)
        return fruitless(store) >= PATIENCE
    except StoreError as error:
        print(f"whether the run gets anywhere is not known: {error}", flush=True)
        return False
