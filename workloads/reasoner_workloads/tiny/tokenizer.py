"""The tokenizer of the stand-in models: Qwen2's own normaliser and pre-tokeniser over a vocabulary of some 450
entries, so that transformers and vLLM load it as any Qwen2 tokenizer. Used by `models`; imported late, since it
needs transformers."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator

from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerBase, Qwen2Tokenizer

from reasoner_api.common import VerifierPrompt
from reasoner_api.grpo import GRPOSettings
from reasoner_workloads.tiny.corpus import response
from reasoner_workloads.tiny.questions import family
from reasoner_workloads.tiny.verdicts import MARKS, Verdict, sample_answer

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
BPE_ENTRIES = 440


def build_tokenizer() -> PreTrainedTokenizerBase:
    """Train the tokenizer on the family's own texts; the same on every machine."""
    blank = Qwen2Tokenizer()
    trained = Tokenizer(BPE())
    trained.normalizer = blank.backend_tokenizer.normalizer
    trained.pre_tokenizer = blank.backend_tokenizer.pre_tokenizer
    alphabet = sorted(ByteLevel.alphabet())
    trained.train_from_iterator(
        _texts(),
        BpeTrainer(
            vocab_size=BPE_ENTRIES, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
        ),
    )
    vocabulary = trained.get_vocab()
    merges = _merges(trained)
    tokenizer = Qwen2Tokenizer(vocab=vocabulary, merges=merges, eos_token=SPECIAL[0], pad_token=SPECIAL[0])
    tokenizer.add_tokens([AddedToken(piece, normalized=False) for piece in fixed_pieces()])
    return tokenizer


def fixed_pieces() -> list[str]:
    """The fixed texts of prompts and verdicts, one token each: so small a model cannot spare attention for
    a page of instructions."""
    prompt = VerifierPrompt()
    between = re.split(r"\{question\}|\{ground_truth\}|\{student_answer\}", prompt.template)
    return [*between, prompt.pass_marker, prompt.fail_marker, GRPOSettings().instruction, *MARKS]


def _texts() -> Iterator[str]:
    rng = random.Random(0)
    for question in family():
        yield question.text
        for _ in range(4):
            yield response(question, rng)
            row = Verdict(question, "", sample_answer(question, rng)).row()
            yield f"{row['student_answer']}"
            yield f" {row['reasoning']}"


def _merges(trained: Tokenizer) -> list[tuple[str, str]]:
    return [(left, right) for left, right in json.loads(trained.to_str())["model"]["merges"]]
