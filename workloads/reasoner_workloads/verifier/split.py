"""Which rows are learnt from and which are measured on: by question, without leaks, balanced. Called by `train`;
pure."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from reasoner_api.verifier import VerifierData, VerifierEvaluation
from reasoner_workloads.common.run import ConfigError
from reasoner_workloads.verifier.alike import Alike, key
from reasoner_workloads.verifier.data import Row


@dataclass(frozen=True)
class Split:
    """Rows to learn from and rows to be measured on, of different questions."""

    train: list[Row]
    held_out: list[Row]
    left_out: Counter[str] = field(default_factory=Counter)
    """Rows that are in neither, by reason."""


def split(rows: Iterable[Row], how: VerifierEvaluation, choice: VerifierData) -> Split:
    """Split by question, the same on every machine and whatever the order of the rows: a question's text, not its
    row, decides, so that none is both learnt from and measured on. Rows to learn from whose question is all but one
    that is held out are left out; the rest is balanced.

    Raises:
        ConfigError: too few questions, or none is left to learn from.
    """
    rows = sorted(rows, key=_shuffled_row)
    questions = sorted({key(row.question) for row in rows}, key=_shuffled)
    count = math.ceil(how.holdout * len(questions))
    if count >= len(questions):
        raise ConfigError(f"dataset: {len(questions)} questions are too few to hold {how.holdout:.0%} of them out")
    held_out = set(questions[:count])
    measured = [row for row in rows if key(row.question) in held_out]
    others = [row for row in rows if key(row.question) not in held_out]
    alike = Alike(row.question for row in measured)
    leaking = {question for question in {row.question for row in others} if alike.has(question)}
    clean = [row for row in others if row.question not in leaking]
    train = balance(clean, choice)
    if not train:
        raise ConfigError("dataset: no row is left to learn from: its questions are all but the same")
    left_out = Counter({"leaking": len(others) - len(clean), "unbalanced": len(clean) - len(train)})
    return Split(train, measured[: how.max_rows], +left_out)


def balance(rows: list[Row], choice: VerifierData) -> list[Row]:
    """As many of the rows, the first ones, as the ratios allow: verdicts within each answer type, then the types."""
    by_type: dict[str, dict[bool, list[Row]]] = defaultdict(lambda: {True: [], False: []})
    for row in rows:
        by_type[row.answer_type][row.verdict].append(row)
    chosen: dict[str, list[Row]] = {}
    for name, by_verdict in by_type.items():
        rarer = min(len(found) for found in by_verdict.values())
        # A type with one verdict alone is a lesson, too: as much of it as one row of the other would allow.
        most = math.floor(max(rarer, 1) * choice.max_verdict_ratio)
        chosen[name] = _alternating(by_verdict[True][:most], by_verdict[False][:most])
    mean = sum(map(len, chosen.values())) / max(len(chosen), 1)
    most = math.ceil(mean * choice.max_answer_type_ratio)
    kept = [row for name in sorted(chosen) for row in chosen[name][:most]]
    return sorted(kept, key=_shuffled_row)


def _alternating(left: list[Row], right: list[Row]) -> list[Row]:
    """Both lists spread evenly over one, so that its beginning is balanced as the whole is."""
    placed = [((index + 0.5) / len(rows), rows[index]) for rows in (left, right) for index in range(len(rows))]
    return [row for _, row in sorted(placed, key=lambda item: item[0])]


def _shuffled_row(row: Row) -> bytes:
    return _shuffled("\0".join((key(row.question), *row.asked, str(row.verdict), row.reasoning)))


def _shuffled(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
