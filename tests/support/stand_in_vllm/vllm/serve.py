"""`vllm serve MODEL ...` of the stand-in: vLLM's routes as TRL 1.16 uses them, over a transformers model.

Its faults, by environment: STAND_IN_DROPS=n answers the n-th weight update without loading what it received;
STAND_IN_ENDS=n ends the process at the n-th generation; STAND_IN_LOADS=s takes so many seconds to be ready."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import sys
import time
from typing import Any

import torch
from aiohttp import web
from transformers import AutoModelForCausalLM

from vllm.distributed.weight_transfer.nccl_common import Group, worker_init
from vllm.distributed.weight_transfer.packed_tensor import receive


def options(argv: list[str]) -> argparse.Namespace:
    """The arguments that the project gives; an unknown one ends it with code 2, as vLLM does."""
    parser = argparse.ArgumentParser(prog="vllm")
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("model")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tensor-parallel-size", type=int, choices=[1])
    parser.add_argument("--data-parallel-size", type=int, choices=[1])
    parser.add_argument("--gpu-memory-utilization", type=float)
    parser.add_argument("--max-model-len", type=int)
    parser.add_argument("--dtype", choices=["float32"])
    parser.add_argument("--seed", type=int)
    parser.add_argument("--weight-transfer-config", type=json.loads)
    parser.add_argument("--logprobs-mode", choices=["processed_logprobs"])
    parser.add_argument("--max-logprobs", type=int)
    parser.add_argument("--worker-extension-cls")
    parser.add_argument("--disable-access-log-for-endpoints")
    return parser.parse_args(argv)


class Engine:
    """One worker and its model."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.model = AutoModelForCausalLM.from_pretrained(given.model, dtype=torch.float32).eval()
        self.group: Group | None = None
        self.version, self.updates, self.generations = "default", 0, 0
        module, _, name = given.worker_extension_cls.rpartition(".")
        extension = getattr(importlib.import_module(module), name)
        self.worker = type("Worker", (extension,), {"get_model": lambda _: self.model})()
        torch.manual_seed(given.seed)

    def connect(self, init_info: dict[str, Any]) -> None:
        """Join the weight group."""
        assert init_info["packed"]
        self.group = worker_init(init_info)

    def update(self, info: dict[str, Any]) -> None:
        """Receive tensors and load them."""
        assert self.group is not None
        received = receive(self.group, len(info["names"]))
        for weights, shape in zip(received, info["shapes"], strict=True):
            assert list(weights.shape) == shape
        self.updates += 1
        if self.updates == int(os.environ.get("STAND_IN_DROPS", "0")):
            return
        mine = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, weights in zip(info["names"], received, strict=True):
                mine[name].copy_(weights)

    def generate(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """`n` completions of each prompt, with the log-probabilities of their tokens."""
        self.generations += 1
        if self.generations == int(os.environ.get("STAND_IN_ENDS", "0")):
            print("the stand-in ends as it was told to", flush=True)
            os._exit(9)
        choices = []
        for prompt in body["prompt"]:
            assert len(prompt) + body["max_tokens"] <= self.given.max_model_len
            for _ in range(body["n"]):
                ids, logprobs = self._sample(prompt, body["max_tokens"], body["temperature"])
                names = [f"token_id:{token}" for token in ids]
                detail = {"tokens": names, "token_logprobs": logprobs, "top_logprobs": [{} for _ in ids]}
                choices.append({"prompt_token_ids": prompt, "token_ids": ids, "logprobs": detail})
        return choices

    @torch.no_grad()
    def _sample(self, prompt: list[int], most: int, temperature: float) -> tuple[list[int], list[float]]:
        ids, logprobs, cache = [], [], None
        given = torch.tensor([prompt])
        ends = self.model.generation_config.eos_token_id
        for _ in range(most):
            out = self.model(given, past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            found = torch.log_softmax(out.logits[0, -1] / (temperature or 1.0), -1)
            token = int(found.argmax() if not temperature else torch.multinomial(found.exp(), 1))
            ids.append(token)
            logprobs.append(float(found[token]))
            if token in (ends if isinstance(ends, list) else [ends]):
                break
            given = torch.tensor([[token]])
        return ids, logprobs


def application(engine: Engine) -> web.Application:
    """vLLM's routes."""
    lock = asyncio.Lock()

    async def alone(work: Any, *given: Any) -> Any:
        async with lock:
            return await asyncio.to_thread(work, *given)

    async def health(_: web.Request) -> web.Response:
        return web.Response()

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": engine.given.model}]})

    async def info(_: web.Request) -> web.Response:
        if os.environ.get("VLLM_SERVER_DEV_MODE") != "1":
            return web.json_response({}, status=404)
        config = {"weight_transfer_config": engine.given.weight_transfer_config}
        return web.json_response({"vllm_config": {**config, "model_config": {"logprobs_mode": "processed_logprobs"}}})

    async def world_size(_: web.Request) -> web.Response:
        return web.json_response({"world_size": 1})

    async def connect(request: web.Request) -> web.Response:
        await alone(engine.connect, (await request.json())["init_info"])
        return web.json_response({})

    async def start(_: web.Request) -> web.Response:
        return web.json_response({})

    async def update(request: web.Request) -> web.Response:
        await alone(engine.update, (await request.json())["update_info"])
        return web.json_response({})

    async def finish(request: web.Request) -> web.Response:
        engine.version = (await request.json()).get("weight_version") or engine.version
        return web.json_response({})

    async def version(_: web.Request) -> web.Response:
        return web.json_response({"weight_version": engine.version})

    async def rpc(request: web.Request) -> web.Response:
        body = await request.json()
        try:
            found = await alone(getattr(engine.worker, body["method"]), *body["args"])
        except RuntimeError as error:
            return web.json_response({"error": {"message": str(error)}}, status=500)
        return web.json_response({"results": [found]})

    async def reset(_: web.Request) -> web.Response:
        return web.json_response({"success": True})

    async def complete(request: web.Request) -> web.Response:
        return web.json_response({"choices": await alone(engine.generate, await request.json())})

    app = web.Application(client_max_size=2**26)
    for path, handler in {
        "/health": health, "/v1/models": models, "/server_info": info, "/get_world_size": world_size,
        "/weight_info": version,
    }.items():  # fmt: skip
        app.router.add_get(path, handler)
    for path, handler in {
        "/init_weight_transfer_engine": connect, "/start_weight_update": start, "/update_weights": update,
        "/finish_weight_update": finish, "/collective_rpc": rpc, "/reset_prefix_cache": reset,
        "/v1/completions": complete,
    }.items():  # fmt: skip
        app.router.add_post(path, handler)
    return app


if __name__ == "__main__":
    arguments = options(sys.argv[1:])
    time.sleep(float(os.environ.get("STAND_IN_LOADS", "0")))
    web.run_app(application(Engine(arguments)), host=arguments.host, port=arguments.port, access_log=None)
