"""The pod that generates, with a server that does nothing but be there: who holds it, and how it ends."""

from __future__ import annotations

import random
import signal
import stat
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from reasoner_api.digest import digest_of
from reasoner_api.manifest import ArtifactManifest
from reasoner_api.task import GRPOTask
from reasoner_workloads.common.artifact import publish
from reasoner_workloads.common.store import open_store
from reasoner_workloads.grpo.rollout.lease import Lease
from support.stand_ins import Pod, grpo_task

#: Healthy until it is asked for `/end`, unless its arguments say otherwise.
SERVER = """#!{python}
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/end":
            print("out of memory", flush=True)
            os._exit(7)
        self.send_response(200)
        self.end_headers()

given = dict(part.removeprefix("--").partition("=")[::2] for part in sys.argv[3:])
if "unknown" in given:
    print("vllm: error: unrecognized arguments: --unknown=1", flush=True)
    sys.exit(2)
if "slow" in given:
    import time
    time.sleep(60)
print("ready", os.getpid(), flush=True)
HTTPServer((given["host"], int(given["port"])), Handler).serve_forever()
"""


class Rollout:
    """A rollout pod of a run whose trainers are the test."""

    def __init__(self, folder: Path, **server: Any) -> None:
        (folder / "bin").mkdir()
        (folder / "base").mkdir()
        (folder / "base" / "config.json").write_text("{}")
        publish(open_store(folder.as_uri()), folder / "base", "policy-base", ArtifactManifest(type="model", files=[]))
        vllm = folder / "bin" / "vllm"
        vllm.write_text(SERVER.format(python=sys.executable))
        vllm.chmod(vllm.stat().st_mode | stat.S_IXUSR)
        task = grpo_task(folder, folder / "out") | {"topology": {"nodes": 1, "rolloutNodes": 1}}
        task["work"]["rollout"] = {"mode": "server", "server": server}
        self.address = f"127.{random.randint(64, 250)}.{random.randint(0, 250)}.3"
        env = {"POD_IP": self.address, "NODE_RANK": "1", "PATH": f"{folder / 'bin'}:/usr/bin:/bin"}
        self.pod = Pod("grpo", task, folder / "pod", env)

    def lease(self) -> Trainer:
        return Trainer(self.address)


class Trainer:
    """A trainer's end of the lease."""

    def __init__(self, address: str) -> None:
        self.leaving, self.lost, self.why = threading.Event(), threading.Event(), ""
        self.lease = Lease(address, 60, lambda _: None, self.leaving.set, self._lost)

    def _lost(self, why: str) -> None:
        self.why = why
        self.lost.set()


def engines(log: str) -> int:
    return sum(line.startswith("ready ") for line in log.splitlines())


def test_each_training_has_a_fresh_engine_and_a_pod_that_must_go_waits_for_its_trainer(tmp_path: Path) -> None:
    rollout = Rollout(tmp_path)
    process = rollout.pod.start()
    first, second = rollout.lease(), rollout.lease()
    first.lease.take()
    first.lease.release()
    second.lease.take()
    process.send_signal(signal.SIGTERM)
    assert second.leaving.wait(20)
    assert process.poll() is None
    assert not second.lost.is_set()
    second.lease.release()
    code, said, log = rollout.pod.wait(process)
    assert (code, said.reason, engines(log)) == (143, "Terminated", 2), log


def test_a_trainer_whose_node_was_lost_gives_way_to_its_successor(tmp_path: Path) -> None:
    rollout = Rollout(tmp_path)
    process = rollout.pod.start()
    lost, successor = rollout.lease(), rollout.lease()
    lost.lease.take()
    successor.lease.take()
    assert lost.lost.wait(20)
    assert lost.why == "another training has taken its place"
    successor.lease.release()
    process.terminate()
    code, _, log = rollout.pod.wait(process)
    assert (code, engines(log) >= 2) == (143, True), log


def test_an_engine_that_ends_is_named_to_the_trainer_and_by_the_pod(tmp_path: Path) -> None:
    rollout = Rollout(tmp_path)
    process = rollout.pod.start()
    trainer = rollout.lease()
    trainer.lease.take()
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        urllib.request.urlopen(f"http://{rollout.address}:8000/end", timeout=10)
    assert trainer.lost.wait(20)
    code, said, log = rollout.pod.wait(process)
    assert (code, said.reason) == (1, "RolloutServerFailed"), log
    assert said.message == trainer.why
    assert "the vLLM server ended (exit code 7)" in said.message
    assert "out of memory" in said.message


@pytest.mark.parametrize(
    ("args", "code", "reason", "message"),
    [
        ("--unknown=1", 2, "BadConfig", "rollout.server.args: vLLM refuses them: vllm: error: unrecognized arguments"),
        ("--slow=1", 1, "RolloutServerNotReady", "is not ready after 1 s (rollout.server.startupSeconds): it said"),
    ],
)
def test_an_engine_that_does_not_start_is_named(
    args: str, code: int, reason: str, message: str, tmp_path: Path
) -> None:
    found, said, log = Rollout(tmp_path, args=[args], startupSeconds=1).pod.run()
    assert (found, said.reason) == (code, reason), log
    assert message in said.message


def test_it_ends_well_once_the_run_has_published(tmp_path: Path) -> None:
    rollout = Rollout(tmp_path)
    process = rollout.pod.start()
    trainer = rollout.lease()
    trainer.lease.take()
    digest = digest_of(GRPOTask.model_validate(rollout.pod.task).wire()).removeprefix("sha256:")
    mine = open_store(f"{(tmp_path / 'out').as_uri()}/{digest}")
    publish(mine, tmp_path / "base", "model", ArtifactManifest(type="model", files=[]))
    trainer.lease.release()
    code, said, log = rollout.pod.wait(process)
    assert (code, said.state, said.complete) == (0, "Succeeded", False), log
