"""Checkpoints in the object store: files first, manifest last, so that half a checkpoint is none. The step waits for
the copy on the local disk alone; the way to the store is `uploads`'. Used by the trainers (`restore`) and by
`callbacks` (`save`, `finish`)."""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reasoner_api.manifest import MANIFEST_NAME, ArtifactManifest
from reasoner_api.status import Checkpoint
from reasoner_workloads.common.artifact import ArtifactError, fetch
from reasoner_workloads.common.progress import Reporter
from reasoner_workloads.common.run import Run
from reasoner_workloads.common.store import Store, StoreError
from reasoner_workloads.training.uploads import By, Upload, unhurried
from reasoner_workloads.training.world import World

FOLDER = "checkpoints"
_STEP = re.compile(r"/step-(\d{8})/")


@dataclass
class Checkpoints:
    """The checkpoints of one run, in its own store."""

    store: Store
    keep: int
    spec_digest: str
    world: World
    reporter: Reporter
    endpoint: str | None = None
    region: str = "us-east-1"
    _upload: Upload | None = field(default=None, repr=False)
    _damaged: set[int] = field(default_factory=set)
    """Steps that this group could not resume from. They stay in the store, where another may find them whole: it may
    have been a node's disk."""

    @classmethod
    def of(cls, this: Run[Any], keep: int, world: World) -> Checkpoints:
        """The checkpoints of a run."""
        storage = this.task.work.storage
        return cls(this.store, keep, this.digest, world, this.reporter, storage.endpoint, storage.region)

    def save(self, folder: Path, step: int, *, last: bool = False, by: By = unhurried) -> bool:
        """Take charge of a folder that the trainer has written; every process calls this. It is brought to the store
        while training goes on; the last one is waited for, on other nodes until `by`. While an earlier one is still on
        its way a further one is let go: a store that is slower than the trainer makes checkpoints rarer, and steps no
        longer. Whether it is kept."""
        # Every rank writes its own files into the node's folder: all must have done so.
        self.world.barrier()
        if last:
            self.finish(by)
        elif self.world.any(self._upload is not None and self._upload.busy):
            if self.world.first_of_node:
                shutil.rmtree(folder)
            if self.world.main:
                said = f"the checkpoint of step {step} is not kept: the one before is still on its way to the store"
                self.reporter.warn("CheckpointSkipped", said)
            return False
        attempt = self.world.gather(uuid.uuid4().hex)[0]
        if self.world.first_of_node:
            # Out of the way of the trainer, which deletes its older folders.
            mine = folder.rename(folder.with_name(f"uploading-{step}"))
            self._upload = self._to_store(mine, step, attempt)
            self._upload.start(ArtifactManifest(type="checkpoint", files=[], spec_digest=self.spec_digest))
        if last:
            self.finish(by)
        return True

    def finish(self, by: By = unhurried) -> None:
        """Wait for what is on its way. Called before the process ends, too, which must be gone `by` then."""
        if self._upload is not None:
            self._upload.finish(by)

    def restore(self, folder: Path) -> int | None:
        """Bring the newest valid checkpoint into `folder/checkpoint-<step>`; its step, or None where there is none.
        One that any node finds damaged is passed over for the one before. Every process calls this."""
        if self.world.first_of_node:
            _clear(folder)
        for step in self.world.gather(self.steps() if self.world.main else [])[0]:
            fault = self._fetch(folder, step) if self.world.first_of_node else ""
            faults = [found for found in self.world.gather(fault) if found]
            if not faults:
                if self.world.main:
                    # Who brought the newest may have ended before the oldest went.
                    self._drop_oldest()
                return step
            if self.world.main:
                self.reporter.warn("CheckpointDamaged", f"passed over the checkpoint of step {step}: {faults[0]}")
            self._damaged.add(step)
            shutil.rmtree(folder / f"checkpoint-{step}", ignore_errors=True)
        return None

    def steps(self) -> list[int]:
        """Steps of the whole checkpoints, newest first."""
        found = _steps_of(key for key in self.store.list(f"{FOLDER}/") if key.endswith(f"/{MANIFEST_NAME}"))
        return [step for step in found if step not in self._damaged]

    def _to_store(self, folder: Path, step: int, attempt: str) -> Upload:
        return Upload(
            store=self.store, folder=folder, prefix=_at(step), step=step, attempt=attempt,
            node=self.world.node, nodes=self.world.nodes, done=self._arrived,
            failed=lambda fault: self.reporter.warn("CheckpointNotSaved", fault),
        )  # fmt: skip

    def _arrived(self, checkpoint: Checkpoint) -> None:
        print(f"checkpoint of step {checkpoint.step} is at {checkpoint.uri}", flush=True)
        self.reporter.update(last_checkpoint=checkpoint)
        self._damaged.discard(checkpoint.step)
        self._drop_oldest()

    def _fetch(self, folder: Path, step: int) -> str:
        """What is wrong with the checkpoint; nothing when it is there and whole."""
        try:
            fetch(self.store.at(_at(step)), folder / f"checkpoint-{step}", endpoint=self.endpoint, region=self.region)
        except ArtifactError as error:
            return str(error)
        return ""

    def _drop_oldest(self) -> None:
        """Keep the newest; what has no manifest and is older than one that has is what some end left behind."""
        try:
            whole = self.steps()
            kept = set(whole[: self.keep])
            for step in _steps_of(self.store.list(f"{FOLDER}/")):
                if step in kept or step > whole[0]:
                    continue
                # Manifest first: what is half deleted must not look whole.
                self.store.delete(f"{_at(step)}/{MANIFEST_NAME}")
                for key in self.store.list(f"{_at(step)}/"):
                    self.store.delete(key)
        except StoreError as error:
            self.reporter.warn("CheckpointsNotDropped", f"older checkpoints stay in the store for now: {error}")


def _clear(folder: Path) -> None:
    """Remove what an earlier group's processes have left on this node's disk: half written, or half brought away."""
    for path in (*folder.glob("checkpoint-*"), *folder.glob("uploading-*")):
        shutil.rmtree(path)


def _at(step: int) -> str:
    return f"{FOLDER}/step-{step:08d}"


def _steps_of(keys: Iterable[str]) -> list[int]:
    return sorted({int(found.group(1)) for key in keys if (found := _STEP.search(key))}, reverse=True)
