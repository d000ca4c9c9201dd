"""The manifest that makes an artifact: written last by the workloads' `common.artifact`; a prefix without one
does not exist."""

from __future__ import annotations

from pydantic import Field

from reasoner_api.base import Open
from reasoner_api.digest import digest_of

MANIFEST_NAME = "manifest.json"


class FileEntry(Open):
    """One file of an artifact."""

    path: str
    """Path below the artifact's prefix."""
    sha256: str
    """Hex sha256 of its bytes."""
    size: int
    """Its size in bytes."""


class ArtifactManifest(Open):
    """What an artifact holds and what it was made from. Nothing in it depends on when or where it was made."""

    type: str
    """dataset, verifier-data, model or checkpoint."""
    files: list[FileEntry]
    """Every file, sorted by path."""
    rows: int | None = None
    """Rows of a dataset."""
    inputs: dict[str, str] = Field(default_factory=dict)
    """Digest or name of everything it was made from, by role."""
    spec_digest: str = ""
    """Digest of the spec it was made by, as far as that decides what it holds."""
    software: str = ""
    """Name and version of what made it."""

    def digest(self) -> str:
        """`sha256:<hex>` of the manifest's canonical JSON."""
        return digest_of(self.wire())
