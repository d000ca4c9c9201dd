"""One checkpoint on its way to the store, in a thread: training goes on meanwhile. Started by `checkpoints`; loads no
torch."""

from __future__ import annotations

import json
import math
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from reasoner_api.digest import canonical_json
from reasoner_api.manifest import MANIFEST_NAME, ArtifactManifest, FileEntry
from reasoner_api.status import Checkpoint
from reasoner_workloads.common.artifact import describe
from reasoner_workloads.common.store import Missing, Store, StoreError

#: Seconds that the main node waits for the others' files once it has brought its own.
PEER_SECONDS = 900.0
#: The same at least, where the process must soon be gone.
LAST_PEER_SECONDS = 30.0
POLL_SECONDS = 0.5

#: Gives the monotonic time by which a process must be gone. Asked again and again: it may be told to stop meanwhile.
By = Callable[[], float]


def unhurried() -> float:
    """No time at all."""
    return math.inf


@dataclass
class Upload:
    """A folder of one node, and where it goes. Several nodes meet in the store: each leaves the list of its files,
    the main one makes the manifest of all. Collectives are the training thread's own and cannot serve here."""

    store: Store
    folder: Path
    prefix: str
    step: int
    attempt: str
    """Tells this attempt's lists from those of an earlier one at the same step."""
    node: int
    nodes: int
    done: Callable[[Checkpoint], None]
    """Called by the main node's thread when the manifest is there."""
    failed: Callable[[str], None]
    """Called with what went wrong; training goes on."""
    by: By = unhurried
    """When the process must be gone, as far as is known."""
    _thread: threading.Thread | None = None

    def start(self, about: ArtifactManifest) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, args=(about,), name=f"checkpoint-{self.step}", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether it is still on its way."""
        return self._thread is not None and self._thread.is_alive()

    def finish(self, by: By = unhurried) -> None:
        """Wait until it is there; on the other nodes until `by`, and a little longer where this one was slow itself."""
        self.by = by
        if self._thread is not None:
            self._thread.join()

    def _run(self, about: ArtifactManifest) -> None:
        try:
            about = describe(self.folder, about)
            for entry in about.files:
                self.store.put(f"{self.prefix}/{entry.path}", self.folder / entry.path)
            if self.node:
                listed = json.dumps([entry.wire() for entry in about.files])
                self.store.put(self._list_of(self.node), listed.encode())
            else:
                self._complete(about)
        except (StoreError, OSError) as error:
            self.failed(f"the checkpoint of step {self.step} did not reach the store: {error}")
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _complete(self, about: ArtifactManifest) -> None:
        by_path, brought = {entry.path: entry for entry in about.files}, time.monotonic()
        for node in range(1, self.nodes):
            by_path |= {entry.path: entry for entry in self._brought_by(node, brought)}
        manifest = about.model_copy(update={"files": [by_path[path] for path in sorted(by_path)]})
        self.store.put(f"{self.prefix}/{MANIFEST_NAME}", canonical_json(manifest.wire()))
        self.done(Checkpoint(step=self.step, uri=self.store.at(self.prefix), digest=manifest.digest()))

    def _brought_by(self, node: int, since: float) -> list[FileEntry]:
        while True:
            try:
                listed = json.loads(self.store.get(self._list_of(node)))
            except Missing:
                if time.monotonic() > min(since + PEER_SECONDS, max(self.by(), since + LAST_PEER_SECONDS)):
                    raise StoreError(f"node {node} did not bring its files") from None
                time.sleep(POLL_SECONDS)
                continue
            self.store.delete(self._list_of(node))
            return [FileEntry.model_validate(entry) for entry in listed]

    def _list_of(self, node: int) -> str:
        return f"{self.prefix}/parts/{self.attempt}-{node:04d}.json"
