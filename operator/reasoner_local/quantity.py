"""Kubernetes quantities (`500m`, `2Gi`) and what a pod asks for. Used by the scheduler and the node."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

from reasoner_local.client import Obj

_SUFFIXES = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"),
    "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12),
    "P": Decimal(10**15), "E": Decimal(10**18),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40),
    "Pi": Decimal(2**50), "Ei": Decimal(2**60),
}  # fmt: skip


def parse(quantity: str | int | float) -> Decimal:
    """The quantity's value in its base unit (cores, bytes, pieces)."""
    text = str(quantity)
    for length in (2, 1):
        if text[-length:] in _SUFFIXES:
            return Decimal(text[:-length]) * _SUFFIXES[text[-length:]]
    return Decimal(text)


def container_requests(container: Obj) -> dict[str, Decimal]:
    """What one container asks for: requests, and limits where no request is named."""
    resources = container.get("resources") or {}
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: parse(amount) for name, amount in asked.items()}


def pod_requests(pod: Obj) -> dict[str, Decimal]:
    """What a pod asks for: its containers together, or its largest init container where that is more."""
    result: dict[str, Decimal] = defaultdict(Decimal)
    for container in pod["spec"].get("containers", []):
        for name, amount in container_requests(container).items():
            result[name] += amount
    for container in pod["spec"].get("initContainers", []):
        for name, amount in container_requests(container).items():
            result[name] = max(result[name], amount)
    return result
