"""A bucket in bad weather: what fails and may pass is tried again, and what cannot pass is said at once."""

from __future__ import annotations

import math
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tenacity import wait_none

from reasoner_workloads.common import store_s3
from reasoner_workloads.common.s3_failures import Away
from reasoner_workloads.common.store import Store, StoreError, hurry, open_store
from support.store_weather import FAULTS, StoreWeather


@pytest.fixture
def weather(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreWeather]:
    """Fine at first."""
    monkeypatch.setattr(store_s3, "PAUSES", wait_none())
    monkeypatch.setattr(store_s3, "QUICK_TRIES", 2)
    with StoreWeather(endpoint, seed=1, faults={"none": 1}).served() as weather:
        yield weather


@pytest.fixture
def store(weather: StoreWeather, tmp_path: Path) -> Store:
    return open_store(f"s3://reasoner/{tmp_path.name}", endpoint=weather.url)


@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - {"none"}))
def test_many_a_request_may_fail(fault: str, weather: StoreWeather, store: Store, tmp_path: Path) -> None:
    weather.faults = {"none": 0.7, fault: 0.3}
    (tmp_path / "file").write_bytes(large := os.urandom(20_000_000))  # sent in parts
    for number in range(5):
        store.put(f"small/{number}", b"%d" % number)
    store.put("large", tmp_path / "file")
    assert store.list("small/") == [f"small/{number}" for number in range(5)]
    assert [store.get(f"small/{number}") for number in range(5)] == [b"%d" % number for number in range(5)]
    assert store.get("large") == large
    assert b"".join(store.stream("large", 1000, 5_000_000)) == large[1000:5_001_000]
    store.download("large", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == large
    store.put_new("marker", b"first")  # whether it was written is not known where the answer was lost
    assert not store.put_new("marker", b"second")
    assert store.get("marker") == b"first"
    store.delete("marker")
    assert not store.exists("marker")
    assert weather.met[fault]


def is_waited_for(weather: StoreWeather, store: Store) -> bool:
    """Whether a request is answered in the end that finds the store away for a while."""
    weather.away = True
    with ThreadPoolExecutor() as threads:
        found = threads.submit(store.get, "key")
        weather.wait_for("hung up", 20)
        assert not found.done()
        weather.away = False
        return found.result() == b"1"


def test_a_store_that_goes_away_is_waited_for(weather: StoreWeather, store: Store) -> None:
    store.put("key", b"1")
    assert is_waited_for(weather, store)


def test_its_user_hears_of_each_time_that_it_is_away(
    weather: StoreWeather, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_s3, "TELL_SECONDS", 0.0)
    told: list[str] = []
    store = open_store(f"s3://reasoner/{tmp_path.name}", endpoint=weather.url, tell=told.append)
    store.put("key", b"1")
    for _ in range(2):
        assert is_waited_for(weather, store)
    assert len(told) == 2
    assert "the object store is away, and is asked again: " in told[0]


def test_but_not_for_ever(weather: StoreWeather, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("key", b"1")
    weather.away = True
    monkeypatch.setattr(store_s3, "PATIENCE", 0.3)
    with pytest.raises(StoreError, match=r"/key: Connection was closed"):
        store.get("key")


def test_one_that_was_given_up_is_not_waited_for_as_long_until_it_answers(
    weather: StoreWeather, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("key", b"1")
    weather.away = True
    monkeypatch.setattr(store_s3, "PATIENCE", 0.3)
    with pytest.raises(StoreError):
        store.get("key")
    monkeypatch.setattr(store_s3, "PATIENCE", math.inf)
    monkeypatch.setattr(store_s3, "SHORT_PATIENCE", 0.3)
    with pytest.raises(StoreError):
        store.get("key")
    weather.away = False
    assert store.get("key") == b"1"
    assert is_waited_for(weather, store)


def test_a_process_that_is_about_to_end_waits_no_longer(
    weather: StoreWeather, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_s3, "_ENDING", store_s3._Ending())
    monkeypatch.setattr(store_s3, "LAST_PATIENCE", 0.3)
    store.put("key", b"1")
    weather.away = True
    with ThreadPoolExecutor() as threads:
        found = threads.submit(store.get, "key")
        weather.wait_for("hung up", 10)
        hurry()
        with pytest.raises(StoreError):
            found.result()


def test_a_server_that_hangs_up_in_the_handshake_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_s3, "PAUSES", wait_none())
    monkeypatch.setattr(store_s3, "QUICK_TRIES", 1)
    monkeypatch.setattr(store_s3, "PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        ending = threading.Event()

        def hang_up() -> None:
            while not ending.is_set():
                with listening.accept()[0] as one:
                    one.recv(1 << 16)

        threading.Thread(target=hang_up, daemon=True).start()
        with pytest.raises(Away, match="SSL"):
            open_store("s3://reasoner/x", endpoint=f"https://127.0.0.1:{port}").get("key")
        ending.set()
        socket.create_connection(("127.0.0.1", port)).close()


def test_an_address_where_nobody_has_ever_answered_is_soon_given_up(
    unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setattr(store_s3, "QUICK_TRIES", 2)
    monkeypatch.setattr(store_s3, "SHORT_PATIENCE", 0.3)
    with pytest.raises(StoreError, match="Could not connect to the endpoint"):
        open_store("s3://reasoner/x", endpoint=f"http://127.0.0.1:{unused_tcp_port}").put("key", b"")


def test_what_is_replaced_while_it_is_read_is_no_mixture(weather: StoreWeather, store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(5_000_000))
    store.put("key", tmp_path / "file")
    weather.faults = {"broken off": 1}
    read = store.stream("key")
    next(read)
    weather.faults = {"none": 1}
    store.put("key", b"1" * 5_000_000)
    with pytest.raises(StoreError, match="PreconditionFailed"):
        list(read)
