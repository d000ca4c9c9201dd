"""Both kinds of store do the same; artifacts on top of them; S3 by its real protocol."""

from __future__ import annotations

import os
from pathlib import Path

import boto3
import pytest

from reasoner_api.manifest import ArtifactManifest
from reasoner_workloads.__main__ import main
from reasoner_workloads.common.artifact import ArtifactError, fetch, find, publish, verify
from reasoner_workloads.common.store import Missing, Store, StoreError, open_store

ABOUT = ArtifactManifest(type="dataset", files=[], rows=2, inputs={"source": "x"}, spec_digest="sha256:1")


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, endpoint: str) -> Store:
    if request.param == "file":
        return open_store((tmp_path / "store").as_uri())
    return open_store(f"s3://reasoner/{tmp_path.name}", endpoint=endpoint)


def where(store: Store, endpoint: str) -> dict[str, str]:
    return {"endpoint": endpoint} if store.uri.startswith("s3") else {}


def test_a_bucket_without_credentials_says_where_they_are_named(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with pytest.raises(StoreError, match=r"storage\.credentialsSecretRef, or a service account .* compute"):
        open_store("s3://reasoner/somewhere", endpoint=endpoint).exists("key")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "made"
    (made / "sub").mkdir(parents=True)
    (made / "a.txt").write_bytes(b"first")
    (made / "sub" / "b.bin").write_bytes(os.urandom(3_000_000))
    (made / ".cache").mkdir()
    (made / ".cache" / "c").write_bytes(b"hidden")
    return made


def test_objects(store: Store, tmp_path: Path) -> None:
    store.put("a/one", b"1")
    (tmp_path / "two").write_bytes(b"22")
    store.put("a/two", tmp_path / "two")
    store.put("ab", b"3")
    assert store.list() == ["a/one", "a/two", "ab"]
    assert store.list("a/") == ["a/one", "a/two"]
    assert store.list("a") == ["a/one", "a/two", "ab"]
    assert store.list("nothing/here") == []
    assert store.get("a/two") == b"22"
    store.put("a/two", b"new")
    store.download("a/two", tmp_path / "deep" / "two")
    assert (tmp_path / "deep" / "two").read_bytes() == b"new"
    assert store.exists("ab")
    store.delete("ab")
    store.delete("ab")
    assert not store.exists("ab")
    with pytest.raises(Missing, match=r"/ab does not exist"):
        store.get("ab")
    with pytest.raises(Missing):
        store.download("ab", tmp_path / "ab")
    assert list(tmp_path.glob(".tmp*")) == []


def test_of_two_writers_one_wins(store: Store) -> None:
    assert store.put_new("marker", b"first")
    assert not store.put_new("marker", b"second")
    assert store.get("marker") == b"first"


def test_a_key_stays_below_its_prefix(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="leads out of"):
        open_store(tmp_path.as_uri()).put("../escape", b"")


@pytest.mark.parametrize("uri", ["gs://bucket/x", "s3://", "/plain/path", "file://otherhost/x"])
def test_other_uris_are_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="is neither s3"):
        open_store(uri)


def test_a_missing_bucket_is_named(endpoint: str) -> None:
    with pytest.raises(StoreError, match=r"s3://nowhere/x/key.*NoSuchBucket"):
        open_store("s3://nowhere/x", endpoint=endpoint).put("key", b"")


def test_publish_find_fetch_and_verify(store: Store, folder: Path, tmp_path: Path, endpoint: str) -> None:
    assert find(store, "data") is None
    artifact = publish(store, folder, "data", ABOUT)
    assert artifact.uri == store.at("data")
    assert artifact.rows == 2
    assert find(store, "data") == artifact
    assert publish(store, folder, "data", ABOUT) == artifact
    assert store.list("data/") == ["data/a.txt", "data/manifest.json", "data/sub/b.bin"]
    got = fetch(artifact.uri, tmp_path / "got", digest=artifact.digest, **where(store, endpoint))
    assert (got / "sub" / "b.bin").read_bytes() == (folder / "sub" / "b.bin").read_bytes()
    manifest = verify(artifact.uri, digest=artifact.digest, **where(store, endpoint))
    assert [(entry.path, entry.size) for entry in manifest.files] == [("a.txt", 5), ("sub/b.bin", 3_000_000)]
    assert manifest.software.startswith("reasoner-operator ")


def test_what_is_published_does_not_change_unless_told(store: Store, folder: Path) -> None:
    first = publish(store, folder, "data", ABOUT)
    (folder / "a.txt").write_bytes(b"other")
    with pytest.raises(ArtifactError, match="already holds another artifact"):
        publish(store, folder, "data", ABOUT)
    assert find(store, "data") == first
    second = publish(store, folder, "data", ABOUT, replace=True)
    assert find(store, "data") == second != first


def test_what_differs_is_named(store: Store, folder: Path, tmp_path: Path, endpoint: str) -> None:
    artifact = publish(store, folder, "data", ABOUT)
    at = where(store, endpoint)
    store.put("data/a.txt", b"f1rst")
    with pytest.raises(ArtifactError, match=r"a\.txt differs from its sha256"):
        verify(artifact.uri, **at)
    with pytest.raises(ArtifactError, match=r"a\.txt differs from its sha256"):
        fetch(artifact.uri, tmp_path / "got", **at)
    store.put("data/a.txt", b"longer")
    store.delete("data/sub/b.bin")
    with pytest.raises(ArtifactError, match=r"a\.txt has 6 bytes in place of 5; sub/b\.bin is missing"):
        verify(artifact.uri, **at)
    with pytest.raises(ArtifactError, match=r"has the digest sha256:.*expected sha256:00"):
        fetch(artifact.uri, tmp_path / "got", digest="sha256:00", **at)
    with pytest.raises(ArtifactError, match=r"no artifact at .*/none"):
        verify(store.at("none"), **at)


def test_what_was_fetched_already_is_kept(store: Store, folder: Path, tmp_path: Path, endpoint: str) -> None:
    artifact = publish(store, folder, "data", ABOUT)
    at = where(store, endpoint)
    fetch(artifact.uri, tmp_path / "got", **at)
    before = (tmp_path / "got" / "sub" / "b.bin").stat().st_mtime_ns
    (tmp_path / "got" / "a.txt").write_bytes(b"spoilt")
    fetch(artifact.uri, tmp_path / "got", **at)
    assert (tmp_path / "got" / "a.txt").read_bytes() == b"first"
    assert (tmp_path / "got" / "sub" / "b.bin").stat().st_mtime_ns == before


def test_a_file_that_leads_out_is_not_written(tmp_path: Path) -> None:
    store = open_store((tmp_path / "store").as_uri())
    store.put(
        "bad/manifest.json",
        b'{"type": "model", "files": [{"path": "../evil", "sha256": "00", "size": 1}]}',
    )
    with pytest.raises(ArtifactError, match="leads out of the folder"):
        fetch(store.at("bad"), tmp_path / "got")


def test_the_command(
    store: Store, folder: Path, tmp_path: Path, endpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = publish(store, folder, "data", ABOUT)
    at = ["--endpoint", endpoint] if store.uri.startswith("s3") else []
    assert main(["fetch", "--uri", artifact.uri, "--dest", str(tmp_path / "got"), *at]) == 0
    assert main(["verify", artifact.uri, *at]) == 0
    out = capsys.readouterr().out
    assert "sub/b.bin" in out
    assert out.endswith(f"digest {artifact.digest}\nOK\n")
    store.put("data/a.txt", b"f1rst")
    assert main(["verify", artifact.uri, *at]) == 1
    assert "a.txt differs from its sha256" in capsys.readouterr().err
