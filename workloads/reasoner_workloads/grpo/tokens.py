"""The policy's tokenizer as the reward uses it. Made by `train` and `score`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from reasoner_workloads.grpo.reward import Tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def tokens_of(tokenizer: PreTrainedTokenizerBase) -> Tokens:
    """Counting and decoding, without the tokens that mark begin and end."""
    encode = partial(tokenizer.encode, add_special_tokens=False)
    return Tokens(
        encode=lambda text: list(encode(text)),
        decode=lambda ids: str(tokenizer.decode(list(ids), skip_special_tokens=True)),
    )
