"""The stand-in models: Qwen2's architecture at under half a million parameters. The verifier base is random; the
policy base is pre-trained for half a minute on the noisy `corpus`. Used by `run`; imported late, since it needs
torch."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import GenerationConfig, PreTrainedTokenizerBase, Qwen2Config, Qwen2ForCausalLM

from reasoner_api.grpo import GRPOSettings
from reasoner_workloads.tiny.corpus import response
from reasoner_workloads.tiny.questions import family

IGNORED = -100
QUESTIONS = family()


@dataclass(frozen=True)
class Pretraining:
    """How the policy base is pre-trained: enough to know the answers, too little to write them well."""

    steps: int = 350
    batch: int = 48
    learning_rate: float = 5e-3
    warmup: int = 30
    seed: int = 0


def new_model(tokenizer: PreTrainedTokenizerBase, seed: int) -> Qwen2ForCausalLM:
    """A randomly initialised model. Head dimension 32, which vLLM's CPU attention can do (16 it cannot)."""
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=320,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        initializer_range=0.05,
        # Short texts want positions told apart sharply.
        rope_parameters={"rope_type": "default", "rope_theta": 50.0},
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Qwen2ForCausalLM(config)
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    return model


def pretrain(model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerBase, how: Pretraining) -> float:
    """Train in place on prompts and noisy responses; the last step's loss. The corpus covers the whole family,
    as a real base model has met arithmetic before: what GRPO adds is saying what it knows."""
    rng = random.Random(how.seed)
    torch.manual_seed(how.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=how.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _pace(step, how))
    model.train()
    loss = torch.tensor(0.0)
    for _ in range(how.steps):
        loss = model(**_batch(tokenizer, how.batch, rng)).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.eval()
    return float(loss.detach())


def save(model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write a folder as transformers and vLLM load it."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _pace(step: int, how: Pretraining) -> float:
    """Linear warm-up, then linear decay."""
    if step < how.warmup:
        return (step + 1) / how.warmup
    return (how.steps - step) / (how.steps - how.warmup)


def _batch(tokenizer: PreTrainedTokenizerBase, size: int, rng: random.Random) -> dict[str, torch.Tensor]:
    """Random prompts and responses, padded on the right, the loss on the whole row."""
    questions = rng.choices(QUESTIONS, k=size)
    texts = [
        f"{question.text}\n{GRPOSettings().instruction}{response(question, rng)}{tokenizer.eos_token}"
        for question in questions
    ]
    rows = [torch.tensor(ids) for ids in tokenizer(texts)["input_ids"]]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=tokenizer.pad_token_id)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    return {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, IGNORED)}
