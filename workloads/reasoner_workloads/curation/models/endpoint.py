"""The way to one chat endpoint, shared by the roles that use it: words that it takes, requests in flight and rates
bounded, spending counted, failures that may pass tried again. Used by `llm`."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from reasoner_api.curation import ModelEndpoint
from reasoner_workloads.common.run import ConfigError, WorkloadError
from reasoner_workloads.curation.models import wire
from reasoner_workloads.curation.models.batch_api import WINDOW_HOURS, BatchAPI
from reasoner_workloads.curation.models.batches import Batches
from reasoner_workloads.curation.models.dialect import Dialect
from reasoner_workloads.curation.models.failures import Empty, Lost, Misconfigured, Passing, Refused, failure
from reasoner_workloads.curation.models.flights import Flights
from reasoner_workloads.curation.models.hedge import hedged
from reasoner_workloads.curation.models.persistence import Persistence
from reasoner_workloads.curation.models.purse import Bill, Purse
from reasoner_workloads.curation.models.segments import Completion
from reasoner_workloads.curation.models.traffic import Traffic
from reasoner_workloads.curation.models.transport import Transport
from reasoner_workloads.curation.models.wire import Told

#: What is asked to see whether the endpoint works.
PROBE = [{"role": "system", "content": "You are brief."}, {"role": "user", "content": "Say yes."}]
#: Seconds for which a server may go on saying that it is asked too much while it answers nobody.
PATIENCE = 1800.0
#: The same for a queue of batches: what fills it may be a batch of this job.
BATCH_PATIENCE = 3600.0 * WINDOW_HOURS
#: Requests refused, with none granted, after which it is the configuration that is wrong and not the rows.
REFUSALS = 10


@dataclass(frozen=True)
class Asked:
    """A request."""

    key: str
    """What it is known by (`wire.digest`)."""
    body: dict[str, Any]
    bill: Bill


class Endpoint:
    """One endpoint. Close it."""

    def __init__(self, role: str, spec: ModelEndpoint, key: str | None, traffic: Traffic, purse: Purse) -> None:
        """`role` is the one whose spec it is; `purse` pays for its requests, and its store knows of batches."""
        self.role = role
        self.purse = purse
        self.spec = spec
        self.flights = Flights()
        self.traffic = traffic
        self._dialect = Dialect()
        self._persistence = Persistence(self.flights)
        self._granted = self._refused = 0
        try:
            self._transport = Transport(spec.base_url, key, spec.timeout_seconds)
        except ValueError as error:
            raise ConfigError(f"models.{role}.baseURL: {spec.base_url!r} is no URL: {error}") from error
        self._batches: Batches | None = None
        if spec.batch is not None:
            self._batches = Batches(spec.batch, BatchAPI(self._call), purse.store, role)

    @property
    def in_flight(self) -> int:
        """Requests under way at a time, at most."""
        return self.spec.batch.max_requests if self.spec.batch is not None else self.spec.concurrency

    async def kept(self, key: str) -> None:
        """The answer to a request is in the store. Raises StoreError."""
        if self._batches is not None:
            await self._batches.kept(key)

    async def complete(self, asked: Asked) -> Completion:
        """The answer to a request. Raises Refused, ConfigError or WorkloadError."""
        patience = PATIENCE if self._batches is None else BATCH_PATIENCE
        try:
            completion = await self._persistence.persist(
                partial(self._speak, asked), partial(self._probe, asked), patience
            )
        except Misconfigured as error:
            raise ConfigError(self._says(error, error.field), reason="ModelRefused") from error
        except Refused as error:
            self._refused += 1
            if not self._granted and self._refused >= REFUSALS:
                raise ConfigError(f"{self._says(error)} (every request so far)", reason="ModelRefused") from error
            raise
        except Passing as error:
            if isinstance(error, Empty):
                raise Refused(str(error)) from error
            raise WorkloadError(self._says(error), reason="ModelUnavailable") from error
        self._granted += 1
        return completion

    async def close(self) -> None:
        """Wait for what is on its way, then close the connections."""
        await self.flights.land()
        if self._batches is not None:
            await self._batches.close()
        await self._transport.close()

    async def _probe(self, asked: Asked) -> Completion:
        """Ask something harmless with the same options, once."""
        body = {**asked.body, "messages": PROBE}
        prompt = sum(wire.tokens_of(message["content"]) for message in PROBE)
        probe = Asked(f"probe-{secrets.token_hex(16)}", body, replace(asked.bill, prompt_tokens=prompt))
        completion = await self._speak(probe)
        await self.kept(probe.key)
        return completion

    async def _speak(self, asked: Asked) -> Completion:
        """Ask once, in words that the endpoint takes."""
        while True:
            spoken = self._dialect.speak(asked.body)
            try:
                return await self._ask(asked, spoken)
            except Refused as refusal:
                if not self._dialect.learn(str(refusal), spoken):
                    raise

    async def _ask(self, asked: Asked, spoken: dict[str, Any]) -> Completion:
        if self._batches is not None:
            bill, batches = replace(asked.bill, completion_tokens=self.spec.max_tokens), self._batches
            with self.purse.losses(bill):
                return await self.purse.pay(bill, lambda: batches.ask(asked.key, spoken))
        return await self.traffic.carry(
            asked.bill.prompt_tokens,
            self.spec,
            lambda: self.purse.pay(asked.bill, lambda: self._send(asked, spoken)),
        )

    async def _send(self, asked: Asked, spoken: dict[str, Any]) -> Completion:
        async def once() -> Completion:
            with self.purse.losses(asked.bill):
                told = await self._transport.chat(spoken, asked.key)
                self.traffic.rates.note(told.headers)
                return wire.read(*told)

        with self.flights.sent():
            completion, others = await hedged(once, self.spec.hedge_after_seconds)
        if not completion.prompt_tokens:  # not every server counts
            completion = completion._replace(prompt_tokens=asked.bill.prompt_tokens)
        for _ in range(others):
            # What is left without its answer costs as much, as far as anybody knows.
            self.purse.ledger.enter(asked.bill.role, completion, asked.bill.price)
        return completion

    async def _call(self, method: str, path: str, content: Any) -> Told:
        """A request to the batch API, until it is answered; what makes its content is called for each try."""

        async def fetch() -> Told:
            told = await self._transport.call(method, path, content() if callable(content) else content)
            failed = failure(*told) if told.status != 200 else None
            if isinstance(failed, Passing):
                raise failed
            return told

        try:
            return await self._persistence.tried(fetch, PATIENCE)
        except Lost as lost:
            # No model has worked on this.
            raise Passing(str(lost)) from lost

    def _says(self, error: Exception, field: str = "") -> str:
        where = f"models.{self.role}.{field}" if field else f"models.{self.role}"
        return f"{where}: {self.spec.base_url}: {error}"
