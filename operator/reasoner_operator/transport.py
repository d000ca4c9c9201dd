"""Requests to the API server, as a kubeconfig or the pod's service account says: the only module that imports the
client. Used by `cluster`, `lease` and `progress`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.client.api_client import RequestSerialized

from reasoner_operator import metrics
from reasoner_operator.answers import Unavailable, checked
from reasoner_operator.seen import Object

JSON = "application/json"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
#: Seconds for one answer.
API_TIMEOUT = 30
#: A server that is busy says how long it wants to be left alone: it is asked this often, as client-go does, and left
#: alone for so many seconds at most. Meanwhile the queue's worker waits, so that nothing else is asked in its place.
BUSY_TRIES = 5
BUSY_SECONDS = 10.0
BUSY = (429, 503)

Query = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Connection:
    """What it takes to speak to the API server."""

    server: str
    ca_path: str | None
    insecure: bool
    certificate_path: str | None
    private_key_path: str | None
    scheme: str | None
    token: str | None
    proxy_url: str | None


@dataclass(frozen=True)
class Request:
    """One request; `content` is its type and body."""

    method: str
    path: str
    query: Query = ()
    content: tuple[str, Object] | None = None
    accept: str = JSON


class Transport:
    """The way to the API server. Use as an async context manager; inside a cluster where there is no kubeconfig."""

    def __init__(self, kubeconfig: Path | None) -> None:
        self._kubeconfig = kubeconfig
        self._refreshing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Transport:
        configuration = client.Configuration()
        if self._kubeconfig is None:
            config.load_incluster_config(client_configuration=configuration)
        else:
            loader = await config.load_kube_config(str(self._kubeconfig), client_configuration=configuration)
            # Tokens of credential plugins live for minutes; for other kubeconfigs this ends at once.
            self._refreshing = asyncio.create_task(config.refresh_token(loader, configuration))
        # Unlimited: watches hold connections, and the queue's workers are few.
        configuration.connection_pool_maxsize = 0
        self._api = client.ApiClient(configuration)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._refreshing is not None:
            self._refreshing.cancel()
        await self._api.close()

    async def connection(self) -> Connection:
        """The way to the API server for another client, with a token that is valid now."""
        configuration = self._api.configuration
        header = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        scheme, _, token = (header or "").partition(" ")
        return Connection(
            server=configuration.host,
            ca_path=configuration.ssl_ca_cert,
            insecure=not configuration.verify_ssl,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
            scheme=scheme or None,
            token=token or None,
            proxy_url=configuration.proxy,
        )

    async def request(self, request: Request) -> tuple[int, bytes]:
        """Status and body of the answer; of a server that says when to ask again, the answer of then.

        Raises:
            Unavailable: there is no answer.
        """
        for _ in range(BUSY_TRIES - 1):
            status, body, wait = await self._attempt(request)
            if wait is None:
                return status, body
            await asyncio.sleep(wait)
        return (await self._attempt(request))[:2]

    async def _attempt(self, request: Request) -> tuple[int, bytes, float | None]:
        """Status and body, and the seconds after which the server would rather answer."""
        serialized = await self._serialized(request)
        try:
            response = await self._api.call_api(*serialized, _request_timeout=API_TIMEOUT)
            body = await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            metrics.api_answer(request.method, "<error>")
            raise Unavailable(f"{request.method} {request.path}: {str(error) or type(error).__name__}") from error
        metrics.api_answer(request.method, str(response.status))
        return response.status, body, _wait(response.status, response.headers.get("Retry-After", ""))

    async def ask(self, request: Request) -> Any:
        """The answer's JSON.

        Raises:
            ApiError: there is no answer, or it is an error.
        """
        return checked(*await self.request(request))

    async def lines(self, request: Request, seconds: float) -> AsyncIterator[bytes]:
        """The lines of an answer that goes on, for `seconds` at most.

        Raises:
            ApiError: there is no answer, it is an error, or it breaks off.
        """
        serialized = await self._serialized(request)
        try:
            answer = await self._api.call_api(*serialized, _request_timeout=seconds)
            async with answer.response as response:
                metrics.api_answer(request.method, str(response.status))
                if response.status >= 300:
                    checked(response.status, await response.read())
                async for line in response.content:
                    yield line
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unavailable(f"{request.method} {request.path}: {str(error) or type(error).__name__}") from error

    async def _serialized(self, request: Request) -> RequestSerialized:
        headers = {"Accept": request.accept}
        if request.content is not None:
            headers["Content-Type"] = request.content[0]
        return await self._api.param_serialize(
            request.method,
            request.path,
            query_params=list(request.query),
            header_params=headers,
            body=request.content[1] if request.content else None,
            auth_settings=["BearerToken"],
        )


def _wait(status: int, retry_after: str) -> float | None:
    """Seconds that a busy server asks for; API servers give them as a number."""
    if status not in BUSY or not retry_after.isdecimal():
        return None
    return min(float(retry_after), BUSY_SECONDS)
