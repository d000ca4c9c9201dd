"""The report: whole, harmless, the same each time."""

from __future__ import annotations

from lxml import html

from reasoner_api.curation import CurationWork
from reasoner_api.status import Requests, StageCount, Usage
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
USED = {
    "extractor": Usage(requests=5, prompt_tokens=1000, cost_usd=1.0),
    "solver": Usage(requests=40, completion_tokens=9000, cost_usd=2.5, reused=Requests(requests=7, cost_usd=0.75)),
}


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
    return tally.html("web-<i>questions</i>", WORK, funnel.counts(), USED)


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
    for words in ("Funnel", "Answer types", "Subjects", "Difficulty", "not verifiable", "50", "17", "3.50"):
        assert words in text


def test_what_each_stage_cost() -> None:
    (costs,) = [node for node in html.document_fromstring(report(records())).iter("section") if "Cost" in node[0].text]
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in costs.iter("tr")}
    assert rows["extract"] == ["m", "5", "0", "1,000", "0", "1.0000"]
    assert rows["sample"] == ["m", "40", "7", "0", "9,000", "2.5000"]
    assert rows["annotate"] == rows["filter"] == ["m", "0", "0", "0", "0", "0.0000"]
    # 17 of 50 are kept.
    assert "0.2059 US dollars a question kept; answers found kept would have cost 0.7500 more" in costs.text_content()


def test_a_model_without_a_price_costs_tokens() -> None:
    free = {role: one.model_copy(update={"cost_usd": 0.0, "reused": None}) for role, one in USED.items()}
    made = Tally().html("free", WORK, [StageCount(name="source", rows_in=0, rows_out=0)], free)
    assert "9,000 tokens" in made
    assert "a question kept" not in made


def test_charts_of_nothing() -> None:
    for made in (charts.histogram({}), charts.line([])):
        assert made.startswith("<svg")
    for made in (charts.bars({}), charts.funnel([])):
        assert made.startswith("<div")
    assert "polyline" in charts.line([(0, 0.5), (1, 0.7)])
