"""Who does which piece of a job, agreed on in the object store: a piece that nobody has claimed goes to whoever asks
first, one whose pod has gone silent to whoever notices. Used by `pod`.

A claim saves work and guards nothing: a result is written under a condition of its own, so two pods at one piece cost
time and never a row. Clocks are not compared between pods: a pod counts as silent when its beat has not changed for
STALE_SECONDS of the observer's own clock."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Iterable
from types import TracebackType

from pydantic import BaseModel

from reasoner_workloads.common.store import Missing, Store, StoreError

log = logging.getLogger(__name__)

BEAT_SECONDS = 10.0
STALE_SECONDS = 60.0


class Claim(BaseModel):
    """Whose a piece is."""

    pod: int
    life: str
    """Of the pod's lives (restarts) the one that claimed; later ones sort later, whatever their nodes' clocks say."""


class _Beat(Claim):
    count: int


class Claims:
    """The claims of one pod. A context manager, during which the pod gives signs of life."""

    def __init__(self, store: Store, pod: int, stale_seconds: float = STALE_SECONDS) -> None:
        self._store = store
        self._stale_seconds = stale_seconds
        self.own = Claim(pod=pod, life=_life_after(self._last_life(pod)))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        #: Of each claim, whose it is: that does not change.
        self._owners: dict[str, Claim] = {}
        #: By pod, its last beat, when this one saw it first, and when it looked last.
        self._seen: dict[int, tuple[bytes, float, float]] = {}

    def __enter__(self) -> Claims:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def take(self, names: Iterable[str]) -> str | None:
        """Claim one of these pieces, the first that can be had: those that nobody has, then those of this pod's
        earlier lives and of silent pods. None where others are at all of them. Raises StoreError."""
        names = list(names)
        newest = self._newest()
        for name in names:
            if name not in newest and self._claim(name, 0):
                return name
        for name in names:
            epoch = newest.get(name)
            if epoch is not None and self._is_free(name, epoch) and self._claim(name, epoch + 1):
                return name
        return None

    def _last_life(self, pod: int) -> str:
        """The pod's life before this one; none sorts before all."""
        try:
            return _Beat.model_validate_json(self._store.get(_beat_key(pod))).life
        except Missing:
            return ""

    def _newest(self) -> dict[str, int]:
        """By claimed piece, the number of its last claim."""
        found = {}
        for key in self._store.list("claims/"):
            name, _, epoch = key.removeprefix("claims/").rpartition("/")
            found[name] = int(epoch)
        return found

    def _claim(self, name: str, epoch: int) -> bool:
        key, own = _key(name, epoch), self.own.model_dump_json().encode()
        # What is there may be this very claim, where the store's answer to it got lost: nobody else would do the piece.
        return self._store.put_new(key, own) or self._store.get(key) == own

    def _is_free(self, name: str, epoch: int) -> bool:
        """Whether the owner is an earlier life of this pod, or silent."""
        key = _key(name, epoch)
        if key not in self._owners:
            self._owners[key] = Claim.model_validate_json(self._store.get(key))
        owner = self._owners[key]
        return owner.life < self.own.life if owner.pod == self.own.pod else self._is_silent(owner.pod)

    def _is_silent(self, pod: int) -> bool:
        """Looked for as often as there can be a beat: many pods wait for the last pieces of a job."""
        now = time.monotonic()
        known, since, looked = self._seen.get(pod, (None, now, float("-inf")))
        if now - looked >= BEAT_SECONDS:
            try:
                beat = self._store.get(_beat_key(pod))
            except Missing:
                beat = b""
            asked, now = now, time.monotonic()
            # While the store is away nobody can give a sign of life.
            since = since if beat == known and now - asked < BEAT_SECONDS else now
            self._seen[pod] = (beat, since, now)
        return now - since > self._stale_seconds

    def _beat(self) -> None:
        count = 0
        while True:
            beat = _Beat(pod=self.own.pod, life=self.own.life, count=count)
            try:
                self._store.put(_beat_key(self.own.pod), beat.model_dump_json().encode())
            except StoreError as error:
                log.warning("no sign of life could be left: %s", error)
            count += 1
            if self._ended.wait(BEAT_SECONDS):
                return


def _life_after(last: str) -> str:
    """The clock names it, but for one that is behind the last life's: its claims would look younger for ever."""
    since = int(last.partition("-")[0] or 0)
    return f"{max(time.time_ns(), since + 1):020d}-{secrets.token_hex(4)}"


def _beat_key(pod: int) -> str:
    return f"pods/{pod:05d}.json"


def _key(name: str, epoch: int) -> str:
    return f"claims/{name}/{epoch:06d}"
