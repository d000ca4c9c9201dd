"""Checkpoints in the object store: files first, manifest last, so that half a checkpoint is none. Used by the
trainers (`restore`) and by `callbacks` (`save`)."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reasoner_api.digest import canonical_json
from reasoner_api.manifest import MANIFEST_NAME, ArtifactManifest, FileEntry
from reasoner_api.status import Checkpoint
from reasoner_workloads.common.artifact import ArtifactError, describe, fetch
from reasoner_workloads.common.run import Run, WorkloadError
from reasoner_workloads.common.store import Store
from reasoner_workloads.training.world import World

FOLDER = "checkpoints"
_STEP = re.compile(r"/step-(\d{8})/")


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one run, in its own store."""

    store: Store
    keep: int
    spec_digest: str
    world: World
    endpoint: str | None = None
    region: str = "us-east-1"

    @classmethod
    def of(cls, this: Run[Any], keep: int, world: World) -> Checkpoints:
        """The checkpoints of a run."""
        storage = this.task.work.storage
        return cls(this.store, keep, this.digest, world, storage.endpoint, storage.region)

    def save(self, folder: Path, step: int) -> Checkpoint:
        """Upload a folder of the trainer's; every process calls this. Each node brings the files of its own disk,
        the main process writes the manifest over all of them and drops the oldest checkpoints."""
        # Every rank writes its own files into the node's folder: all must have done so.
        self.world.barrier()
        prefix = self._at(step)
        if self.world.main:
            self.store.delete(f"{prefix}/{MANIFEST_NAME}")
        self.world.barrier()
        about = ArtifactManifest(type="checkpoint", files=[], spec_digest=self.spec_digest)
        mine: list[FileEntry] = []
        if self.world.first_of_node:
            about = describe(folder, about)
            mine = about.files
            for entry in mine:
                self.store.put(f"{prefix}/{entry.path}", folder / entry.path)
        by_path = {entry.path: entry for part in self.world.gather(mine) for entry in part}
        files = [by_path[path] for path in sorted(by_path)]
        manifest = about.model_copy(update={"files": files})
        if self.world.main:
            self.store.put(f"{prefix}/{MANIFEST_NAME}", canonical_json(manifest.wire()))
            self._drop_oldest()
        self.world.barrier()
        return Checkpoint(step=step, uri=self.store.at(prefix), digest=manifest.digest())

    def restore(self, folder: Path) -> int | None:
        """Bring the newest valid checkpoint into `folder/checkpoint-<step>`; its step, or None where there is none.
        One that is damaged is passed over for the one before. Every process calls this."""
        found = self._restore(folder) if self.world.first_of_node else None
        steps = self.world.gather((self.world.first_of_node, found))
        of_nodes = {step for speaks, step in steps if speaks}
        if len(of_nodes) > 1:
            raise WorkloadError(f"the nodes read different checkpoints: {of_nodes}", reason="CheckpointMismatch")
        return of_nodes.pop()

    def steps(self) -> list[int]:
        """Steps of the whole checkpoints, newest first."""
        keys = self.store.list(f"{FOLDER}/")
        found = (_STEP.search(key) for key in keys if key.endswith(f"/{MANIFEST_NAME}"))
        return sorted((int(match.group(1)) for match in found if match), reverse=True)

    def _restore(self, folder: Path) -> int | None:
        for step in self.steps():
            dest = folder / f"checkpoint-{step}"
            try:
                fetch(self.store.at(self._at(step)), dest, endpoint=self.endpoint, region=self.region)
            except ArtifactError as error:
                print(f"passing over a damaged checkpoint: {error}", flush=True)
                shutil.rmtree(dest, ignore_errors=True)
                continue
            return step
        return None

    def _drop_oldest(self) -> None:
        for step in self.steps()[self.keep :]:
            # Manifest first: what is half deleted must not look whole.
            self.store.delete(f"{self._at(step)}/{MANIFEST_NAME}")
            for key in self.store.list(f"{self._at(step)}/"):
                self.store.delete(key)

    @staticmethod
    def _at(step: int) -> str:
        return f"{FOLDER}/step-{step:08d}"
