"""Loads base models and writes the folders that are published. Called by the trainers; needs torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from reasoner_workloads.common.run import ConfigError
from reasoner_workloads.training.inputs import Fetched


def load(base: Fetched, *, bf16: bool) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model and tokenizer. Raises ConfigError for files that are no model's."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(base.path)
        model = AutoModelForCausalLM.from_pretrained(base.path, dtype=torch.bfloat16 if bf16 else torch.float32)
    except (OSError, ValueError) as error:
        raise ConfigError(f"baseModel: cannot load {base.identity}: {error}") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer


def load_whole(base: Fetched, *, bf16: bool) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """As `load`, by a process for itself once the training is over: under ZeRO-3 transformers would go on to spread
    what it loads over all processes, and wait for those that load nothing."""
    unset_hf_deepspeed_config()
    return load(base, bf16=bf16)


def merge(base: Fetched, adapters: Path, folder: Path) -> None:
    """Write the base model with LoRA adapters merged in, as a plain model. Called by the main process alone, on what
    every process has saved with `save`, so that it does not matter how the weights were spread."""
    from peft import PeftModel

    plain, tokenizer = load_whole(base, bf16=False)
    merged = PeftModel.from_pretrained(plain, str(adapters)).merge_and_unload()  # type: ignore[operator]
    merged.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def decode_greedily(folder: Path, most_tokens: int) -> None:
    """Have servers that read the folder's generation config decode it as it was measured, whatever the base model's
    own asked for: vLLM takes its defaults from there, a repetition penalty as well."""
    saved = GenerationConfig.from_pretrained(folder)
    ends = {name: getattr(saved, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    GenerationConfig(do_sample=False, max_new_tokens=most_tokens, **ends).save_pretrained(folder)


def save(trainer: Any, folder: Path) -> None:
    """Weights (safetensors), tokenizer and generation config; every process calls this."""
    trainer.save_model(str(folder))
    # A pickle of this run's paths: of no use to who loads the model.
    (folder / "training_args.bin").unlink(missing_ok=True)
