"""HTTP to one endpoint: connections kept open, what goes wrong told in the words of `wire`. Used by `endpoint`.

aiohttp and not the openai package, which takes several times the CPU for a request (benchmarks/curation_throughput.py)
and knows neither the server's rates nor how to use fewer requests in flight."""

from __future__ import annotations

from typing import Any
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.hdrs import AUTHORIZATION, CONTENT_TYPE
from multidict import CIMultiDict
from pydantic_core import to_json
from yarl import URL

from reasoner_workloads.curation.models.failures import Lost, Misconfigured, Passing, TimedOut
from reasoner_workloads.curation.models.wire import Told

#: Seconds until a connection must stand, and the share of a short time-out that it may take.
CONNECT_SECONDS, CONNECT_SHARE = 30.0, 0.5


class Transport:
    """The way to one base URL. Close it."""

    def __init__(self, base_url: str, key: str | None, timeout_seconds: float) -> None:
        """Raises ValueError where that is no URL."""
        self._base = URL(base_url.rstrip("/"))
        # Parsed once each, as one is asked for again and again.
        self._chat = self._url("chat/completions")
        self._timeout_seconds = timeout_seconds
        self._headers: CIMultiDict[str] = CIMultiDict()
        if key:
            self._headers[AUTHORIZATION] = f"Bearer {key}"
        self._session: aiohttp.ClientSession | None = None

    async def chat(self, body: dict[str, Any], key: str) -> Told:
        """One chat request; `key` keeps a server that has answered it from working twice. Raises Passing or
        Misconfigured."""
        headers = self._headers.copy()
        headers["Idempotency-Key"] = key
        headers[CONTENT_TYPE] = "application/json"
        return await self._send("POST", self._chat, headers, to_json(body))

    async def call(self, method: str, path: str, content: Any) -> Told:
        """Another request, by its path below the base URL: a form is sent as it is, anything else as JSON. Raises
        Passing or Misconfigured."""
        headers, data = self._headers.copy(), content
        if content is not None and not isinstance(content, aiohttp.FormData):
            headers[CONTENT_TYPE] = "application/json"
            data = to_json(content)
        return await self._send(method, self._url(path), headers, data)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _send(self, method: str, url: URL, headers: CIMultiDict[str], data: Any) -> Told:
        try:
            async with self._opened().request(method, url, data=data, headers=headers, allow_redirects=False) as found:
                return Told(found.status, found.headers, await found.read())
        except aiohttp.ConnectionTimeoutError as error:
            raise Passing(f"no connection to {url.host} in time") from error
        except TimeoutError as error:
            raise TimedOut(f"no answer within {self._timeout_seconds:g} s (timeoutSeconds)") from error
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
                    total=self._timeout_seconds,
                    sock_connect=min(CONNECT_SECONDS, CONNECT_SHARE * self._timeout_seconds),
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                proxy=_proxy_of(self._base),
            )
        return self._session

    def _url(self, path: str) -> URL:
        return URL(f"{self._base}/{path}")


def _proxy_of(url: URL) -> str | None:
    """The environment's proxy. Looked up once: aiohttp would do so for each request, in a thread."""
    if proxy_bypass(url.host or ""):
        return None
    return getproxies().get(url.scheme)
