"""Imported by TRL once its client is defined: the place where the one line of that client which wants a GPU is met.

`VLLMClient.init_communicator` refuses every device but CUDA, before it joins the weight group. The stand-in's group
needs none: it is told `cuda`, and all else of the function runs as it is."""

from __future__ import annotations

from typing import Any

from trl.generation.vllm_client import VLLMClient


class StructuredOutputsParams:
    """Imported by TRL."""


_original = VLLMClient.init_communicator


def _on_any_device(self: VLLMClient, device: Any = 0) -> None:
    _original(self, "cuda")


VLLMClient.init_communicator = _on_any_device
