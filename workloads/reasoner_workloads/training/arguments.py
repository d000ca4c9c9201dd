"""Spec -> arguments of a TRL trainer. Called by `verifier.train` and `grpo.train`."""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Mapping
from typing import Any, TypeVar

from reasoner_api.common import DeepSpeed
from reasoner_workloads.common.run import ConfigError

C = TypeVar("C")

#: Arguments that decide where things go, how runs resume and what the pods are sized for, and the fields of the spec
#: that set them; none where it is the operator's business alone. In `args` they would contradict the manifests.
OWNED = {
    "output_dir": "",
    "resume_from_checkpoint": "",
    "save_strategy": "",
    "push_to_hub": "",
    "save_total_limit": "",
    "deepspeed": "{field}.deepspeed",
    "use_vllm": "rollout.engine",
    "vllm_mode": "rollout.mode",
    "vllm_tensor_parallel_size": "rollout.tensorParallelSize",
    "vllm_gpu_memory_utilization": "rollout.gpuMemoryUtilization",
    "vllm_server_base_url": "",
    "vllm_server_host": "",
    "vllm_server_port": "",
    "vllm_group_port": "",
}


def build(config: type[C], ours: Mapping[str, Any], extra: Mapping[str, Any], field: str) -> C:
    """`config(**ours, **extra)`, `extra` winning. `field` is the spec's name for where `extra` stands.

    Raises:
        ConfigError: an argument does not exist, is not the user's to set, or has a bad value.
    """
    known = [item.name for item in dataclasses.fields(config) if item.init]  # type: ignore[arg-type]
    for name in extra:
        if name in OWNED:
            instead = f": set {OWNED[name]}".format(field=field) if OWNED[name] else ""
            raise ConfigError(f"{field}.args.{name} is not yours to set here{instead}")
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ConfigError(f"{field}.args.{name}: TRL's {config.__name__} has no such argument{hint}")
    try:
        return config(**{**ours, **extra})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{field}: {error}") from error


def device_arguments() -> dict[str, Any]:
    """What differs between GPUs and none."""
    import torch

    on_gpu = torch.cuda.is_available()
    if not on_gpu:
        _know_cpu_0()
    return {"use_cpu": not on_gpu, "dataloader_pin_memory": on_gpu}


@functools.cache
def _know_cpu_0() -> None:
    """accelerate calls the CPU of several processes `cpu:0`, and torch.load knows no such place: without this a
    checkpoint of several processes cannot be resumed from. Once a process: torch takes it once."""
    import torch

    torch.serialization.register_package(
        5, lambda _: None, lambda storage, place: storage if place == "cpu:0" else None
    )


def deepspeed_config(settings: DeepSpeed | None) -> dict[str, Any] | None:
    """DeepSpeed's own configuration; `auto` values are filled in by transformers from the trainer's arguments."""
    if settings is None:
        return None
    zero: dict[str, Any] = {"stage": settings.zero_stage, "contiguous_gradients": True, "overlap_comm": True}
    if settings.offload_optimizer:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
    if settings.zero_stage == 3:
        zero["stage3_gather_16bit_weights_on_model_save"] = True
    return {
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "bf16": {"enabled": "auto"},
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        # torch's AdamW steps on the CPU too, and needs no compiler in the image.
        "zero_force_ds_cpu_optimizer": False,
    }
