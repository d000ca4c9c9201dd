"""Makes the cluster's names resolve in Python programs of pods, as the cluster's DNS would.

Its folder stands first on a pod's PYTHONPATH, so every Python there imports it at its start. It wraps
`socket.getaddrinfo` and `socket.gethostbyname`; names that the cluster does not know go on to the system."""

import importlib.machinery
import importlib.util
import json
import os
import socket
import sys
from typing import Any

_HOSTS = os.environ.get("REASONER_DNS_HOSTS", "")
_SEARCH = os.environ.get("REASONER_DNS_SEARCH", "").split()
_SELF = (os.environ.get("HOSTNAME", ""), os.environ.get("REASONER_DNS_SELF", ""))
_ZONE = ".cluster.local"

_known: dict[str, list[str]] = {}
_read_at = -1
_system_getaddrinfo = socket.getaddrinfo
_system_gethostbyname = socket.gethostbyname


def _names() -> dict[str, list[str]]:
    """The hosts file, read again when it was replaced."""
    global _known, _read_at
    stamp = os.stat(_HOSTS).st_mtime_ns  # noqa: PTH116 - pathlib would double what each start of Python costs
    if stamp != _read_at:
        with open(_HOSTS, encoding="utf-8") as file:  # noqa: PTH123
            _known = json.load(file)
        _read_at = stamp
    return _known


def _addresses(host: Any) -> list[str]:
    """The cluster's addresses for a name; empty where it is none of the cluster's."""
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if not isinstance(host, str) or not host:
        return []
    name = host.rstrip(".").lower()
    if _SELF[1] and name == _SELF[0]:
        return [_SELF[1]]
    names = _names()
    for candidate in (name, *(f"{name}.{domain}" for domain in _SEARCH)):
        if candidate in names:
            return list(names[candidate])
    if name.endswith(_ZONE):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return []


def _getaddrinfo(  # noqa: PLR0913 - as in the module it stands for
    host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
) -> Any:
    found = _addresses(host)
    if not found:
        return _system_getaddrinfo(host, port, family, type, proto, flags)
    return [
        entry for address in found for entry in _system_getaddrinfo(address, port, socket.AF_INET, type, proto, flags)
    ]


def _gethostbyname(hostname: Any) -> str:
    found = _addresses(hostname)
    return found[0] if found else _system_gethostbyname(hostname)


def _gethostname() -> str:
    return _SELF[0]


def _next_sitecustomize() -> None:
    """Run the sitecustomize that this one stands before, if there is one."""
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    path = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]  # noqa: PTH100
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", path)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


if _HOSTS:
    socket.getaddrinfo = _getaddrinfo
    socket.gethostbyname = _gethostbyname
    if _SELF[0]:
        socket.gethostname = _gethostname
_next_sitecustomize()
