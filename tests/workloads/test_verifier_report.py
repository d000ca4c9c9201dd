"""The report on a verifier: its figures, its differences from rules, hostile text."""

from __future__ import annotations

import re
from dataclasses import replace

from reasoner_workloads.verifier.data import Row
from reasoner_workloads.verifier.measure import PAPER_EXAMPLES, Judged, figures
from reasoner_workloads.verifier.report import Findings, make_report

RIGHT = Row("What is 1 + 1?", "2", "two", True, answer_type="integer", category="mathematics")
WRONG = replace(RIGHT, student_answer="<script>alert(1)</script>", verdict=False)
JUDGED = [
    *[Judged(RIGHT, "the same. Final Decision: Yes", True, False)] * 2,
    Judged(replace(RIGHT, question="And 1 + 1?"), "no idea", None, True),
    Judged(WRONG, "x" * 1000, True, False),
    Judged(replace(WRONG, student_answer="3"), "Final Decision: No", False, False),
]


def report(judged: list[Judged]) -> str:
    paper = [Judged(row, "Final Decision: Yes", True, False) for row in PAPER_EXAMPLES]
    metrics = {**figures(judged), "train_rows": 900.0}
    losses = [(10.0, 2.5), (20.0, 1.25), (30.0, 0.5)]
    return make_report(Findings("demo", "Qwen/Qwen2.5-Math-1.5B", judged, paper, metrics, losses))


def rows(html: str) -> list[tuple[str, ...]]:
    """Rows of all tables, as text."""
    found = re.findall(r"<tr>(.*?)</tr>", html)
    return [tuple(re.findall(r"<td[^>]*>(.*?)</td>", row)) for row in found]


def test_it_shows_where_verifier_and_rules_differ_from_the_teacher() -> None:
    html = report(JUDGED)
    for title in ("only the verifier", "only rules", "neither"):
        assert (f"Agrees with the teacher: {title}</h2>" in html) == (title != "neither")
    assert ("only rules", "2", "40.0%") in rows(html)
    assert ("integer", "5", "60.0%", "60.0%") in rows(html)
    assert ("yes", "2", "0", "1") in rows(html)
    assert "teacher yes, verifier undecided, rules yes" in html
    # The row that is asked twice is shown once.
    assert html.count("teacher yes, verifier yes, rules no") == 1 + len(PAPER_EXAMPLES)
    assert "4.9 N·m" in html
    assert "<polyline" in html


def test_text_of_the_data_stays_text_and_short() -> None:
    html = report(JUDGED)
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "x" * 301 not in html


def test_the_same_figures_give_the_same_bytes() -> None:
    assert report(JUDGED) == report([*JUDGED])
