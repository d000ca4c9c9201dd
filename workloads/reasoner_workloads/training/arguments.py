"""Spec -> arguments of a TRL trainer. Called by `verifier.train` and `grpo.train`."""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Mapping
from typing import Any, TypeVar

from reasoner_api.common import DeepSpeed
from reasoner_api.grpo import GRPOSettings
from reasoner_api.verifier import SFTTraining
from reasoner_workloads.common.run import ConfigError

C = TypeVar("C")
Settings = GRPOSettings | SFTTraining

#: Arguments that decide where things go, how runs resume, what the pods are sized for and what guards and rewards are
#: shown: the operator's business. In `args` they would contradict the manifests, leave checkpoints that no run goes on
#: from as it was, or blind what watches the run.
OWNED = frozenset((
    "output_dir", "push_to_hub", "resume_from_checkpoint", "deepspeed", "auto_find_batch_size",
    "save_strategy", "save_steps", "save_total_limit", "save_only_model", "save_on_each_node", "load_best_model_at_end",
    "enable_jit_checkpoint", "ignore_data_skip", "restore_callback_states_from_checkpoint",
    "eval_strategy", "eval_steps", "eval_on_start",
    "logging_strategy", "logging_nan_inf_filter", "remove_unused_columns",
))  # fmt: skip


def build(
    config: type[C], ours: Mapping[str, Any], settings: Settings, field: str, places: Mapping[str, str] | None = None
) -> C:
    """`config` of `ours` and of what the user adds in `settings.args`. `field` is the spec's name for where `settings`
    stand, `places` the fields of the spec elsewhere that set an argument, by its name.

    Raises:
        ConfigError: an argument does not exist, is not the user's to set there, or has a bad value.
    """
    known = [item.name for item in dataclasses.fields(config) if item.init]  # type: ignore[arg-type]
    typed = {name: f"{field}.{info.alias}" for name, info in type(settings).model_fields.items()}
    places = {**typed, **(places or {})}
    for name in settings.args:
        if name in OWNED or name in places:
            instead = f": set {places[name]}" if name in places else ""
            raise ConfigError(f"{field}.args.{name} is not yours to set here{instead}")
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ConfigError(f"{field}.args.{name}: TRL's {config.__name__} has no such argument{hint}")
    try:
        return config(**{**ours, **settings.args})
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
