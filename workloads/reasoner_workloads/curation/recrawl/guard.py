"""What the re-crawl may reach. A page's links and a host's DNS are in strangers' hands: nothing inside the cluster may
answer to them.

The lock is at the socket: `Guard.open_socket` sees the very address that is connected to next, so it holds for every
spelling of an address (octal, hexadecimal, IPv4 inside IPv6), after every redirect, and for names whose address changes
between two look-ups. Used by `client` and `fetcher`."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from reasoner_api.curation import Recrawl
from reasoner_workloads.common.run import ConfigError
from reasoner_workloads.curation.records import Dropped

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Names looked up at a time: each holds a thread for as long as its server is silent.
DNS_THREADS = 64

_GLOBAL_UNICAST = ip_network("2000::/3")
#: The last 32 bits are an IPv4 address that a gateway connects to (RFC 6052).
_NAT64 = ip_network("64:ff9b::/96")
#: Reserved by IANA, or inside a cloud, and `is_global` to some versions of Python all the same.
_INSIDE: tuple[_Network, ...] = tuple(
    ip_network(block)
    for block in (
        "0.0.0.0/8",
        "168.63.129.16/32",  # Azure's virtual public address of the host
        "192.0.0.0/24",  # 192.0.0.192: Oracle's metadata
        "192.88.99.0/24",
        "240.0.0.0/4",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
    )
)


class Forbidden(OSError):
    """An address that may not be connected to. An OSError, as that is what connecting may raise."""


class Guard:
    """The rules of `recrawl`. Raises ConfigError where they name no networks."""

    def __init__(self, settings: Recrawl) -> None:
        self._allowed = _networks("allowAddresses", settings.allow_addresses)
        self._denied = _networks("denyAddresses", settings.deny_addresses)
        self._allow_hosts = [_plain(host) for host in settings.allow_hosts]
        self._deny_hosts = [_plain(host) for host in settings.deny_hosts]
        self._ports = frozenset(settings.allow_ports)

    def url(self, text: str, base: URL | None = None) -> URL:
        """The address of a page or of a redirect, without user and fragment. Raises Dropped with `forbidden_address`
        where scheme or host is not to be asked, with `http_error` where it is no URL."""
        try:
            found = URL(text) if base is None else base.join(URL(text))
            scheme, host = found.scheme, _plain(found.raw_host or "")
            found = found.with_fragment(None)
            found = found.with_user(None) if found.user or found.password else found
        except ValueError as error:
            raise Dropped("http_error", f"bad URL {text[:200]!a}: {error}") from error
        if scheme not in ("http", "https"):
            raise Dropped("forbidden_address", f"scheme of {text[:200]!a}")
        if not host:
            raise Dropped("http_error", f"bad URL {text[:200]!a}: no host")
        if _listed(host, self._deny_hosts) or (self._allow_hosts and not _listed(host, self._allow_hosts)):
            raise Dropped("forbidden_address", f"host {host}")
        return found

    def check(self, address: str, port: int) -> None:
        """Raises Forbidden unless this address and port may be connected to."""
        forms = _forms(ip_address(address))
        if any(form in network for form in forms for network in self._denied):
            raise Forbidden(f"{address} is denied")
        if any(form in network for form in forms for network in self._allowed):
            return
        if not _is_public(forms[-1]):
            raise Forbidden(f"{address} is not public")
        if port not in self._ports:
            raise Forbidden(f"port {port}")

    def open_socket(self, target: tuple[Any, ...]) -> socket.socket:
        """The socket for what `getaddrinfo` gave: the caller connects it to that address next."""
        family, kind, protocol, _, (address, port, *_rest) = target
        self.check(address, port)
        return socket.socket(family, kind, protocol)


class Resolver(AbstractResolver):
    """Names to addresses; one that has an address that may not be connected to is refused altogether."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        # The loop's own threads do other work, too: names that are dead for seconds must not hold that up.
        self._threads = ThreadPoolExecutor(DNS_THREADS, thread_name_prefix="dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses. Raises Forbidden, or OSError where there are none."""
        ask = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
        infos = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        for *_, address in infos:
            self._guard.check(str(address[0]), port)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=one_family,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for one_family, _, protocol, _, address in infos
        ]

    async def close(self) -> None:
        """Let its threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _networks(field: str, texts: Iterable[str]) -> list[_Network]:
    try:
        return [ip_network(text, strict=False) for text in texts]
    except ValueError as error:
        raise ConfigError(f"recrawl.{field}: {error}") from error


def _plain(host: str) -> str:
    """A host's name as patterns are compared with it."""
    return host.lower().strip(".")


def _listed(host: str, patterns: list[str]) -> bool:
    return any(host == pattern or host.endswith(f".{pattern}") for pattern in patterns)


def _forms(address: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    """An address, and last the IPv4 one that is reached by it."""
    if not isinstance(address, IPv6Address):
        return [address]
    inner = IPv4Address(int(address) & 0xFFFF_FFFF) if address in _NAT64 else address.ipv4_mapped
    return [address, inner] if inner else [address]


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is one of the public internet's hosts."""
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    return address.is_global and not address.is_multicast and not any(address in network for network in _INSIDE)
