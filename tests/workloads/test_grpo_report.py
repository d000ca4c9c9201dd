"""The report on a GRPORun: its curves and what is marked on them, its examples, hostile text."""

from __future__ import annotations

import io
import math
import re
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from reasoner_workloads.common.store import open_store
from reasoner_workloads.grpo.examples import Example, Told, read
from reasoner_workloads.grpo.guards import Finding, mark
from reasoner_workloads.grpo.report import Findings, make_report, smoothed, thinned
from reasoner_workloads.training.attempts import Attempt

RIGHT, WRONG = Told("so it is \\boxed{4}", True, 1.0), Told("<script>alert(1)</script>" + "x" * 1000, False, 0.0)
WARNED = mark(Finding("LengthBlowUp", "warn", "responses are 90 tokens long"), 44)


def history(steps: int) -> list[dict[str, Any]]:
    """A log of so many steps of a run that learns: two steps a generation, a checkpoint every eighth."""
    entries: list[dict[str, Any]] = []
    for step in range(1, steps + 1):
        entry: dict[str, Any] = {"step": step, "loss": 0.1}
        if step % 2:
            risen = 1 - math.exp(-step / 25) + 0.1 * math.sin(step * 7)
            entry |= {"reward": risen - 0.4, "accuracy": max(0.0, risen - 0.2), "kl": step / 1000, "entropy": None}
            entry |= {"completions/mean_length": 20 + step / 4, "extraction_failures": 0.5 * math.exp(-step / 20)}
            entry |= {"generation_seconds": 3.0, "reward_seconds": 0.25, "update_seconds": 1.5}
        entries.append(entry)
        if step % 8 == 0:
            entries.append({"checkpoint": step, "step": step})
    return [*entries, WARNED] if steps > 44 else entries


def findings(**changes: Any) -> Findings:
    metrics = {"reward_before": -0.12, "reward_after": 0.71, "accuracy_before": 0.05, "accuracy_after": 0.75}
    fields: dict[str, Any] = {
        "name": "general-reasoner",
        "base_model": "Qwen/Qwen2.5-7B",
        "judge": "sha256:0123",
        "history": history(96),
        "metrics": {**metrics, "step": 96, "tokens_per_second": 1234.5},
        "measured": {0: {"reward": -0.12, "accuracy": 0.05}, 96: {"reward": 0.71, "accuracy": 0.75}},
        "attempts": [
            Attempt(step=0, at="2026-11-28T09:00:00+00:00"),
            Attempt(step=40, at="2026-11-28T12:30:00+00:00"),
        ],
        "examples": [
            Example("What is 2 + 2?", "4", WRONG, RIGHT),
            Example("What is 3 + 1?", "4", WRONG, WRONG),
            *[Example(f"What is {number} - 1?", f"{number - 1}", RIGHT, RIGHT) for number in range(6)],
        ],
    }
    return Findings(**{**fields, **changes})


def test_curves_and_what_is_marked_on_them() -> None:
    html = make_report(findings())
    titles = re.findall(r"<h2>(.*?)</h2>", html)
    assert titles[:5] == ["Reward", "Accuracy", "Response length", "KL divergence", "No answer"]
    reward = html[html.index("<h2>Reward</h2>") : html.index("<h2>Accuracy</h2>")]
    assert reward.count("<polyline") == 2
    assert reward.count('<circle class="tick"') == 12
    assert reward.count('<circle class="c"') == 2
    assert "<title>begun again from step 40, 2026-11-28T12:30:00+00:00</title>" in reward
    assert "<title>LengthBlowUp: responses are 90 tokens long</title>" in reward
    for name in ("each generation", "moving mean", "held-out questions", "checkpoint", "begun again", "guard"):
        assert f"</i>{name}</span>" in reward
    assert "<b>-0.12 → 0.71</b><span>held-out reward</span>" in html
    assert "144.0 s" in html  # 48 generations of 3 s
    assert "LengthBlowUp (warn): responses are 90 tokens long" in html


def test_examples_before_and_after() -> None:
    html = make_report(findings())
    assert "Before and after: wrong → right" in html
    assert "4 of 6 of the 8 held-out questions" in html
    assert "after: right, reward 1.00" in html
    assert "<script>" not in html
    assert f"…{'x' * 600}<" in html


def test_a_run_that_was_measured_never_and_had_no_trouble() -> None:
    html = make_report(findings(history=history(4), measured={}, attempts=[], examples=[], metrics={"step": 4}))
    for absent in ("held-out questions</span>", "Before and after", "begun again</span>", "guard</span>"):
        assert absent not in html
    assert "<b>0</b><span>restarts</span>" in html
    assert make_report(findings(history=[], metrics={}))


def test_long_curves_are_thinned_and_smoothed() -> None:
    points = [(float(step), float(step % 2)) for step in range(2800)]
    assert len(thinned(points)) == 400
    assert thinned(points)[0] == (3.0, 3 / 7)
    assert smoothed(points[:30])[-1] == (29.0, 0.5)


def test_examples_are_read_from_the_first_and_the_last_measurement(tmp_path: Path) -> None:
    store = open_store(tmp_path.as_uri())

    def keep(step: int, rank: int, rows: list[tuple[str, str, bool]]) -> None:
        table = [
            {"question": f"q{q}", "ground_truth": "4", "response": text, "verdict": right, "reward": float(right)}
            for q, text, right in rows
        ]
        buffer = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(table), buffer)
        store.put(f"completions/test-step-{step:08d}-rank-{rank:04d}.parquet", buffer.getvalue())

    keep(0, 0, [("1", "a", False), ("1", "b", True)])
    assert read(store) == []
    keep(0, 1, [("2", "c", False)])
    keep(5, 0, [("1", "d", True)])
    keep(10, 0, [("1", "e", True), ("3", "f", True)])
    store.put("completions/train-step-00000010-rank-0000.parquet", b"not read")
    assert read(store) == [Example("q1", "4", Told("a", False, 0.0), Told("e", True, 1.0))]
