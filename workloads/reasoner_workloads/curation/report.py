"""The report on a job: its funnel, what the dataset holds, why rows were dropped. Called by `publish`. Whatever came
from a page is text to it, cut to a length; the same result gives the same bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import get_args

from markupsafe import Markup

from reasoner_api.curation import STAGES, AnswerType, Category, CurationWork, Difficulty
from reasoner_api.status import StageCount, Usage, total
from reasoner_workloads.common.html import Section, charts, folded, listed, page
from reasoner_workloads.curation import spending
from reasoner_workloads.curation.records import Record

#: Examples of each reason and of what was kept, and characters of each text of a page.
EXAMPLES, KEPT, LONGEST = 3, 8, 240
_ANNOTATED = STAGES.index("annotate")
_JUDGES = {"rules": "rules", "model": "the model"}


class Tally:
    """What the report says of all records, counted one by one."""

    def __init__(self) -> None:
        self.before: dict[str, Counter[str]] = {field: Counter() for field in ("answer_type", "category", "difficulty")}
        self.after: dict[str, Counter[str]] = {field: Counter() for field in self.before}
        self.solved: Counter[int] = Counter()
        self.judged: Counter[str] = Counter()
        """Verdicts, by who gave them."""
        self.examples: dict[tuple[str, str], list[Record]] = {}
        self.kept: list[Record] = []

    def add(self, record: Record) -> None:
        """Count a record."""
        if record.drop is None or STAGES.index(record.drop.stage) > _ANNOTATED:
            for field in self.before:
                self.before[field][getattr(record, field)] += 1
                self.after[field][getattr(record, field)] += record.drop is None
        if record.sampled:
            self.solved[record.correct] += 1
        self.judged.update({one.answer: one.judge for one in record.candidates}.values())
        if record.drop is None:
            if len(self.kept) < KEPT:
                self.kept.append(record)
        else:
            shown = self.examples.setdefault((record.drop.stage, record.drop.reason), [])
            if len(shown) < EXAMPLES:
                shown.append(record.model_copy(update={"candidates": []}))

    def html(self, name: str, work: CurationWork, stages: Sequence[StageCount], usages: Mapping[str, Usage]) -> str:
        """The HTML file. `usages` are by role."""
        usage = total(usages.values())
        facts = [
            ("rows read", f"{stages[0].rows_in:,}"),
            ("questions kept", f"{stages[-1].rows_out:,}"),
            ("requests paid for", f"{usage.requests:,}"),
            ("tokens", f"{usage.prompt_tokens + usage.completion_tokens:,}"),
            ("US dollars", f"{usage.cost_usd:,.2f}"),
        ]
        drops = _drops(stages, self.examples)
        sections = [
            Section("Funnel", charts.funnel([_bar(stage) for stage in stages]), wide=True),
            *self._compared(),
            self._solved(work.filters.candidates),
            spending.section(work, usages, stages[-1].rows_out),
            Section(
                "Kept",
                listed([_kept(one) for one in self.kept]),
                f"{len(self.kept)} of {stages[-1].rows_out:,} questions",
                wide=True,
            ),
            Section("Drops", drops, f"at most {EXAMPLES} examples of each reason", wide=True),
        ]
        return page(f"{name}: curation", f"from {work.source.uri}", facts, sections)

    def _compared(self) -> list[Section]:
        """What was annotated, beside what of it was kept."""
        names = {
            "answer_type": get_args(AnswerType),
            "category": get_args(Category),
            "difficulty": get_args(Difficulty),
        }
        titles = {"answer_type": "Answer types", "category": "Subjects", "difficulty": "Difficulty"}
        counts = {
            field: {_words(one): (before[one], self.after[field][one]) for one in names[field] if before[one]}
            for field, before in self.before.items()
        }
        return [Section(titles[field], charts.bars(counts[field], ("annotated", "kept"))) for field in counts]

    def _solved(self, sampled: int) -> Section:
        """How many of a question's candidates are right, and who said so."""
        rates = {str(n): self.solved[n] for n in range(sampled + 1)}
        verdicts = ", ".join(f"{count:,} by {_JUDGES[judge]}" for judge, count in sorted(self.judged.items()))
        note = f"of {sampled} sampled" + (f"; verdicts: {verdicts}" if verdicts else "")
        return Section("Right candidates a question", charts.histogram(rates), note)


def _kept(record: Record) -> tuple[str, str]:
    about = f"{_words(record.category)}, {_words(record.difficulty)}, {record.solve_rate:.0%} right"
    return _cut(record.question), f"{_cut(record.answer)} — {about}"


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
