"""The report: whole, harmless, the same each time."""

from __future__ import annotations

from lxml import html

from reasoner_api.curation import CurationWork
from reasoner_api.status import Usage
from reasoner_workloads.common.html import charts
from reasoner_workloads.curation.records import Candidate, Drop, Funnel, Record
from reasoner_workloads.curation.report import Tally

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'><svg onload=alert(1)>]]>{{ 7*7 }}"
WORK = CurationWork.model_validate(
    {
        "source": {"uri": "https://example.org/rows.jsonl?<b>"},
        "models": {"extractor": {"baseURL": "http://teacher/v1", "model": "m"}},
        "storage": {"uri": "file:///out"},
    }
)


def records(count: int = 50) -> list[Record]:
    made = []
    for n in range(count):
        drop = Drop(stage="extract", reason="not_verifiable", evidence=HOSTILE * 50) if n % 3 else None
        candidates = [Candidate(answer="1", correct=True, reasoning="")] * (n % 8)
        made.append(
            Record(id=str(n), url=f"https://e.org/{n}", question=HOSTILE, drop=drop, candidates=candidates, sampled=8)
        )
    return made


def report(found: list[Record]) -> str:
    funnel, tally = Funnel(), Tally()
    for record in found:
        funnel.add(record)
        tally.add(record)
    return tally.html("web-<i>questions</i>", WORK, funnel.counts(), Usage(requests=5, cost_usd=1.5))


def test_hostile_text_stays_text() -> None:
    made = report(records())
    root = html.document_fromstring(made)
    unwanted = ("script", "img", "iframe", "link", "*[@src]", "*[@href]", "i[not(@class)]")
    assert not [node for one in unwanted for node in root.xpath(f"//{one}")]
    assert not [name for node in root.iter() for name in node.attrib if name.startswith("on")]
    assert "&lt;script&gt;" in made
    assert "{{ 7*7 }}" in made


def test_nothing_is_requested_and_the_policy_says_so() -> None:
    made = report(records())
    assert "default-src 'none'; style-src 'unsafe-inline'" in made
    assert "url(" not in made
    assert "@import" not in made


def test_the_same_bytes_and_of_bounded_size() -> None:
    assert report(records()) == report(records())
    assert len(report(records(3000))) < len(report(records(30))) + 2000


def test_what_it_says() -> None:
    text = html.document_fromstring(report(records())).text_content()
    for words in ("Funnel", "Answer types", "Subjects", "Difficulty", "not verifiable", "50", "17", "1.50"):
        assert words in text


def test_charts_of_nothing() -> None:
    for made in (charts.histogram({}), charts.line([])):
        assert made.startswith("<svg")
    for made in (charts.bars({}), charts.funnel([])):
        assert made.startswith("<div")
    assert "polyline" in charts.line([(0, 0.5), (1, 0.7)])
