"""Where the processes of several pods meet: the first pod's address, awaited and looked up here rather than by torch.
Called by `launch`.

torch's own store says nothing while it waits, ends with a bare time-out, and resolves names in C++ alone. Awaiting the
first pod here shows what is waited for, says what is in the way, and looks the name up again at each try, as the
first pod may be replaced meanwhile."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

from reasoner_workloads.common.run import PeerLost

DEFAULT_PORT = 29500
_TRY_SECONDS, _PAUSE_SECONDS, _LINE_SECONDS = 5.0, 1.0, 15.0


def node_rank(env: Mapping[str, str]) -> int:
    """This pod's number in the group."""
    return int(env.get("NODE_RANK", env.get("JOB_COMPLETION_INDEX", "0")))


@dataclass(frozen=True)
class Place:
    """This pod's position in the group, and the first pod as the others know it."""

    node_rank: int
    host: str
    port: int

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Place:
        """As the launcher's environment says: NODE_RANK (or the Job's index), MASTER_ADDR, MASTER_PORT."""
        return cls(node_rank(env), env["MASTER_ADDR"], int(env.get("MASTER_PORT", DEFAULT_PORT)))


def master_address(place: Place, own: str, wait: float) -> str:
    """The first pod's address for torchrun. The first pod itself takes its `own`, where it knows it; the others wait
    until it accepts connections.

    Raises:
        PeerLost: it did not within `wait` seconds. No failure of the pod that waits; another try may find it.
    """
    if place.node_rank == 0:
        return _for_url(own or place.host)
    begun = time.monotonic()
    said = begun - _LINE_SECONDS
    while True:
        address, why = _try(place)
        if address:
            print(f"the first pod answers at {address}:{place.port}", flush=True)
            return _for_url(address)
        now = time.monotonic()
        if now - begun >= wait:
            raise PeerLost(_gave_up(place, wait, why), reason="NoRendezvous")
        if now - said >= _LINE_SECONDS:
            print(f"waiting for the first pod, {place.host}:{place.port}, since {now - begun:.0f} s: {why}", flush=True)
            said = now
        time.sleep(_PAUSE_SECONDS)


def _try(place: Place) -> tuple[str, str]:
    """The address that accepts connections, or why none does."""
    try:
        with socket.create_connection((place.host, place.port), timeout=_TRY_SECONDS) as found:
            return str(found.getpeername()[0]), ""
    except socket.gaierror as error:
        return "", f"its name is not known ({error.strerror})"
    except OSError as error:
        return "", (error.strerror or str(error)).lower()


def _gave_up(place: Place, wait: float, why: str) -> str:
    return (
        f"the first pod of the group, {place.host}:{place.port}, did not answer within {wait:.0f} s ({why}): "
        "it does not run yet, or a NetworkPolicy or the cluster's DNS is in the way"
    )


def _for_url(address: str) -> str:
    """The address as it stands before a port."""
    return f"[{address}]" if ":" in address else address
