"""The report on a GRPORun: how reward, accuracy, length and KL went, where it was begun again, what guards saw, and
what it answers now. Called by `train`; pure. Whatever came from model or data is text to it, cut to a length."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from markupsafe import Markup

from reasoner_workloads.common.html import Section, charts, folded, page, table
from reasoner_workloads.common.html.charts import Mark
from reasoner_workloads.grpo.examples import Example, Told
from reasoner_workloads.grpo.guards import FIRED
from reasoner_workloads.training.attempts import Attempt
from reasoner_workloads.training.callbacks import SAVED

Points = Sequence[tuple[float, float]]
#: Points of a curve at most, examples of each kind, characters of a response: its end, where the answer is.
MOST_POINTS, EXAMPLES, LONGEST = 400, 4, 600
#: Marks on a curve.
KINDS = {"dot": "checkpoint", "rule": "begun again", "bad": "guard"}


@dataclass(frozen=True)
class Shown:
    """A figure that has a chart."""

    title: str
    entry: str
    """Its entry in the trainer's log."""
    note: str
    figure: str = ""
    """Its name in the measurements, where it is in them."""


CURVES = (
    Shown("Reward", "reward", "mean of a generation", "reward"),
    Shown("Accuracy", "accuracy", "share of the responses that the verifier passed", "accuracy"),
    Shown("Response length", "completions/mean_length", "mean of a generation, tokens"),
    Shown("KL divergence", "kl", "from the base model, nats a token"),
    Shown("No answer", "extraction_failures", "share of the responses without an answer", "extraction_failures"),
    Shown("Entropy", "entropy", "of the policy, nats a token"),
)


@dataclass(frozen=True)
class Findings:
    """What a report is made of."""

    name: str
    base_model: str
    judge: str
    history: Sequence[Mapping[str, Any]]
    """The trainer's log, with what guards and checkpoints have left in it."""
    metrics: Mapping[str, float]
    measured: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    """Figures on held-out questions, by step."""
    attempts: Sequence[Attempt] = ()
    examples: Sequence[Example] = ()


def make_report(found: Findings) -> str:
    """The HTML file."""
    marks = _marks(found)
    sections = [
        *(section for curve in CURVES if (section := _curve(found, marks, curve)) is not None),
        Section("Where the time went", _seconds(found.history), "of all generations, in the mean of the processes"),
        Section("What happened", _events(found), wide=True),
        *_examples(found.examples),
    ]
    subtitle = f"from {found.base_model}, judged by {found.judge}"
    return page(f"{found.name}: reasoning model", subtitle, _facts(found), sections)


def _facts(found: Findings) -> list[tuple[str, str]]:
    metrics = found.metrics
    facts = [
        (f"held-out {name}", f"{metrics[f'{name}_before']:.2f} → {metrics[f'{name}_after']:.2f}")
        for name in ("reward", "accuracy")
        if f"{name}_before" in metrics and f"{name}_after" in metrics
    ]
    facts.append(("optimizer steps", f"{metrics.get('step', 0):,.0f}"))
    facts.append(("restarts", f"{max(0, len(found.attempts) - 1):,}"))
    if "tokens_per_second" in metrics:
        facts.append(("tokens a second", f"{metrics['tokens_per_second']:,.0f}"))
    return facts


def _marks(found: Findings) -> list[Mark]:
    saved = [
        Mark(entry[SAVED], "dot", f"checkpoint of step {entry[SAVED]}") for entry in found.history if SAVED in entry
    ]
    again = [Mark(one.step, "rule", f"begun again from step {one.step}, {one.at}") for one in found.attempts[1:]]
    fired = [
        Mark(entry["step"], "bad", f"{entry[FIRED]}: {entry['message']}") for entry in found.history if FIRED in entry
    ]
    return [*saved, *again, *fired]


def _curve(found: Findings, marks: Sequence[Mark], shown: Shown) -> Section | None:
    values = [(item["step"], float(item[shown.entry])) for item in found.history if item.get(shown.entry) is not None]
    points = thinned([point for point in values if math.isfinite(point[1])])
    if not points:
        return None
    figures = found.measured.items()
    held_out = [(step, measured[shown.figure]) for step, measured in figures if shown.figure in measured]
    names = [("b", "each generation"), ("a", "moving mean")]
    names += [("dots", "held-out questions")] if held_out else []
    kinds = {mark.kind for mark in marks}
    names += [(kind, text) for kind, text in KINDS.items() if kind in kinds]
    drawn = charts.curves([("b", points), ("a", smoothed(points)), ("dots", held_out)], marks)
    return Section(shown.title, charts.legend(names) + drawn, f"{shown.note}, by optimizer step")


def thinned(points: Points) -> list[tuple[float, float]]:
    """At most MOST_POINTS points, each the mean of as many neighbours."""
    size = math.ceil(len(points) / MOST_POINTS) or 1
    parts = (points[start : start + size] for start in range(0, len(points), size))
    return [(fmean(x for x, _ in part), fmean(y for _, y in part)) for part in parts]


def smoothed(points: Points) -> list[tuple[float, float]]:
    """Means over the points up to each, a fifteenth of all."""
    window = max(1, len(points) // 15)
    return [(x, fmean(y for _, y in points[max(0, at - window + 1) : at + 1])) for at, (x, _) in enumerate(points)]


def _seconds(history: Sequence[Mapping[str, Any]]) -> Markup:
    names = {"generation": "sampling", "reward": "waiting for scores", "update": "learning"}
    sums = {
        text: (sum(float(entry.get(f"{name}_seconds") or 0.0) for entry in history),) for name, text in names.items()
    }
    return charts.bars(sums, form="{:,.1f} s")


def _events(found: Findings) -> Markup:
    rows = [
        (
            one.step,
            one.at[:16].replace("T", " "),
            "began" if number == 0 else f"began again from the checkpoint of step {one.step}",
        )
        for number, one in enumerate(found.attempts)
    ]
    rows += [
        (entry["step"], "", f"{entry[FIRED]} ({entry['action']}): {entry['message']}")
        for entry in found.history
        if FIRED in entry
    ]
    rows.sort(key=lambda row: row[0])
    return table(("step", "when", "what"), [(f"{step:,}", at, what) for step, at, what in rows])


def _examples(examples: Sequence[Example]) -> list[Section]:
    kinds: dict[str, list[Example]] = {
        name: [] for name in ("wrong → right", "right → wrong", "wrong → wrong", "right → right")
    }
    for one in examples:
        kinds[f"{_word(one.before)} → {_word(one.after)}"].append(one)
    return [
        Section(
            f"Before and after: {kind}",
            Markup("").join(_example(one) for one in found[:EXAMPLES]),
            f"{min(EXAMPLES, len(found))} of {len(found):,} of the {len(examples):,} held-out questions; the first "
            "response to each",
            wide=True,
        )
        for kind, found in kinds.items()
        if found
    ]


def _example(one: Example) -> Markup:
    answers = [
        (_end(told.text), f"{when}: {_said(told)}") for when, told in (("before", one.before), ("after", one.after))
    ]
    return folded("question", one.question, f"answer: {one.ground_truth[:60]}", answers)


def _said(told: Told) -> str:
    verdict = {True: "right", False: "wrong", None: "undecided"}[told.verdict]
    return verdict if told.reward is None else f"{verdict}, reward {told.reward:.2f}"


def _word(told: Told) -> str:
    return "right" if told.verdict else "wrong"


def _end(text: str) -> str:
    text = text.strip()
    return text if len(text) <= LONGEST else f"…{text[-LONGEST:]}"
