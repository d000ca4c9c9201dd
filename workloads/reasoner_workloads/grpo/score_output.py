"""Scores as a table for people, or as JSON. Used by `score`; pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reasoner_workloads.grpo.reward import Response, Score
from reasoner_workloads.grpo.training_reward import figures, mean_reward

#: Characters of an answer that a table shows.
SHOWN = 32


@dataclass(frozen=True)
class Scored:
    """One completion, where it stands in its file, and what it is worth."""

    place: str
    response: Response
    score: Score


def as_json(scored: Sequence[Scored]) -> str:
    """All rows and the summary."""
    return json.dumps(
        {"rows": [_row(each) for each in scored], "summary": summary(scored)}, ensure_ascii=False, indent=2
    )


def as_table(scored: Sequence[Scored], limit: int) -> str:
    """The first rows, then the summary."""
    names = list(dict.fromkeys(name for each in scored for name in each.score.terms))
    header = ["", "ground truth", "answer", "verdict", *names, "reward"]
    lines = [header, *(_cells(each, names) for each in scored[:limit])]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    shown = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    if len(scored) > limit:
        shown.append(f"... and {len(scored) - limit} more")
    figured = summary(scored)
    width = max(map(len, figured))
    return "\n".join([*shown, "", *(f"{name.ljust(width)}  {_number(value)}" for name, value in figured.items())])


def summary(scored: Sequence[Scored]) -> dict[str, float | None]:
    """Means and shares, in the names of a run's metrics."""
    scores = [each.score for each in scored]
    return {"completions": len(scores), "reward": mean_reward(scores), **figures(scores)}


def _row(each: Scored) -> dict[str, Any]:
    score, response = each.score, each.response
    return {
        "place": each.place,
        "question": response.question,
        "ground_truth": response.ground_truth,
        "answer": score.answer,
        "verdict": score.verdict,
        "terms": dict(score.terms),
        "reward": score.reward,
    }


def _cells(each: Scored, names: Sequence[str]) -> list[str]:
    score = each.score
    verdict = {True: "right", False: "wrong", None: "undecided"}[score.verdict] if score.answer is not None else ""
    terms = [_number(score.terms.get(name)) for name in names]
    truth, answer = _cut(each.response.ground_truth), "" if score.answer is None else _cut(score.answer)
    return [each.place, truth, answer, verdict, *terms, _number(score.reward)]


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value + 0:g}" if value == int(value) else f"{value:.3f}"
