"""Content-addressed artifacts: files first, `manifest.json` last; a prefix without a manifest does not exist.
Called by every workload to publish what it made and to fetch what it reads, and by `reasoner_workloads verify`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import ValidationError

from reasoner_api.digest import canonical_json
from reasoner_api.manifest import MANIFEST_NAME, ArtifactManifest, FileEntry
from reasoner_api.status import Artifact
from reasoner_workloads.common.store import Missing, Store, open_store

DISTRIBUTION = "reasoner-operator"


class ArtifactError(Exception):
    """The artifact is absent, or is not what its manifest or the caller says. The message names what differs."""


def software() -> str:
    """Name and version of what makes artifacts, for their manifests."""
    try:
        return f"{DISTRIBUTION} {version(DISTRIBUTION)}"
    except PackageNotFoundError:
        return f"{DISTRIBUTION} (not installed)"


def publish(store: Store, folder: Path, prefix: str, about: ArtifactManifest, *, replace: bool = False) -> Artifact:
    """Publish the folder's files under the prefix. `about` is the manifest but for its files and software.

    An identical artifact that is there already is left as it is. A different one raises ArtifactError, since what
    is published does not change, unless `replace` is set (for what was found to be broken)."""
    manifest = describe(folder, about)
    there = _manifest(store, prefix)
    if there is not None and there.digest() != manifest.digest():
        if not replace:
            raise ArtifactError(f"{store.at(prefix)} already holds another artifact ({there.digest()})")
        store.delete(f"{prefix}/{MANIFEST_NAME}")
        there = None
    if there is None:
        for entry in manifest.files:
            store.put(f"{prefix}/{entry.path}", folder / entry.path)
        if not store.put_new(f"{prefix}/{MANIFEST_NAME}", canonical_json(manifest.wire())):
            winner = _manifest(store, prefix)
            if winner is None or winner.digest() != manifest.digest():
                raise ArtifactError(f"{store.at(prefix)}: another writer published something else meanwhile")
    return Artifact(uri=store.at(prefix), digest=manifest.digest(), rows=manifest.rows)


def describe(folder: Path, about: ArtifactManifest) -> ArtifactManifest:
    """The manifest of a folder's files, sorted by path; hidden files are left out."""
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    files = [_entry(folder, path) for path in paths if path.name != MANIFEST_NAME]
    files.sort(key=lambda entry: entry.path)
    return about.model_copy(update={"files": files, "software": software()})


def find(store: Store, prefix: str) -> Artifact | None:
    """The artifact under the prefix, if one was published whole."""
    manifest = _manifest(store, prefix)
    if manifest is None:
        return None
    return Artifact(uri=store.at(prefix), digest=manifest.digest(), rows=manifest.rows)


def fetch(
    uri: str, dest: Path, *, endpoint: str | None = None, region: str = "us-east-1", digest: str | None = None
) -> Path:
    """Download an artifact into `dest` and return that. Every file is held to its sha256, the manifest to `digest`
    where one is given; files that are there already and right are kept. Raises ArtifactError."""
    store = open_store(uri, endpoint=endpoint, region=region)
    manifest = _required(store, digest)
    wrong = []
    for entry in manifest.files:
        path = dest / entry.path
        if not path.resolve().is_relative_to(dest.resolve()):
            raise ArtifactError(f"{store.uri}: the manifest names {entry.path!r}, which leads out of the folder")
        if not (path.is_file() and _sha256_of_file(path) == entry.sha256):
            try:
                store.download(entry.path, path)
            except Missing:
                wrong.append(f"{entry.path} is missing")
                continue
            if _sha256_of_file(path) != entry.sha256:
                path.unlink()
                wrong.append(f"{entry.path} differs from its sha256")
    _refuse(store, wrong)
    (dest / MANIFEST_NAME).write_bytes(canonical_json(manifest.wire()))
    return dest


def verify(
    uri: str, *, endpoint: str | None = None, region: str = "us-east-1", digest: str | None = None
) -> ArtifactManifest:
    """Read every byte of an artifact and hold it to its manifest. Raises ArtifactError naming all that differs."""
    store = open_store(uri, endpoint=endpoint, region=region)
    manifest = _required(store, digest)
    wrong = []
    for entry in manifest.files:
        try:
            sha256, size = _sha256(store.stream(entry.path))
        except Missing:
            wrong.append(f"{entry.path} is missing")
            continue
        if size != entry.size:
            wrong.append(f"{entry.path} has {size} bytes in place of {entry.size}")
        elif sha256 != entry.sha256:
            wrong.append(f"{entry.path} differs from its sha256")
    _refuse(store, wrong)
    return manifest


def _refuse(store: Store, wrong: list[str]) -> None:
    if wrong:
        raise ArtifactError(f"{store.uri}: " + "; ".join(wrong))


def _required(store: Store, digest: str | None) -> ArtifactManifest:
    manifest = _manifest(store, "")
    if manifest is None:
        raise ArtifactError(f"no artifact at {store.uri}: it has no {MANIFEST_NAME}")
    if digest is not None and manifest.digest() != digest:
        raise ArtifactError(f"{store.uri} has the digest {manifest.digest()}, expected {digest}")
    return manifest


def _manifest(store: Store, prefix: str) -> ArtifactManifest | None:
    key = f"{prefix}/{MANIFEST_NAME}" if prefix else MANIFEST_NAME
    try:
        return ArtifactManifest.model_validate_json(store.get(key))
    except Missing:
        return None
    except ValidationError as error:
        raise ArtifactError(f"{store.at(key)} is not a manifest: {error}") from error


def _entry(folder: Path, path: Path) -> FileEntry:
    return FileEntry(path=path.relative_to(folder).as_posix(), sha256=_sha256_of_file(path), size=path.stat().st_size)


def _sha256_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256(chunks: Iterable[bytes]) -> tuple[str, int]:
    total, size = hashlib.sha256(), 0
    for chunk in chunks:
        total.update(chunk)
        size += len(chunk)
    return total.hexdigest(), size
