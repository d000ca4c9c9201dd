"""What a verifier's verdicts on held-out rows amount to, beside those of rules alone. Called by `train` and `report`;
pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from reasoner_workloads.verifier.data import Row


@dataclass(frozen=True)
class Judged:
    """A row, and what the verifier and rules say of it."""

    row: Row
    reply: str
    said: bool | None
    """The verifier's verdict; None where its reply says neither."""
    rules: bool

    @property
    def agrees(self) -> bool:
        """Whether the verdict is the teacher's; a reply without one agrees with nobody."""
        return self.said == self.row.verdict

    @property
    def rules_agree(self) -> bool:
        """Whether the rules' verdict is the teacher's."""
        return self.rules == self.row.verdict

    def wire(self) -> dict[str, Any]:
        """As `evaluation.json` lists it."""
        row = self.row
        return {
            "question": row.question,
            "ground_truth": row.ground_truth,
            "student_answer": row.student_answer,
            "answer_type": row.answer_type,
            "category": row.category,
            "teacher": row.verdict,
            "verifier": self.said,
            "rules": self.rules,
            "reply": self.reply,
        }


#: The paper's examples (its table of verifications) of answers that rules miss: each is right.
PAPER_EXAMPLES = (
    Row(
        "Find parametric equations of the line through the point (4, 1, 17) with the direction vector (8, 2, -1).",
        "x = 4 + 8t, y = 1 + 2t, z = 17 - t",
        "4 + 8t, 1 + 2t, 17 - t",
        True,
        answer_type="expression",
        category="mathematics",
    ),
    Row(
        "Two gases share a vessel. Their partial pressures are asked for, in torr.",
        "30.0 torr, 26.3 torr",
        "The partial pressure of the first gas is 30.0 torr and that of the second is 26.32 torr.",
        True,
        answer_type="list",
        category="chemistry",
    ),
    Row(
        "How much work is done in lifting a body that weighs 4.9 N by one metre?",
        "4.9 J",
        "4.9 N·m",
        True,
        answer_type="float",
        category="physics",
    ),
)


def figures(judged: Sequence[Judged]) -> dict[str, float]:
    """Agreement with the teacher, precision and recall of the verdict yes, rules alone on the same rows."""
    both = sum(one.row.verdict and one.said is True for one in judged)
    mine_yes = sum(one.said is True for one in judged)
    teacher_yes = sum(one.row.verdict for one in judged)
    return {
        "agreement": _share(judged, lambda one: one.agrees),
        "precision": both / mine_yes if mine_yes else 0.0,
        "recall": both / teacher_yes if teacher_yes else 0.0,
        "undecided": float(sum(one.said is None for one in judged)),
        "baseline_agreement": _share(judged, lambda one: one.rules_agree),
        "held_out_rows": float(len(judged)),
    }


def confusion(judged: Sequence[Judged]) -> dict[str, dict[str, int]]:
    """Rows by the teacher's verdict, then by the verifier's."""
    counts = {teacher: dict.fromkeys(("yes", "no", "undecided"), 0) for teacher in ("yes", "no")}
    for one in judged:
        said = "undecided" if one.said is None else _word(one.said)
        counts[_word(one.row.verdict)][said] += 1
    return counts


def by(judged: Sequence[Judged], part: Callable[[Row], str]) -> dict[str, dict[str, float]]:
    """Rows, agreement and the rules' agreement by a part of the row, the most frequent first."""
    groups: dict[str, list[Judged]] = defaultdict(list)
    for one in judged:
        groups[part(one.row) or "not given"].append(one)
    return {
        name: {
            "rows": len(found),
            "agreement": _share(found, lambda one: one.agrees),
            "baseline_agreement": _share(found, lambda one: one.rules_agree),
        }
        for name, found in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    }


def _share(judged: Sequence[Judged], true: Callable[[Judged], bool]) -> float:
    return sum(map(true, judged)) / len(judged)


def _word(verdict: bool) -> str:
    return "yes" if verdict else "no"
