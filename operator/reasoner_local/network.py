"""The cluster's own part of the loopback network, 127.A.0.0/16. Used by `cluster`, the node and the Service
controller."""

from __future__ import annotations

import os
import socket

#: Held open in the claimed subnet for as long as the cluster lives: the claim ends with the process.
_CLAIM_HOST, _CLAIM_PORT = "255.254", 10250
_PODS, _SERVICES, _INFRA = 0, 128, 192


class Subnet:
    """Addresses 127.A.0-127.x for pods, 127.A.128-191.x for Services, 127.A.192.x for infrastructure."""

    def __init__(self) -> None:
        self._claim, self.prefix = _claim()
        self._used: set[str] = set()
        self._next = {_PODS: 1, _SERVICES: 1}

    @property
    def node(self) -> str:
        """Address of the node itself."""
        return f"{self.prefix}.255.1"

    def infra(self, position: int) -> str:
        """Address of an infrastructure server."""
        return f"{self.prefix}.{_INFRA}.{position}"

    def pod(self) -> str:
        """A free address for a pod."""
        return self._take(_PODS)

    def service(self) -> str:
        """A free address for a Service."""
        return self._take(_SERVICES)

    def _take(self, base: int) -> str:
        # Addresses come round late, so that a client that lingers does not meet another pod.
        span = 64 * 254
        for _ in range(span):
            position = self._next[base] % span
            self._next[base] += 1
            address = f"{self.prefix}.{base + position // 254}.{position % 254 + 1}"
            if address not in self._used:
                self._used.add(address)
                return address
        raise RuntimeError(f"no free address in {self.prefix}.0.0/16")

    def take(self, address: str) -> None:
        """Note an address that is in use already."""
        self._used.add(address)

    def release(self, address: str) -> None:
        """Give an address back."""
        self._used.discard(address)

    def close(self) -> None:
        """Give the subnet back."""
        self._claim.close()


def _claim() -> tuple[socket.socket, str]:
    """Claim a subnet by listening in it: whoever comes second gets the next one."""
    start = os.getpid() % 200
    for offset in range(200):
        prefix = f"127.{20 + (start + offset) % 200}"
        claim = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            claim.bind((f"{prefix}.{_CLAIM_HOST}", _CLAIM_PORT))
            claim.listen(1)
        except OSError:
            claim.close()
            continue
        return claim, prefix
    raise RuntimeError("no free loopback subnet: every 127.A.0.0/16 is claimed by another cluster")


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that is free now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
