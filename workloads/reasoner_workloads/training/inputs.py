"""What a training run reads: datasets and base models, by digest. Called by the trainers; loads neither torch nor
transformers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from reasoner_api.common import Storage
from reasoner_api.manifest import MANIFEST_NAME, ArtifactManifest
from reasoner_api.task import InputArtifact
from reasoner_workloads.common.artifact import ArtifactError, fetch
from reasoner_workloads.common.run import ConfigError, WorkloadError
from reasoner_workloads.common.store import StoreError, open_store

#: Endings of a dataset that is one file, published by nobody: the user's own rows.
FILES = (".parquet", ".jsonl")


@dataclass(frozen=True)
class Fetched:
    """An input on this machine's disk."""

    path: str
    """Folder, or a name on the Hugging Face Hub."""
    identity: str
    """Digest of the artifact's manifest, or that name and its commit: for the lineage."""


def fetch_dataset(dataset: InputArtifact, storage: Storage, dest: Path) -> Fetched:
    """The dataset's files in `dest`, held to their digests: a published artifact's, or one file of the user's own,
    whose digest is the sha256 of its bytes."""
    if dataset.uri.endswith(FILES):
        return _file(dataset, storage, dest)
    return _artifact(dataset.uri, dataset.digest, storage, dest)


def fetch_base_model(name: str, storage: Storage, dest: Path) -> Fetched:
    """The base model's files in `dest` where `name` is an artifact; a Hugging Face name is left as it is, for
    `hub` or for transformers."""
    if name.startswith(("s3://", "file://")):
        return _artifact(name, None, storage, dest)
    return Fetched(name, name)


def parquet(dataset: Fetched, file: str, columns: tuple[str, ...]) -> Path:
    """One file of a dataset. Raises ConfigError where the file, or a column of it, is missing."""
    import pyarrow.parquet

    path = Path(dataset.path) / file
    if not path.is_file():
        raise ConfigError(f"dataset: it holds no {file}: is it an artifact of another kind?")
    missing = sorted(set(columns) - set(pyarrow.parquet.read_schema(path).names))
    if missing:
        raise ConfigError(f"dataset: {file} has no column {', '.join(missing)}")
    return path


def _file(dataset: InputArtifact, storage: Storage, dest: Path) -> Fetched:
    prefix, _, name = dataset.uri.rpartition("/")
    path = dest / name
    try:
        open_store(prefix, endpoint=storage.endpoint, region=storage.region).download(name, path)
    except StoreError as error:
        raise WorkloadError(str(error), reason="InputUnavailable") from error
    with path.open("rb") as file:
        identity = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    if dataset.digest not in (None, identity):
        raise ConfigError(f"dataset.digest: {dataset.uri} has the sha256 {identity}")
    return Fetched(str(dest), identity)


def _artifact(uri: str, digest: str | None, storage: Storage, dest: Path) -> Fetched:
    try:
        fetch(uri, dest, endpoint=storage.endpoint, region=storage.region, digest=digest)
    except (ArtifactError, StoreError) as error:
        # Possibly the user's fault, but also what a store looks like that is not up yet: worth the Job's retries.
        raise WorkloadError(str(error), reason="InputUnavailable") from error
    manifest = ArtifactManifest.model_validate_json((dest / MANIFEST_NAME).read_bytes())
    return Fetched(str(dest), manifest.digest())
