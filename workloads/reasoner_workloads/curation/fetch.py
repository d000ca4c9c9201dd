"""Pages over HTTP as a good guest: robots.txt, a rate for each host, limits of size and time, retries. Called by
`stages` for the recrawl."""

from __future__ import annotations

import asyncio
import email.message
import email.utils
import time
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit

import httpx
from protego import Protego
from tenacity import RetryCallState, retry, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from reasoner_api.curation import Recrawl
from reasoner_workloads.curation.charset import decode
from reasoner_workloads.curation.limits import Limit
from reasoner_workloads.curation.records import Dropped

ATTEMPTS = 3
#: The longest wait that a server's Retry-After is granted, seconds.
LONGEST_WAIT = 30.0
#: Bytes of robots.txt that are read (RFC 9309 asks for at least 500 KiB).
ROBOTS_BYTES = 524_288

_AGAIN = frozenset({429, 500, 502, 503, 504})
_backoff = wait_exponential_jitter(multiplier=0.5, max=8)


class _Passing(Exception):
    """A failure that may pass."""

    def __init__(self, evidence: str, wait: float = 0.0) -> None:
        super().__init__(evidence)
        self.evidence = evidence
        self.wait = wait


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: httpx.Headers
    body: bytes
    follow: str | None
    """Where it redirects to."""


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return max(_backoff(state), error.wait if isinstance(error, _Passing) else 0.0)


class Fetcher:
    """Fetches pages for one shard of `shards`. An async context manager."""

    def __init__(self, settings: Recrawl, shards: int) -> None:
        self.settings = settings
        self.shards = shards
        self._client = httpx.AsyncClient(
            headers={"User-Agent": settings.user_agent, "Accept": "text/html,application/xhtml+xml"},
            timeout=settings.timeout_seconds,
            limits=httpx.Limits(max_connections=settings.concurrency),
        )
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._limits: dict[str, Limit] = {}
        self._robots: dict[str, asyncio.Task[Protego]] = {}

    async def __aenter__(self) -> Fetcher:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for task in self._robots.values():
            task.cancel()
        await self._client.aclose()

    async def page(self, url: str) -> str:
        """The page's HTML, redirects followed. Raises Dropped with `http_error` or `robots`."""
        async with self._slots:
            for _ in range(self.settings.max_redirects + 1):
                await self._permitted(url)
                answer = await self._read(url, self.settings.max_page_bytes)
                if answer.follow is None:
                    break
                url = answer.follow
            else:
                raise Dropped("http_error", f"more than {self.settings.max_redirects} redirects")
        if answer.status != 200:
            raise Dropped("http_error", str(answer.status))
        kind = answer.headers.get("content-type", "text/html").partition(";")[0].strip().lower()
        if kind not in ("text/html", "application/xhtml+xml", "text/plain"):
            raise Dropped("http_error", f"not a page but {kind}")
        return decode(answer.body, _charset(answer.headers.get("content-type", "")))

    async def _permitted(self, url: str) -> None:
        """Wait for the host's turn. Raises Dropped where robots.txt closes the page."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise Dropped("http_error", f"leads to {url[:200]}")
        origin = f"{parts.scheme}://{parts.netloc}"
        rate = self.settings.requests_per_second_per_host
        if self.settings.respect_robots_txt:
            if origin not in self._robots:
                self._robots[origin] = asyncio.create_task(self._read_robots(origin))
            rules = await asyncio.shield(self._robots[origin])
            if not rules.can_fetch(url, self.settings.user_agent):
                raise Dropped("robots", urlsplit(url).path)
            if delay := rules.crawl_delay(self.settings.user_agent):
                rate = min(rate, 1 / delay)
        if parts.netloc not in self._limits:
            self._limits[parts.netloc] = Limit(rate, 1.0, self.shards)
        await self._limits[parts.netloc].acquire()

    async def _read_robots(self, origin: str) -> Protego:
        """The host's rules. As RFC 9309 has it: none where there is no file, all closed where the server fails."""
        url = f"{origin}/robots.txt"
        try:
            for _ in range(6):
                answer = await self._read(url, ROBOTS_BYTES)
                if answer.follow is None:
                    break
                url = answer.follow
        except Dropped as failure:
            # A server that cannot be reached closes nothing: the page's own fetch will say so.
            closed = failure.evidence.isdigit()
            return Protego.parse("User-agent: *\nDisallow: /" if closed else "")
        return Protego.parse(answer.body.decode(errors="replace") if answer.status == 200 else "")

    async def _read(self, url: str, limit: int) -> _Answer:
        """One answer, read whole. Raises Dropped with `http_error` once retries are spent."""
        try:
            return await self._attempt(url, limit)
        except _Passing as failure:
            raise Dropped("http_error", failure.evidence) from failure

    @retry(retry=retry_if_exception_type(_Passing), stop=stop_after_attempt(ATTEMPTS), wait=_pause, reraise=True)
    async def _attempt(self, url: str, limit: int) -> _Answer:
        try:
            async with (
                asyncio.timeout(self.settings.timeout_seconds),
                self._client.stream("GET", url) as response,
            ):
                if response.status_code in _AGAIN:
                    raise _Passing(str(response.status_code), _retry_after(response))
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > limit:
                        raise Dropped("http_error", f"larger than {limit} bytes")
        except TimeoutError:
            raise _Passing(f"no answer in {self.settings.timeout_seconds:g} s") from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise _Passing(f"{type(error).__name__}: {error}") from error
        except httpx.InvalidURL as error:
            raise Dropped("http_error", f"bad URL: {error}") from error
        follow = str(response.next_request.url) if response.next_request else None
        return _Answer(response.status_code, response.headers, bytes(body), follow)


def _charset(content_type: str) -> str | None:
    """The charset parameter of a Content-Type."""
    message = email.message.Message()
    message["content-type"] = content_type
    return message.get_content_charset()


def _retry_after(response: httpx.Response) -> float:
    """Seconds that the server asks to wait, within reason."""
    value = response.headers.get("retry-after", "")
    if value.isdigit():
        return min(float(value), LONGEST_WAIT)
    when = email.utils.parsedate_tz(value)
    return min(max(email.utils.mktime_tz(when) - time.time(), 0.0), LONGEST_WAIT) if when else 0.0
