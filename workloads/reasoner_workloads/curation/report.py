"""The report on a job: its funnel, what the dataset holds, why rows were dropped. Called by `publish`. Whatever came
from a page is text to it, cut to a length; the same result gives the same bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import get_args

from markupsafe import Markup

from reasoner_api.curation import STAGES, AnswerType, Category, CurationWork, Difficulty
from reasoner_api.status import StageCount, Usage
from reasoner_workloads.common.html import Section, charts, folded, page
from reasoner_workloads.curation.records import Record

#: Examples of each reason, and characters of each text of a page.
EXAMPLES, LONGEST = 3, 240
_ANNOTATED = STAGES.index("annotate")


class Tally:
    """What the report says of all records, counted one by one."""

    def __init__(self) -> None:
        self.before: dict[str, Counter[str]] = {field: Counter() for field in ("answer_type", "category", "difficulty")}
        self.after: dict[str, Counter[str]] = {field: Counter() for field in self.before}
        self.solved: Counter[int] = Counter()
        self.examples: dict[tuple[str, str], list[Record]] = {}

    def add(self, record: Record) -> None:
        """Count a record."""
        if record.drop is None or STAGES.index(record.drop.stage) > _ANNOTATED:
            for field in self.before:
                self.before[field][getattr(record, field)] += 1
                self.after[field][getattr(record, field)] += record.drop is None
        if record.sampled:
            self.solved[record.correct] += 1
        if record.drop is not None:
            shown = self.examples.setdefault((record.drop.stage, record.drop.reason), [])
            if len(shown) < EXAMPLES:
                shown.append(record.model_copy(update={"candidates": []}))

    def html(self, name: str, work: CurationWork, stages: Sequence[StageCount], usage: Usage) -> str:
        """The HTML file."""
        return _make(self, name, work, stages, usage)


def _make(tally: Tally, name: str, work: CurationWork, stages: Sequence[StageCount], usage: Usage) -> str:
    before, after, solved, examples = tally.before, tally.after, tally.solved, tally.examples
    names = {"answer_type": get_args(AnswerType), "category": get_args(Category), "difficulty": get_args(Difficulty)}
    titles = {"answer_type": "Answer types", "category": "Subjects", "difficulty": "Difficulty"}
    compared = [
        Section(
            titles[field],
            charts.bars(
                {_words(one): (before[field][one], after[field][one]) for one in names[field] if before[field][one]},
                ("annotated", "kept"),
            ),
        )
        for field in before
    ]
    rates = {str(n): solved[n] for n in range(work.filters.candidates + 1)}
    facts = [
        ("rows read", f"{stages[0].rows_in:,}"),
        ("questions kept", f"{stages[-1].rows_out:,}"),
        ("requests", f"{usage.requests:,}"),
        ("tokens", f"{usage.prompt_tokens + usage.completion_tokens:,}"),
        ("US dollars", f"{usage.cost_usd:,.2f}"),
    ]
    sections = [
        Section("Funnel", charts.funnel([_bar(stage) for stage in stages]), wide=True),
        *compared,
        Section("Right candidates a question", charts.histogram(rates), f"of {work.filters.candidates} sampled"),
        Section("Drops", _drops(stages, examples), f"at most {EXAMPLES} examples of each reason", wide=True),
    ]
    return page(f"{name}: curation", f"from {work.source.uri}", facts, sections)


def _bar(stage: StageCount) -> tuple[str, int, int, str]:
    lost = ", ".join(f"{count:,} {_words(reason)}" for reason, count in stage.dropped.items())
    return stage.name, stage.rows_in, stage.rows_out, f"− {lost}" if lost else ""


def _drops(stages: Sequence[StageCount], examples: dict[tuple[str, str], list[Record]]) -> Markup:
    return Markup("").join(
        folded(
            stage.name,
            _words(reason),
            f"{count:,}",
            [
                (_cut(record.question or record.url), _cut(record.drop.evidence))
                for record in examples.get((stage.name, reason), [])
                if record.drop is not None
            ],
        )
        for stage in stages
        for reason, count in stage.dropped.items()
    )


def _words(name: str) -> str:
    return name.replace("_", " ")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
