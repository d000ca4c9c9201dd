"""A plugin for vLLM's CPU build: weights arrive by TCP where its own engine takes them by NCCL. All else of the weight
update, from the routes to the layers' reloading, is vLLM's. Used by benchmarks/rollout_engine.py; the trainer's end is
the stand-in's (tests/support/stand_in_vllm), whose way of sending this understands."""

from __future__ import annotations

import pickle
import socket
import time
from typing import Any


def register() -> None:
    """Called by vLLM in each of its processes."""
    import torch
    from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory
    from vllm.model_executor.layers import utils

    def plain(layer: Any, remove_weight: bool) -> None:
        # CPU kernels repack the weights and drop the originals, which no update could reach any more.
        layer.cpu_linear = lambda x, weight, bias: torch.nn.functional.linear(x, weight, bias)

    utils.dispatch_cpu_unquantized_gemm = plain
    WeightTransferEngineFactory._registry["nccl"] = _engine


def _engine() -> Any:
    import torch
    from vllm.distributed.weight_transfer.nccl_engine import NCCLWeightTransferEngine

    class Engine(NCCLWeightTransferEngine):
        """NCCL's, but for the wire."""

        def init_transfer_engine(self, init_info: Any) -> None:
            self.stream = _connect(init_info.master_address, init_info.master_port)

        def receive_weights(self, update_info: Any) -> None:
            for name in update_info.names:
                self.model.load_weights([(name, torch.from_numpy(pickle.load(self.stream)))])

    return Engine


def _connect(host: str, port: int) -> Any:
    for _ in range(200):
        try:
            return socket.create_connection((host, port)).makefile("rb")
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise TimeoutError("the trainer does not listen")
