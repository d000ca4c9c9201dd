"""The way to one chat endpoint, shared by the roles that use it: connections kept open, requests in flight and rates
bounded, failures that may pass tried again. Used by `llm`.

aiohttp and not the openai package, which takes several times the CPU for a request (benchmarks/curation_throughput.py)
and knows neither the server's rates nor how to use fewer requests in flight."""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.hdrs import AUTHORIZATION, CONTENT_TYPE
from multidict import CIMultiDict
from pydantic_core import to_json
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential
from yarl import URL

from reasoner_api.curation import ModelEndpoint
from reasoner_workloads.common.run import ConfigError, WorkloadError
from reasoner_workloads.curation.models import gate, rates, wire
from reasoner_workloads.curation.models.batch_api import WINDOW_HOURS, BatchAPI, Told
from reasoner_workloads.curation.models.batches import Batches
from reasoner_workloads.curation.models.dialect import Dialect
from reasoner_workloads.curation.models.flights import Flights
from reasoner_workloads.curation.models.hedge import hedged
from reasoner_workloads.curation.models.purse import Bill, Purse
from reasoner_workloads.curation.models.segments import Completion
from reasoner_workloads.curation.models.traffic import Traffic
from reasoner_workloads.curation.models.wire import Denied, Empty, Lost, Misconfigured, Passing, Refused

log = logging.getLogger(__name__)

#: What is asked to see whether the endpoint works.
PROBE = [{"role": "system", "content": "You are brief."}, {"role": "user", "content": "Say yes."}]
#: Seconds between two tries: by chance up to a bound that doubles, so that those who failed together part.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
#: Seconds for which a server may go on saying that it is asked too much while it answers nobody.
PATIENCE = 1800.0
#: The same for a queue of batches: what fills it may be a batch of this job.
BATCH_PATIENCE = 3600.0 * WINDOW_HOURS
#: Seconds until a connection must stand, and the share of a short time-out that it may take.
CONNECT_SECONDS, CONNECT_SHARE = 30.0, 0.5
#: Share of its time-out that a request may take before there are too many in flight.
SLOW_SHARE = 0.5
#: Requests refused, with none granted, after which it is the configuration that is wrong and not the rows.
REFUSALS = 10
_BACKOFF = wait_random_exponential(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE)


@dataclass(frozen=True)
class Asked:
    """A request."""

    key: str
    """What it is known by (`wire.digest`)."""
    body: dict[str, Any]
    bill: Bill


class TimedOut(Lost):
    """No answer came in time."""


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
        self._granted = self._refused = 0
        self._granted_at = 0.0
        self._base = spec.base_url.rstrip("/")
        try:
            # Parsed once, as it is asked for again and again.
            self._urls = {"chat/completions": URL(f"{self._base}/chat/completions")}
        except ValueError as error:
            raise ConfigError(f"models.{role}.baseURL: {spec.base_url!r} is no URL: {error}") from error
        self._headers: CIMultiDict[str] = CIMultiDict()
        if key:
            self._headers[AUTHORIZATION] = f"Bearer {key}"
        self._session: aiohttp.ClientSession | None = None
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
        try:
            completion = await self._persist(asked)
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
        self._granted_at = time.monotonic()
        return completion

    async def close(self) -> None:
        """Wait for what is on its way, then close the connections."""
        await self.flights.land()
        if self._batches is not None:
            await self._batches.close()
        if self._session is not None:
            await self._session.close()

    async def _persist(self, asked: Asked) -> Completion:
        """Try until it is answered, or will not be. Where another like it is answered meanwhile, it is this one that
        the endpoint cannot do: one poisoned row must not end the job."""
        try:
            return await self._try(asked)
        except (Passing, Denied) as failure:
            if not self._may_be_its_own(failure) or not await self._answers_another(asked):
                raise
        try:
            return await self._try(asked)
        except (Passing, Denied) as failure:
            if not self._may_be_its_own(failure):
                raise
            raise Refused(f"{failure} (and others are answered)") from failure

    def _may_be_its_own(self, failure: Passing | Denied) -> bool:
        """Whether it may be the request that is at fault, which is not known."""
        pressed = isinstance(failure, Passing) and failure.pressed
        return not (pressed or self.flights.landing or isinstance(failure, Empty))

    async def _answers_another(self, asked: Asked) -> bool:
        """Whether the endpoint answers a harmless request with the same options."""
        body = {**asked.body, "messages": PROBE}
        prompt = sum(wire.tokens_of(message["content"]) for message in PROBE)
        probe = Asked(f"probe-{secrets.token_hex(16)}", body, replace(asked.bill, prompt_tokens=prompt))
        try:
            await self._try(probe)
        except wire.Failure as failure:
            log.warning("%s", self._says(failure))
            return False
        await self.kept(probe.key)
        return True

    async def _try(self, asked: Asked) -> Completion:
        """Try until it is answered, or it has been tried often enough."""
        try:
            return await self._speak(asked)
        except Passing as failure:
            failed = [failure]

        async def again() -> Completion:
            if failed:
                raise failed.pop()
            return await self._speak(asked)

        # Only now: what tenacity does for each call costs as much as a request.
        patience = PATIENCE if self._batches is None else BATCH_PATIENCE
        completion: Completion = await self._trying(patience)(again)
        return completion

    def _trying(self, patience: float) -> AsyncRetrying:
        stop = partial(self._is_enough, patience)
        return AsyncRetrying(retry=retry_if_exception_type(Passing), wait=_pause, stop=stop, reraise=True)

    def _is_enough(self, patience: float, state: RetryCallState) -> bool:
        failure = _failure(state)
        if self.flights.landing:
            return True
        if failure.pressed:
            return time.monotonic() - max(state.start_time, self._granted_at) > patience
        return state.attempt_number > failure.retries

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
        traffic = self.traffic
        await traffic.acquire(asked.bill.prompt_tokens)
        async with traffic.gate:
            await traffic.rates.acquire(asked.bill.prompt_tokens + self.spec.max_tokens)
            began = time.monotonic()
            try:
                completion = await self.purse.pay(asked.bill, lambda: self._send(asked, spoken))
            except Passing as failure:
                if failure.pressed or isinstance(failure, TimedOut):
                    traffic.gate.lower(gate.PRESSED, began)
                if failure.pressed and failure.after is not None:
                    traffic.rates.close(failure.after)
                raise
        if time.monotonic() - began > SLOW_SHARE * self.spec.timeout_seconds:
            traffic.gate.lower(gate.SLOW, began)
        else:
            traffic.gate.eased()
        traffic.owe(completion.prompt_tokens + completion.completion_tokens - asked.bill.prompt_tokens)
        return completion

    async def _send(self, asked: Asked, spoken: dict[str, Any]) -> Completion:
        async def once() -> Completion:
            with self.purse.losses(asked.bill):
                told = await self._fetch("POST", "chat/completions", spoken, {"Idempotency-Key": asked.key})
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
        """A request to the batch API, until it is answered."""

        async def fetch() -> Told:
            told = await self._fetch(method, path, content() if callable(content) else content)
            failure = wire.failure(*told) if told.status != 200 else None
            if isinstance(failure, Passing):
                raise failure
            return told

        try:
            told: Told = await self._trying(PATIENCE)(fetch)
        except Lost as failure:
            # No model has worked on this.
            raise Passing(str(failure)) from failure
        return told

    async def _fetch(self, method: str, path: str, content: Any, headers: Mapping[str, str] | None = None) -> Told:
        """One HTTP request: a form as it is, anything else as JSON. Raises Passing or Misconfigured."""
        sent, data = self._headers.copy(), content
        if headers:
            sent.update(headers)
        if content is not None and not isinstance(content, aiohttp.FormData):
            sent[CONTENT_TYPE] = "application/json"
            data = to_json(content)
        url = self._urls.get(path) or URL(f"{self._base}/{path}")
        try:
            async with self._opened().request(method, url, data=data, headers=sent, allow_redirects=False) as response:
                return Told(response.status, response.headers, await response.read())
        except aiohttp.ConnectionTimeoutError as error:
            raise Passing(f"no connection to {url.host} in time") from error
        except TimeoutError as error:
            raise TimedOut(f"no answer within {self.spec.timeout_seconds:g} s (timeoutSeconds)") from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise Misconfigured("baseURL", f"its certificate is not trusted: {error}") from error
        except aiohttp.InvalidURL as error:
            raise Misconfigured("baseURL", "it is no URL") from error
        except aiohttp.ClientPayloadError as error:
            raise Lost(f"the answer was cut off: {error}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Passing(f"the connection failed: {error or type(error).__name__}") from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # The gate bounds the connections; each is kept for the next request.
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
                # Told apart, as what was sent and has no answer in time may be paid for.
                timeout=aiohttp.ClientTimeout(
                    total=self.spec.timeout_seconds,
                    sock_connect=min(CONNECT_SECONDS, CONNECT_SHARE * self.spec.timeout_seconds),
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                proxy=_proxy_of(URL(self._base)),
            )
        return self._session

    def _says(self, error: Exception, field: str = "") -> str:
        where = f"models.{self.role}.{field}" if field else f"models.{self.role}"
        return f"{where}: {self.spec.base_url}: {error}"


def _proxy_of(url: URL) -> str | None:
    """The environment's proxy. Looked up once: aiohttp would do so for each request, in a thread."""
    if proxy_bypass(url.host or ""):
        return None
    return getproxies().get(url.scheme)


def _failure(state: RetryCallState) -> Passing:
    assert state.outcome is not None
    failure = state.outcome.exception()
    assert isinstance(failure, Passing)
    return failure


def _pause(state: RetryCallState) -> float:
    """As long as the server says, and a little more for each to come at its own time; else as backoff has it."""
    after = _failure(state).after
    if after is None:
        return _BACKOFF(state)
    after = min(after, rates.LONGEST)
    return after + random.uniform(0.0, min(LONGEST_PAUSE, max(0.05, after / 4)))
