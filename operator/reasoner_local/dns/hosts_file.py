"""A pod's /etc/hosts: the cluster's names as the pod's search domains shorten them. Used by `hosts`.

Programs have the file mounted, so it is changed in place, while they may be reading: lines keep their places."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

DOMAIN = "svc.cluster.local"
#: Blanked lines, from which on the file is written without them.
_MOST_BLANKS = 200


def search(namespace: str) -> tuple[str, ...]:
    """The search domains of a pod in that namespace."""
    return f"{namespace}.{DOMAIN}", DOMAIN, "cluster.local"


@dataclass(frozen=True)
class Owner:
    """Whose file it is."""

    namespace: str
    hostname: str
    ip: str


@dataclass
class HostsFile:
    """One pod's file."""

    path: Path
    owner: Owner
    _lines: list[str] = field(default_factory=list)

    def show(self, names: Mapping[str, Iterable[str]]) -> None:
        """Have the file hold the names, each with its addresses, and the machine's own lines."""
        wanted = _lines(names, self.owner)
        lines = revised(self._lines, wanted)
        if lines != self._lines:
            self._write("".join(f"{line}\n" for line in lines).encode())
            self._lines = lines

    def _write(self, data: bytes) -> None:
        # One write, and the length after it: a reader meets old lines or new ones, and no end too early.
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(handle, data, 0)
            os.ftruncate(handle, len(data))
        finally:
            os.close(handle)


def revised(before: list[str], wanted: Iterable[str]) -> list[str]:
    """The wanted lines, those from before in their places: what is gone is blanked, what is new comes last."""
    asked = dict.fromkeys(wanted)
    kept = [line if line in asked else " " * len(line) for line in before]
    if sum(not line.strip() for line in kept) > _MOST_BLANKS:
        return list(asked)
    held = set(before)
    return kept + [line for line in asked if line not in held]


def _lines(names: Mapping[str, Iterable[str]], owner: Owner) -> list[str]:
    found = [f"{owner.ip}\t{owner.hostname}"]
    for name, addresses in names.items():
        short = [name.removesuffix(f".{domain}") for domain in search(owner.namespace) if name.endswith(f".{domain}")]
        aliases = " ".join(dict.fromkeys([name, *short]))
        found += [f"{address}\t{aliases}" for address in addresses]
    return [*found, *_machine()]


def _machine() -> list[str]:
    """The machine's own lines, without comments."""
    try:
        lines = Path("/etc/hosts").read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return ["127.0.0.1\tlocalhost"]
    return [line for line in (line.partition("#")[0].strip() for line in lines) if line]
