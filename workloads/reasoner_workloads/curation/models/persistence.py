"""How long a request is tried that fails, and when it, or the pod, is given up. Used by `endpoint`.

A request is tried in rounds: some tries with growing pauses, then a harmless one, the probe, tells whether the endpoint
works at all. A server that is ill for minutes costs no row: a request is refused only where it fails beside others that
do not (`suspicion`), and the pod ends only where a round and the probe's fail and nobody was answered meanwhile."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from reasoner_workloads.curation.models import rates
from reasoner_workloads.curation.models.failures import Denied, Empty, Failure, Passing, Refused
from reasoner_workloads.curation.models.flights import Flights
from reasoner_workloads.curation.models.suspicion import Newcomers, Suspect

log = logging.getLogger(__name__)

T = TypeVar("T")
#: One try.
Ask = Callable[[], Awaitable[T]]
#: Judges a try that has failed.
Weigh = Callable[[Passing], Awaitable[None]]

#: Seconds between two tries: by chance up to a bound that doubles, so that those who failed together part.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
#: Rounds of tries that a request gets at least before it is refused.
ROUNDS = 2


class Persistence:
    """The tries of one endpoint's requests."""

    def __init__(self, flights: Flights) -> None:
        self._flights = flights
        self._newcomers = Newcomers()
        self._granted_at = 0.0

    async def persist(self, ask: Ask[T], probe: Ask[T], patience: float) -> T:
        """What `ask` brings in the end; `probe` asks something harmless with the same options, each time anew. Raises
        Refused where it is the request's own fault, Misconfigured, or Passing where the endpoint does not work."""
        suspect = Suspect(self._newcomers)
        while True:
            suspect.rounds, began = suspect.rounds + 1, time.monotonic()
            try:
                answer = await self.tried(ask, patience, partial(self._weigh, suspect, probe))
            except (Passing, Denied) as failure:
                if not self._may_be_its_own(failure):
                    raise
                is_denied = isinstance(failure, Denied)
                if suspect.rounds >= ROUNDS and (is_denied or suspect.is_convicted):
                    raise Refused(f"{failure} (and others are answered)") from failure
                other = await self._failure_of_another(probe, patience)
                if is_denied and isinstance(other, Passing):
                    # The endpoint is ill, and whether it denies all of them is not known.
                    raise other from failure
                # Of a status that denies, what was granted before says nothing: a key may have been withdrawn.
                if other is not None and (is_denied or self._granted_at < began):
                    raise
            else:
                suspect.succeed()
                self._granted_at = time.monotonic()
                return answer

    async def tried(self, ask: Ask[T], patience: float, weigh: Weigh | None = None) -> T:
        """What one round of tries brings; `weigh` is told of each that fails. Raises as `ask`."""
        began, number = time.monotonic(), 0
        while True:
            number += 1
            try:
                return await ask()
            except Passing as failure:
                if weigh is not None:
                    await weigh(failure)
                if self._is_enough(failure, number, max(began, self._granted_at) + patience):
                    raise
                seconds = _pause(failure, number)
            await asyncio.sleep(seconds)

    def _is_enough(self, failure: Passing, number: int, until: float) -> bool:
        """Whether a try is a round's last: with a server that is asked too much time decides, not their number."""
        if self._flights.landing:
            return True
        return time.monotonic() > until if failure.pressed else number > failure.retries

    def _may_be_its_own(self, failure: Passing | Denied) -> bool:
        """Whether it may be the request that is at fault, which is not known."""
        pressed = isinstance(failure, Passing) and failure.pressed
        return not (pressed or self._flights.landing or isinstance(failure, Empty))

    async def _weigh(self, suspect: Suspect, probe: Ask[Any], failure: Passing) -> None:
        if not self._may_be_its_own(failure):
            return
        if suspect.rounds >= ROUNDS:
            # Where nobody else asks, probes are its witnesses.
            await asyncio.gather(*(self._flights.run(self._witness(probe)) for _ in range(suspect.lacking)))
        suspect.fail()

    async def _witness(self, probe: Ask[Any]) -> None:
        with suppress(Failure):
            await self._noted(probe)

    async def _failure_of_another(self, probe: Ask[Any], patience: float) -> Failure | None:
        """How a harmless request fails, if it does."""
        try:
            await self.tried(partial(self._noted, probe), patience)
        except Failure as failure:
            log.warning("a probe: %s", failure)
            return failure
        return None

    async def _noted(self, probe: Ask[T]) -> T:
        try:
            answer = await probe()
        except Failure:
            self._newcomers.note(answered=False)
            raise
        self._newcomers.note(answered=True)
        self._granted_at = time.monotonic()
        return answer


def _backoff(number: int) -> float:
    return random.uniform(0.0, min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (number - 1)))


def _pause(failure: Passing, number: int) -> float:
    """Seconds until the next try: as long as the server says, and a little more for each to come at its own time; else
    as backoff has it."""
    if failure.after is None:
        return _backoff(number)
    after = min(failure.after, rates.LONGEST)
    return after + random.uniform(0.0, min(LONGEST_PAUSE, max(0.05, after / 4)))
