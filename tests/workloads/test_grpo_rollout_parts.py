"""The parts of a rollout apart from training: the server's command, the trainer's lease, what proves the weights."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from aiohttp import web

from reasoner_api.rollout import Rollout
from reasoner_api.task import GRPOTask
from reasoner_workloads.common.run import ConfigError, WorkloadError
from reasoner_workloads.grpo.rollout import sums
from reasoner_workloads.grpo.rollout.command import command, environment
from reasoner_workloads.grpo.rollout.lease import Lease
from reasoner_workloads.grpo.rollout.policy import Policy, StalePolicy
from reasoner_workloads.training.world import World
from support.http_server import serving


def task(rollout: dict[str, Any], gpus: int = 8) -> GRPOTask:
    work = {"baseModel": "Qwen/Qwen2.5-7B", "storage": {"uri": "s3://b/p"}, "rollout": {"mode": "server", **rollout}}
    given = {"namespace": "n", "name": "r", "output": "s3://b/p/r", "dataset": {"uri": "s3://b/q"}, "work": work}
    return GRPOTask.model_validate(given | {"topology": {"nodes": 3, "processesPerNode": gpus, "rolloutNodes": 1}})


def test_the_server_fills_its_node_with_replicas_and_sends_what_trl_needs() -> None:
    found = command(task({"tensorParallelSize": 2, "server": {"args": ["--max-num-seqs=512"]}}), "/model", "10.0.0.9")
    assert found == [
        "vllm", "serve", "/model", "--host=10.0.0.9", "--port=8000", "--tensor-parallel-size=2",
        "--data-parallel-size=4", "--gpu-memory-utilization=0.9", "--max-model-len=9216", "--dtype=bfloat16",
        "--seed=42", '--weight-transfer-config={"backend": "nccl"}', "--logprobs-mode=processed_logprobs",
        "--max-logprobs=-1", "--worker-extension-cls=reasoner_workloads.grpo.rollout.sums.WorkerSums",
        "--disable-access-log-for-endpoints=/health",
        "--max-num-seqs=512",
    ]  # fmt: skip


def test_the_trainers_rendezvous_is_not_the_servers() -> None:
    found = environment({"MASTER_ADDR": "run-0.run", "NODE_RANK": "3", "HOME": "/work"})
    assert found == {"HOME": "/work", "VLLM_SERVER_DEV_MODE": "1"}


@pytest.mark.parametrize(
    ("rollout", "message"),
    [
        ({"tensorParallelSize": 3}, "rollout.tensorParallelSize: 3 does not divide the 8 GPUs"),
        ({"server": {"args": ["--dtype=half"]}}, "rollout.server.args: --dtype is not yours to set here"),
        ({"server": {"args": ["--worker_extension_cls=x"]}}, "args: --worker-extension-cls is not yours"),
    ],
)
def test_what_would_break_the_weight_sync_is_refused(rollout: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        command(task(rollout), "/model", "10.0.0.9")


@contextmanager
def leasing(*lines: dict[str, str], after: threading.Event | None = None) -> Iterator[int]:
    """The port of a server that says these lines, and ends the connection after the event."""

    async def lease(request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse()
        await reply.prepare(request)
        for line in lines:
            await reply.write(json.dumps({"message": "", **line}).encode() + b"\n")
        if after is not None:
            await asyncio.to_thread(after.wait, 10)
        return reply

    app = web.Application()
    app.router.add_post("/lease", lease)
    with serving(app) as url:
        yield int(url.rpartition(":")[2])


class Heard:
    """What a lease calls back."""

    def __init__(self, port: int, wait: float = 10) -> None:
        self.told: list[str] = []
        self.leaving, self.lost = threading.Event(), threading.Event()
        self.why = ""
        self.lease = Lease("localhost", wait, self.told.append, self.leaving.set, self._lost, port)

    def _lost(self, why: str) -> None:
        self.why = why
        self.lost.set()


def test_the_trainer_sees_the_server_load_and_hears_that_it_leaves_and_why_it_is_gone() -> None:
    end = threading.Event()
    said = (
        {"state": "loading", "message": "vLLM is loading the model, since 7 s"},
        {"state": "ready"},
        {"state": "serving"},
        {"state": "leaving", "message": "it was told to stop"},
        {"state": "failed", "message": "the vLLM server ended (SIGKILL)"},
    )
    with leasing(*said, after=end) as port:
        heard = Heard(port)
        heard.lease.take()
        assert heard.told == ["waiting for the rollout server localhost: vLLM is loading the model, since 7 s"]
        assert heard.leaving.wait(10)
        assert not heard.lost.is_set()
        end.set()
        assert heard.lost.wait(10)
    assert heard.why == "the vLLM server ended (SIGKILL)"


def test_a_server_that_the_trainer_let_go_is_not_lost() -> None:
    end = threading.Event()
    with leasing({"state": "ready"}, after=end) as port:
        heard = Heard(port)
        heard.lease.take()
        heard.lease.release()
        end.set()
    listener = next((thread for thread in threading.enumerate() if thread.name == "rollout-lease"), None)
    if listener is not None:
        listener.join(10)
    assert not heard.lost.is_set()


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([], "it ended the connection"),
        ([{"state": "failed", "message": "no GPU"}], "no GPU"),
        ([{"state": "loading", "message": "vLLM is loading"}], "vLLM is loading"),
    ],
)
def test_a_server_that_is_not_ready_in_time_is_named_with_what_is_in_the_way(
    lines: list[dict[str, str]], why: str
) -> None:
    with leasing(*lines) as port, pytest.raises(WorkloadError) as caught:
        Heard(port, wait=0).lease.take()
    assert caught.value.reason == "RolloutServerNotReady"
    assert str(caught.value).startswith(f"rollout server localhost not ready after 0 s: {why}")


def test_sums_of_shards_are_the_sum_of_the_whole_and_one_bit_shows() -> None:
    whole = torch.randn(64, 96).bfloat16()
    assert int(sums.bits(whole)) == sum(int(sums.bits(part)) for part in whole.split(32, dim=1))
    other = whole.clone()
    other[3, 5] = torch.nextafter(other[3, 5], torch.tensor(9.0, dtype=torch.bfloat16))
    assert int(sums.bits(whole)) != int(sums.bits(other))
    assert sums.differing({"a": 1, "b": 2, "d": 1}, {"a": 1, "b": 3, "c": 4}) == ["b"]
    assert sums.differing({"a": 1}, {"z": 1}) == ["a"]
    assert sums.differing({}, {"z": 1}) == []


class Colocated(torch.nn.Module):
    """A layer as its engine and its trainer hold it, under the same names."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.ModuleDict({"o_proj": torch.nn.Linear(4, 4), "q_proj": torch.nn.Linear(4, 4)})


def colocated(load: Callable[[torch.nn.Module, str, torch.Tensor], None]) -> tuple[Policy, Any, torch.nn.Module]:
    """A policy that watches a trainer with a colocated engine, which loads as `load` does."""
    mine, theirs = Colocated(), Colocated().bfloat16()
    engine = SimpleNamespace(mode="colocate", tensor_parallel_size=1, llm=SimpleNamespace())
    engine.llm.llm_engine = SimpleNamespace(
        model_executor=SimpleNamespace(driver_worker=SimpleNamespace(model_runner=SimpleNamespace(model=theirs)))
    )
    engine._iter_named_params = lambda: ((name, weights.data) for name, weights in mine.named_parameters())
    engine.sync_weights = lambda: [load(theirs, *item) for item in engine._iter_named_params()]
    engine.generate = lambda prompts: ([[1]], [[2]], None, None)
    trainer = SimpleNamespace(
        vllm_generation=engine, state=SimpleNamespace(global_step=0), model=SimpleNamespace(training=True),
        args=SimpleNamespace(use_vllm=True, bf16=True, top_p=1.0, top_k=0, min_p=None, repetition_penalty=1.0),
    )  # fmt: skip
    policy = Policy(Rollout(), World())
    policy.watch(trainer)
    return policy, trainer, mine


def loads(theirs: torch.nn.Module, name: str, weights: torch.Tensor) -> None:
    theirs.get_parameter(name).data.copy_(weights)


def test_the_version_moves_with_each_sync_that_arrived_and_older_weights_generate_nothing() -> None:
    policy, trainer, mine = colocated(loads)
    with pytest.raises(StalePolicy, match="holds the weights of step None, and the trainer is at step 0"):
        trainer.vllm_generation.generate(["x"])
    for step in (0, 4):
        trainer.state.global_step = step
        mine.layer["o_proj"].weight.data.add_(0.01)
        trainer.vllm_generation.sync_weights()
        assert trainer.vllm_generation.generate(["x"])[1] == [[2]]
        assert policy.at(step) == step
    trainer.state.global_step = 8
    with pytest.raises(StalePolicy, match="holds the weights of step 4, and the trainer is at step 8"):
        trainer.vllm_generation.generate(["x"])


def test_a_colocated_engine_that_drops_weights_is_an_error_at_once() -> None:
    policy, trainer, _ = colocated(lambda *_: None)
    with pytest.raises(StalePolicy, match=r"weights of step 0 were sent .* 1 of 1 probed tensors hold other weights"):
        trainer.vllm_generation.sync_weights()
    with pytest.raises(StalePolicy, match="step None"):
        policy.at(0)


def test_a_trainer_that_generates_itself_has_its_own_version() -> None:
    policy = Policy(Rollout(engine="transformers"), World())
    policy.watch(SimpleNamespace(args=SimpleNamespace(use_vllm=False)))
    assert policy.at(7) == 7
