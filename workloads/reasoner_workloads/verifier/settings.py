"""A verifier's training settings as TRL and PEFT take them. Called by `train`; needs TRL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft import LoraConfig
from trl import SFTConfig

from reasoner_api.verifier import LoRA, SFTTraining
from reasoner_workloads.training.arguments import build, deepspeed_config, device_arguments

LOG_EVERY = 10


def arguments(settings: SFTTraining, output: Path) -> SFTConfig:
    """SFTConfig of the settings. Raises ConfigError."""
    ours: dict[str, Any] = settings.model_dump(exclude={"args", "deepspeed", "lora", "max_steps"})
    ours |= device_arguments() | {
        "output_dir": str(output),
        "max_steps": settings.max_steps or -1,
        "deepspeed": deepspeed_config(settings.deepspeed),
        "completion_only_loss": True,
        "save_strategy": "steps",
        "save_total_limit": 1,
        "logging_steps": LOG_EVERY,
        "logging_first_step": True,
        # A loss that is no number must show, and end the run.
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "disable_tqdm": True,
    }
    return build(SFTConfig, ours, settings, "training")


def adapters(settings: LoRA | None) -> LoraConfig | None:
    """PEFT's configuration of the settings; None where every weight is trained."""
    if settings is None:
        return None
    return LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=settings.target_modules or "all-linear",
        task_type="CAUSAL_LM",
    )
