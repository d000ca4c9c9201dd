"""One answer of a web server, read whole within limits of size and time. Used by `hosts`."""

from __future__ import annotations

import asyncio
import email.utils
import resource
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType

import aiohttp
from yarl import URL

from reasoner_api.curation import Recrawl
from reasoner_workloads.curation.charset import header_value
from reasoner_workloads.curation.records import Dropped
from reasoner_workloads.curation.recrawl.body import CODINGS, Body, TooLarge, Undecodable
from reasoner_workloads.curation.recrawl.guard import Forbidden, Guard, Resolver

#: The longest wait that a server's Retry-After is granted, seconds.
LONGEST_WAIT = 600.0
#: Seconds that a name's checked addresses are kept: DNS would else be asked for each connection.
DNS_SECONDS = 300

#: Seconds that a connection is kept for the host's next page: of many hosts there are many.
IDLE_SECONDS = 5.0
#: Files that the process may have open, connections included: what runtimes grant by default is soon used up by those.
MOST_FILES = 65_536

#: Returns when there is room for another page: those that were taken and not yet read use memory.
Room = Callable[[], Awaitable[None]]


async def at_once() -> None:
    """There is always room."""


#: The name is not there, or has no address; a resolver that fails says something else.
_NAMELESS = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})
_AGAIN = frozenset({429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Lasting(Dropped):
    """A page that cannot be had, and will not be had by asking again."""


class Passing(Exception):
    """A failure that may pass; `wait` where the server refuses for now: seconds that it asks for."""

    def __init__(self, evidence: str, wait: float | None = None) -> None:
        super().__init__(evidence)
        self.evidence = evidence
        self.wait = wait


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    """In lower case, the first of each name; values on one line, without half surrogate pairs."""
    body: bytes = b""

    @property
    def follow(self) -> str | None:
        """Where it redirects to."""
        return self.headers.get("location") if self.status in _REDIRECTS else None


class Client:
    """Reads what `guard` lets it reach, `concurrency` answers at a time. An async context manager.

    Proxies of the environment are not used: they would connect in place of the guard. No cookie is kept."""

    def __init__(self, settings: Recrawl, guard: Guard, room: Room = at_once) -> None:
        self._settings = settings
        self._guard = guard
        self._room = room
        self._slots = asyncio.Semaphore(settings.concurrency)

    async def __aenter__(self) -> Client:
        _raise_limit_of_files()
        connector = aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=IDLE_SECONDS,
            ttl_dns_cache=DNS_SECONDS,
            resolver=Resolver(self._guard),
            socket_factory=self._guard.open_socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            headers={
                "User-Agent": self._settings.user_agent,
                "Accept": "text/html,application/xhtml+xml",
                "Accept-Encoding": CODINGS,
            },
        )
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self._session.close()

    async def read(self, url: URL, headers: Mapping[str, str] | None = None) -> Answer:
        """A page, of `max_page_bytes` at most. Raises Passing, or Dropped with `forbidden_address` or `http_error`."""
        return await self._read(url, headers or {}, self._settings.max_page_bytes, False)

    async def read_start(self, url: URL, limit: int) -> Answer:
        """As `read`, but of what is larger than `limit` bytes the start."""
        return await self._read(url, {}, limit, True)

    async def _read(self, url: URL, headers: Mapping[str, str], limit: int, start: bool) -> Answer:
        try:
            async with self._slots:
                await self._room()
                async with asyncio.timeout(self._settings.timeout_seconds):
                    return await self._once(url, headers, limit, start)
        except TimeoutError:
            raise Passing(f"no answer in {self._settings.timeout_seconds:g} s") from None
        except TooLarge:
            raise Lasting("http_error", f"larger than {limit} bytes") from None
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, Forbidden):
                raise Lasting("forbidden_address", f"{url.raw_host}: {error.os_error}") from error
            if isinstance(error.os_error, socket.gaierror) and error.os_error.errno in _NAMELESS:
                raise Lasting("http_error", f"{type(error).__name__}: {error}"[:300]) from error
            raise Passing(f"{type(error).__name__}: {error}") from error
        except (aiohttp.InvalidURL, UnicodeError) as error:
            raise Lasting("http_error", f"bad URL: {error}"[:300]) from error
        except (aiohttp.ClientError, Undecodable) as error:
            raise Passing(f"{type(error).__name__}: {error}"[:300]) from error

    async def _once(self, url: URL, headers: Mapping[str, str], limit: int, start: bool) -> Answer:
        async with self._session.get(url, headers=headers, allow_redirects=False) as response:
            if response.status in _AGAIN:
                asked = response.headers.get("Retry-After")
                refuses = response.status == 429 or (response.status == 503 and asked is not None)
                raise Passing(str(response.status), _retry_after(asked or "") if refuses else None)
            found = {name.lower(): header_value(value) for name, value in reversed(response.headers.items())}
            if response.status in _REDIRECTS:
                return Answer(response.status, found)
            body = Body(",".join(response.headers.getall("Content-Encoding", ())), limit)
            try:
                async for chunk in response.content.iter_any():
                    body.feed(chunk)
            except TooLarge:
                if not start:
                    raise
                return Answer(response.status, found, body.cut())
            return Answer(response.status, found, body.whole())


def _raise_limit_of_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _retry_after(value: str) -> float:
    """Seconds that the server asks to wait, within reason."""
    if value.isdecimal() and value.isascii():
        return min(float(value[:9]), LONGEST_WAIT)
    try:
        when = email.utils.parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):  # no date, or one beyond the calendar
        return 0.0
    return min(max(when - time.time(), 0.0), LONGEST_WAIT)
