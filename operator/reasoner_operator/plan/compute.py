"""`spec.compute` and the platform team's profile -> one Compute. Called by the kinds' plans; pure."""

from __future__ import annotations

from reasoner_api.common import Compute, Resources
from reasoner_operator.settings import Settings


class UnknownProfile(ValueError):
    """The spec names a profile that the platform team has not defined; the message lists those there are."""


def resolve(compute: Compute, settings: Settings) -> Compute:
    """The spec's fields over the profile's. Maps (labels, node selector, ...) are merged, lists appended,
    anything else replaced.

    Raises:
        UnknownProfile: there is no profile of that name.
    """
    if compute.profile is None:
        return compute
    profile = settings.profiles.get(compute.profile)
    if profile is None:
        known = ", ".join(sorted(settings.profiles)) or "none is defined"
        raise UnknownProfile(f"compute.profile: no profile {compute.profile!r} (profiles: {known})")
    merged = profile.wire()
    for field, value in compute.wire().items():
        below = merged.get(field)
        if isinstance(value, dict) and isinstance(below, dict) and field != "resources":
            merged[field] = {**below, **value}
        elif isinstance(value, list) and isinstance(below, list):
            merged[field] = below + value
        else:
            merged[field] = value
    return Compute.model_validate(merged)


def container_resources(resources: Resources | None, gpus: int) -> dict[str, dict[str, str]]:
    """Requests and limits with the GPUs added; Kubernetes wants GPUs as limits, and copies them to requests."""
    wire: dict[str, dict[str, str]] = resources.wire() if resources else {}
    if gpus:
        wire = {**wire, "limits": {**wire.get("limits", {}), "nvidia.com/gpu": str(gpus)}}
    return {key: value for key, value in wire.items() if value}
