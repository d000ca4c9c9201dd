"""Who does which piece: agreed on in the store, taken over from pods that are gone, and never done twice in the
result."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from reasoner_api.status import Usage
from reasoner_workloads.common.store import FileStore, Store
from reasoner_workloads.curation import buckets, claims
from reasoner_workloads.curation.buckets import Bucket, Done, plan
from reasoner_workloads.curation.claims import Claims
from reasoner_workloads.curation.stretch import Part


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return FileStore(tmp_path)


def test_a_piece_is_one_pods(store: Store) -> None:
    first, second = Claims(store, 0), Claims(store, 1)
    assert first.take(["a", "b"]) == "a"
    assert second.take(["a", "b"]) == "b"
    assert first.take(["a", "b"]) is None
    assert second.take(["a", "b"]) is None


class Lossy(FileStore):
    """A store whose answer to a write gets lost, and which was asked again."""

    def put_new(self, key: str, data: bytes) -> bool:
        super().put_new(key, data)
        return super().put_new(key, data)


def test_a_claim_whose_answer_got_lost_is_this_pods(tmp_path: Path) -> None:
    assert Claims(Lossy(tmp_path), 0).take(["a"]) == "a"
    assert Claims(Lossy(tmp_path), 1).take(["a"]) is None


def test_a_pod_that_comes_back_takes_up_what_it_had(store: Store) -> None:
    before = Claims(store, 0)
    assert before.take(["a"]) == "a"
    after = Claims(store, 0)
    assert after.take(["a", "b"]) == "b"
    assert after.take(["a", "b"]) == "a"
    assert before.take(["a"]) is None


def test_a_pod_that_comes_back_on_a_node_whose_clock_is_behind(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with Claims(store, 0) as before:
        assert before.take(["a"]) == "a"
    monkeypatch.setattr(claims.time, "time_ns", lambda: 1)
    after = Claims(store, 0)
    assert after.take(["a"]) == "a"
    assert before.take(["a"]) is None


def test_a_pod_that_gives_signs_of_life_keeps_its_piece_and_a_silent_one_loses_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.01)
    late = Claims(store, 1, stale_seconds=0.2)
    with Claims(store, 0) as owner:
        assert owner.take(["a"]) == "a"
        for _ in range(30):
            assert late.take(["a"]) is None
            owner._ended.wait(0.01)
    while late.take(["a"]) is None:
        owner._ended.wait(0)
    assert Claims(store, 2).take(["a"]) is None


def test_of_two_pods_at_one_bucket_the_first_to_keep_it_counts(store: Store, tmp_path: Path) -> None:
    bucket = Bucket(3, 0, 1 << 64)
    for pod in (0, 1):
        path = tmp_path / f"records-{pod}"
        path.write_bytes(b"%d" % pod)
        buckets.keep(store, bucket, path, Done(pod=pod, stages=[], usage=Usage()))
    assert buckets.names_done(store) == {"00003"}
    (done,) = buckets.markers(store, ["00003"])
    assert (done.pod, store.get(done.file)) == (0, b"0")


@pytest.mark.parametrize(
    ("rows", "shards", "count"),
    [
        (0, 1, 1),
        (5, 8, 1),
        (207, 1, 16),
        (207, 8, 16),
        (5_000_000, 64, 8192),
        (5_000_000, 1, 8192),
        (100_000, 64, 1024),
    ],
)
def test_there_are_buckets_enough_to_share_and_none_is_large(rows: int, shards: int, count: int) -> None:
    part = Part(file="", size=0, read=rows, rows=rows, sound=rows, fault="", hashes=[], offsets=[])
    found = plan([part], shards)
    assert len(found) == count
    assert (found[0].low, found[-1].high) == (0, 1 << 64)
    assert all(one.high == other.low for one, other in itertools.pairwise(found))
