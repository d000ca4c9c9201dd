"""The report on a verifier: how it learnt, how often it agrees with its teacher, where rules would have. Called by
`train`; pure. Whatever came from the data is text to it, cut to a length; the same figures give the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from reasoner_workloads.common.html import Section, charts, page, table
from reasoner_workloads.verifier.data import Row
from reasoner_workloads.verifier.measure import Judged, by, confusion

#: Examples of each disagreement, and characters of each text in them.
EXAMPLES, LONGEST = 8, 300
#: Answer types and subjects shown, the most frequent ones.
MOST_PARTS = 16


@dataclass(frozen=True)
class Findings:
    """What a report is made of."""

    name: str
    base_model: str
    judged: Sequence[Judged]
    """Held-out rows."""
    paper: Sequence[Judged]
    """The paper's own examples."""
    metrics: Mapping[str, float]
    losses: Sequence[tuple[float, float]]
    """Step and training loss."""


def make_report(found: Findings) -> str:
    """The HTML file."""
    sections = [
        Section("Training loss", charts.line(found.losses), "by step, a mean over the steps between two logs"),
        Section("Rules against the verifier", _against_rules(found.judged), "who says what the teacher says"),
        Section("Agreement by answer type", _parts(found.judged, "answer type", lambda row: row.answer_type)),
        Section("Agreement by subject", _parts(found.judged, "subject", lambda row: row.category)),
        Section("Verdicts", _confusion(found.judged), "held-out rows by the teacher's verdict and the verifier's"),
        Section("The paper's examples", _examples(found.paper), "each is right, and missed by plain rules", wide=True),
        *_differences(found.judged),
    ]
    return page(f"{found.name}: verifier", f"from {found.base_model}", _facts(found.metrics), sections)


def _facts(metrics: Mapping[str, float]) -> list[tuple[str, str]]:
    names = {
        "agreement": "agreement with the teacher",
        "baseline_agreement": "of rules alone",
        "precision": "precision of yes",
        "recall": "recall of yes",
    }
    shares = [(text, f"{metrics[name]:.1%}") for name, text in names.items()]
    counts = {"held_out_rows": "rows held out", "train_rows": "rows learnt from"}
    return shares + [(text, f"{metrics[name]:,.0f}") for name, text in counts.items()]


def _confusion(judged: Sequence[Judged]) -> Markup:
    counts = confusion(judged)
    head = ("teacher", *(f"verifier: {word}" for word in counts["yes"]))
    return table(head, [(teacher, *(f"{n:,}" for n in said.values())) for teacher, said in counts.items()])


def _parts(judged: Sequence[Judged], name: str, part: Callable[[Row], str]) -> Markup:
    """Agreement by a part of the row, beside that of rules alone."""
    found = list(by(judged, part).items())[:MOST_PARTS]
    rows = [
        (each, f"{figures['rows']:,.0f}", f"{figures['agreement']:.1%}", f"{figures['baseline_agreement']:.1%}")
        for each, figures in found
    ]
    return table((name, "rows", "the verifier agrees", "rules agree"), rows)


def _kinds(judged: Iterable[Judged]) -> dict[str, list[Judged]]:
    """Rows by who agrees with the teacher."""
    kinds: dict[str, list[Judged]] = {name: [] for name in ("both", "only the verifier", "only rules", "neither")}
    for one in judged:
        both = {(True, True): "both", (True, False): "only the verifier", (False, True): "only rules"}
        kinds[both.get((one.agrees, one.rules_agree), "neither")].append(one)
    return kinds


def _against_rules(judged: Sequence[Judged]) -> Markup:
    rows = [(name, f"{len(found):,}", f"{len(found) / len(judged):.1%}") for name, found in _kinds(judged).items()]
    return table(("agrees with the teacher", "rows", "share"), rows)


def _differences(judged: Sequence[Judged]) -> list[Section]:
    different = {one.row.asked: one for one in judged}.values()
    kinds = {name: found for name, found in _kinds(different).items() if name != "both" and found}
    return [
        Section(
            f"Agrees with the teacher: {name}",
            _examples(found[:EXAMPLES]),
            f"{min(EXAMPLES, len(found))} of {len(found):,} different ones",
            wide=True,
        )
        for name, found in kinds.items()
    ]


def _examples(judged: Sequence[Judged]) -> Markup:
    head = ("question", "ground truth", "answer", "verdicts", "the verifier's reply")
    return table(head, [_example(one) for one in judged])


def _example(one: Judged) -> tuple[str, ...]:
    row = one.row
    verdicts = f"teacher {_word(row.verdict)}, verifier {_word(one.said)}, rules {_word(one.rules)}"
    return (*map(_cut, row.asked), verdicts, _cut(one.reply.strip()))


def _word(verdict: bool | None) -> str:
    return "undecided" if verdict is None else "yes" if verdict else "no"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
