"""Checkpoints on their way to the store and back: what is whole, what is kept, what is passed over."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reasoner_api.manifest import ArtifactManifest
from reasoner_api.status import Checkpoint
from reasoner_workloads.common.artifact import verify
from reasoner_workloads.common.progress import Reporter, Word
from reasoner_workloads.common.store import open_store
from reasoner_workloads.common.store_base import Store, StoreError
from reasoner_workloads.training.checkpoints import Checkpoints
from reasoner_workloads.training.uploads import LAST_PEER_SECONDS, Upload
from reasoner_workloads.training.world import World
from support.stand_ins import until


class GatedStore:
    """A store whose uploads wait for a gate, or fail."""

    def __init__(self, store: Store) -> None:
        self._store, self.gate, self.fails = store, threading.Event(), False
        self.keeps = False
        """Whether nothing can be deleted."""
        self.asked = 0
        self.gate.set()

    def put(self, key: str, data: bytes | Path) -> None:
        assert self.gate.wait(30)
        if self.fails:
            raise StoreError("the bucket is full")
        self._store.put(key, data)

    def get(self, key: str) -> bytes:
        self.asked += 1
        return self._store.get(key)

    def delete(self, key: str) -> None:
        if self.keeps:
            raise StoreError("the bucket is locked")
        self._store.delete(key)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


@dataclass
class Run:
    """A run's checkpoints on a folder."""

    folder: Path
    store: GatedStore
    checkpoints: Checkpoints
    written: list[Path] = field(default_factory=list)

    def save(self, step: int, last: bool = False) -> None:
        made = self.folder / "trainer" / f"checkpoint-{step}"
        made.mkdir(parents=True)
        (made / "model.safetensors").write_text(f"weights of {step}")
        (made / "optimizer.pt").write_text(f"momenta of {step}")
        self.checkpoints.save(made, step, last=last)

    def file(self, step: int, name: str) -> Path:
        return self.folder / "store" / "checkpoints" / f"step-{step:08d}" / name

    @property
    def warnings(self) -> list[str]:
        return [item.reason for item in self.checkpoints.reporter.report.warnings]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    reporter = Reporter(Word(host="127.0.0.1", port=0))
    store = GatedStore(open_store((tmp_path / "store").as_uri()))
    yield Run(tmp_path, store, Checkpoints(store, 2, "sha256:0", World(), reporter))  # type: ignore[arg-type]
    reporter.close()


def test_a_save_returns_before_the_store_has_it_and_the_last_one_is_waited_for(run: Run) -> None:
    run.store.gate.clear()
    run.save(10)
    assert run.checkpoints.steps() == []
    assert run.checkpoints.reporter.report.last_checkpoint is None
    run.store.gate.set()
    run.save(20, last=True)
    assert run.checkpoints.steps() == [20, 10]
    told = run.checkpoints.reporter.report.last_checkpoint
    assert told is not None
    assert (told.step, verify(told.uri, digest=told.digest).type) == (20, "checkpoint")
    # Nothing stays on the node's disk.
    assert list((run.folder / "trainer").iterdir()) == []


def test_while_the_store_is_slower_than_the_trainer_checkpoints_become_rarer_and_steps_no_longer(run: Run) -> None:
    run.store.gate.clear()
    run.save(10)
    run.save(20)
    assert run.warnings == ["CheckpointSkipped"]
    run.store.gate.set()
    run.checkpoints.finish()
    assert run.checkpoints.steps() == [10]


def test_the_oldest_go_and_so_does_what_a_killed_pod_left_half_done(run: Run) -> None:
    half = run.file(15, "model.safetensors")
    half.parent.mkdir(parents=True)
    half.write_text("half")
    for step in (10, 20, 30):
        run.save(step, last=True)
    assert run.checkpoints.steps() == [30, 20]
    assert not run.file(10, "optimizer.pt").exists()
    assert not half.exists()


def test_a_store_that_fails_is_told_and_ends_nothing(run: Run) -> None:
    run.store.fails = True
    run.save(10, last=True)
    assert run.warnings == ["CheckpointNotSaved"]
    run.store.fails = False
    run.save(20, last=True)
    assert run.checkpoints.steps() == [20]


def test_a_store_that_deletes_nothing_has_the_checkpoint_all_the_same(run: Run) -> None:
    run.store.keeps = True
    for step in (10, 20, 30):
        run.save(step, last=True)
    assert run.warnings == ["CheckpointsNotDropped"]
    told = run.checkpoints.reporter.report.last_checkpoint
    assert told is not None and told.step == 30
    run.store.keeps = False
    run.save(40, last=True)
    assert run.checkpoints.steps() == [40, 30]


def test_what_a_killed_pod_had_no_time_to_drop_goes_with_the_next_beginning(run: Run) -> None:
    run.store.keeps = True
    for step in (10, 20, 30):
        run.save(step, last=True)
    run.store.keeps = False
    assert run.checkpoints.restore(run.folder / "trainer") == 30
    assert run.checkpoints.steps() == [30, 20]


def _cut(path: Path) -> None:
    path.write_text("weig")


#: What has happened to the newest checkpoint -> the step that is resumed from, and what is said.
FATES: dict[str, tuple[Callable[[Run], object], int, list[str]]] = {
    "nothing": (lambda run: None, 20, []),
    "a file is cut": (lambda run: _cut(run.file(20, "model.safetensors")), 10, ["CheckpointDamaged"]),
    "a file is gone": (lambda run: run.file(20, "optimizer.pt").unlink(), 10, ["CheckpointDamaged"]),
    "its manifest is no manifest": (
        lambda run: run.file(20, "manifest.json").write_text("{"),
        10,
        ["CheckpointDamaged"],
    ),
    "its manifest is not there yet": (lambda run: run.file(20, "manifest.json").unlink(), 10, []),
}


@pytest.mark.parametrize("sentence", FATES)
def test_the_newest_valid_one_is_resumed_from(sentence: str, run: Run) -> None:
    fate, expected, said = FATES[sentence]
    run.save(10, last=True)
    run.save(20, last=True)
    fate(run)
    dest = run.folder / "restored"
    assert run.checkpoints.restore(dest) == expected
    assert run.warnings == said
    assert (dest / f"checkpoint-{expected}" / "optimizer.pt").read_text() == f"momenta of {expected}"
    assert {path.name for path in dest.iterdir()} == {f"checkpoint-{expected}"}


def test_damaged_ones_do_not_crowd_out_what_is_saved_afterwards(run: Run) -> None:
    for step in (10, 20, 30):
        run.save(step, last=True)
    _cut(run.file(30, "model.safetensors"))
    _cut(run.file(20, "optimizer.pt"))
    assert run.checkpoints.restore(run.folder / "restored") is None
    for step in (10, 20, 25):
        run.save(step, last=True)
    assert run.checkpoints.steps() == [25, 20]
    # The step once more, and whole.
    run.save(30, last=True)
    assert run.checkpoints.steps() == [30, 25]
    assert run.checkpoints.restore(run.folder / "restored") == 30


def test_what_a_group_left_on_the_disk_is_not_in_the_way_of_the_next(run: Run) -> None:
    trainer = run.folder / "trainer"
    run.save(10, last=True)
    for left in ("uploading-20", "checkpoint-20", "checkpoint-10"):
        (trainer / left).mkdir()
        (trainer / left / "half.pt").write_text("half")
    assert run.checkpoints.restore(trainer) == 10
    assert [path.name for path in trainer.iterdir()] == ["checkpoint-10"]
    assert not (trainer / "checkpoint-10" / "half.pt").exists()
    run.save(20, last=True)
    assert run.checkpoints.steps() == [20, 10]


def test_with_nothing_valid_a_run_starts_anew(run: Run) -> None:
    assert run.checkpoints.restore(run.folder / "restored") is None
    run.save(10, last=True)
    _cut(run.file(10, "optimizer.pt"))
    assert run.checkpoints.restore(run.folder / "restored") is None


def test_the_nodes_of_a_group_meet_in_the_store(tmp_path: Path) -> None:
    store = open_store((tmp_path / "store").as_uri())
    told: list[Checkpoint] = []
    faults: list[str] = []
    about = ArtifactManifest(type="checkpoint", files=[], spec_digest="sha256:0")
    uploads = []
    for node in (0, 1, 2):
        folder = tmp_path / f"node-{node}"
        folder.mkdir()
        (folder / f"shard-{node}.pt").write_text(f"shard {node}")
        (folder / "common.json").write_text("{}")
        uploads.append(Upload(store, folder, "checkpoints/step-1", 1, "a", node, 3, told.append, faults.append))
    uploads[0].start(about)
    uploads[2].start(about)
    uploads[2].finish()
    # The list of an earlier attempt at this step is not this attempt's.
    store.put("checkpoints/step-1/parts/b-0001.json", json.dumps([]).encode())
    assert uploads[0].busy and not told
    uploads[1].start(about)
    uploads[0].finish()
    assert faults == []
    manifest = verify(told[0].uri, digest=told[0].digest)
    assert [entry.path for entry in manifest.files] == ["common.json", "shard-0.pt", "shard-1.pt", "shard-2.pt"]


def test_a_checkpoint_that_a_node_did_not_bring_its_files_to_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reasoner_workloads.training.uploads.LAST_PEER_SECONDS", 0.0)
    store = open_store((tmp_path / "store").as_uri())
    faults: list[str] = []
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "shard.pt").write_text("shard")
    upload = Upload(store, tmp_path / "node", "step", 1, "a", 0, 2, lambda checkpoint: None, faults.append)
    upload.start(ArtifactManifest(type="checkpoint", files=[]))
    upload.finish(lambda: 0.0)
    assert faults == ["the checkpoint of step 1 did not reach the store: node 1 did not bring its files"]
    assert not store.exists("step/manifest.json")


def test_the_others_have_their_time_once_the_main_node_has_brought_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 0.0
    monkeypatch.setattr("reasoner_workloads.training.uploads.time.monotonic", lambda: clock)
    monkeypatch.setattr("reasoner_workloads.training.uploads.POLL_SECONDS", 0.01)
    store = GatedStore(open_store((tmp_path / "store").as_uri()))
    about, faults = ArtifactManifest(type="checkpoint", files=[]), []
    told: list[Checkpoint] = []
    uploads = []
    for node in (0, 1):
        folder = tmp_path / f"node-{node}"
        folder.mkdir()
        (folder / f"shard-{node}.pt").write_text(f"shard {node}")
        uploads.append(Upload(store, folder, "step", 1, "a", node, 2, told.append, faults.append))  # type: ignore[arg-type]
    store.gate.clear()
    uploads[0].start(about)
    ending = threading.Thread(target=uploads[0].finish, args=(lambda: 50.0,))
    ending.start()
    until(lambda: uploads[0].by() == 50.0, 10)
    # It takes the main node longer than the others are given, and them a little longer still.
    clock = LAST_PEER_SECONDS + 70
    store.gate.set()
    until(lambda: store.asked, 10)
    clock += LAST_PEER_SECONDS / 2
    asked = store.asked
    until(lambda: store.asked > asked + 1, 10)
    uploads[1].start(about)
    ending.join()
    assert (faults, [checkpoint.step for checkpoint in told]) == ([], [1])
