"""The demo's corpus: its format and coverage, its pages' markup, and that its expected funnel adds up."""

from __future__ import annotations

import json
from collections import Counter
from typing import get_args

import lxml.html
import pytest

from reasoner_api.curation import STAGES, AnswerType
from reasoner_local.corpus import DISALLOWED, Entry, encode, expected, load, normalise, plain, render, rows
from reasoner_local.corpus.entries import Layout, Outcome

ENTRIES = load()
BY_ID = {entry.id: entry for entry in ENTRIES}
OUTCOMES = {entry.id: expected().pages[entry.listed_path] for entry in ENTRIES}
KEPT = [entry for entry in ENTRIES if OUTCOMES[entry.id].outcome == "kept"]
JUDGED = [entry for entry in ENTRIES if OUTCOMES[entry.id].stage in (None, "filter", "deduplicate", "balance")]

#: Each reason's least number of pages.
REASONS = {
    ("recrawl", "http_error"): 3,
    ("recrawl", "robots"): 2,
    ("recrawl", "gated"): 9,
    ("recrawl", "no_human_answer"): 6,
    ("extract", "not_verifiable"): 12,
    ("balance", "easy_math"): 5,
    ("filter", "unsolvable"): 5,
    ("filter", "trivial"): 5,
    ("deduplicate", "duplicate"): 5,
}
EVIDENCE = (
    "login",
    "paywall",
    "interaction",
    "none",
    "bot",
    "opinion",
    "multi_part",
    "open_ended",
    "no_short_answer",
)


def dropped(stage: str, reason: str) -> list[Entry]:
    return [e for e in ENTRIES if (OUTCOMES[e.id].stage, OUTCOMES[e.id].reason) == (stage, reason)]


def tree(entry: Entry) -> lxml.html.HtmlElement:
    return lxml.html.document_fromstring(encode(entry), parser=lxml.html.HTMLParser(encoding=entry.charset))


def text(element: lxml.html.HtmlElement) -> str:
    return " ".join(element.text_content().split())


def by_layout(layout: str) -> list[Entry]:
    return [entry for entry in KEPT if entry.layout == layout]


def ids(entries: list[Entry]) -> list[str]:
    return [entry.id for entry in entries]


def test_it_is_big_and_broad() -> None:
    assert len(ENTRIES) >= 160
    assert len({entry.subject for entry in ENTRIES}) >= 10
    assert 0.5 < len(KEPT) / len(ENTRIES) < 0.7


def test_ids_and_paths_are_unique() -> None:
    assert len(BY_ID) == len(ENTRIES)
    paths = [e.path for e in ENTRIES] + [e.moved_from for e in ENTRIES if e.moved_from]
    assert len(set(paths)) == len(paths)


def test_every_path_lies_on_its_site() -> None:
    assert [e.id for e in ENTRIES if not e.path.startswith(f"/{e.host}/")] == []


def test_every_layout_is_kept_several_times() -> None:
    counts = Counter(entry.layout for entry in KEPT)
    assert {layout: counts[layout] for layout in get_args(Layout) if counts[layout] < 5} == {}


def test_every_answer_type_is_kept_several_times() -> None:
    counts = Counter(entry.teacher.answer_type for entry in KEPT if entry.teacher)
    assert {kind: counts[kind] for kind in get_args(AnswerType) if counts[kind] < 5} == {}


@pytest.mark.parametrize(("stage", "reason"), REASONS)
def test_every_reason_to_drop_occurs_several_times(stage: str, reason: str) -> None:
    assert len(dropped(stage, reason)) >= REASONS[stage, reason]


@pytest.mark.parametrize("evidence", EVIDENCE)
def test_every_finer_kind_of_dropped_page_occurs_several_times(evidence: str) -> None:
    assert sum(outcome.evidence == evidence for outcome in OUTCOMES.values()) >= 3


def test_kept_questions_are_neither_trivial_nor_unsolvable_and_vary() -> None:
    assert {entry.teacher.solve_rate for entry in KEPT if entry.teacher} == set(range(1, 8))


@pytest.mark.parametrize("entry", JUDGED, ids=ids(JUDGED))
def test_answers_come_in_several_right_and_wrong_forms(entry: Entry) -> None:
    assert entry.teacher is not None
    assert entry.reference is not None
    assert not entry.reference.bot
    right = {entry.teacher.answer, *entry.teacher.equivalents}
    assert len(right) >= 4
    assert len(entry.teacher.wrong) >= 4
    assert {normalise(str(answer)) for answer in right} & {normalise(answer) for answer in entry.teacher.wrong} == set()


def test_the_expected_funnel_lists_exactly_the_listing() -> None:
    assert list(expected().pages) == [row["url"] for row in rows()]


def test_the_expected_totals_follow_from_the_pages() -> None:
    flowing = len(ENTRIES)
    recomputed = {}
    for stage in STAGES:
        reasons = Counter(o.reason for o in OUTCOMES.values() if o.stage == stage)
        recomputed[stage] = (flowing, flowing - reasons.total(), dict(reasons))
        flowing -= reasons.total()
    assert flowing == len(KEPT)
    assert {s: (t.rows_in, t.rows_out, t.dropped) for s, t in expected().stages.items()} == recomputed


def facts(entry: Entry) -> Outcome:
    """What the entry's own fields say about its fate, duplicates aside."""
    teacher = entry.teacher
    humans = [answer for answer in entry.answers if not answer.bot]
    verdicts: list[tuple[bool, str, str, str | None]] = [
        (entry.status >= 400, "recrawl", "http_error", str(entry.status)),
        (entry.path.startswith(DISALLOWED), "recrawl", "robots", None),
        (entry.gate is not None, "recrawl", "gated", entry.gate),
        (not humans, "recrawl", "no_human_answer", "bot" if entry.answers else "none"),
    ]
    if teacher:
        below = teacher.difficulty in ("primary", "middle_school", "high_school")
        verdicts += [
            (not teacher.verifiable, "extract", "not_verifiable", teacher.why_not),
            (teacher.category == "mathematics" and below, "balance", "easy_math", None),
            (teacher.solve_rate == 0, "filter", "unsolvable", None),
            (teacher.solve_rate == 8, "filter", "trivial", None),
        ]
    for applies, stage, reason, evidence in verdicts:
        if applies:
            return Outcome(outcome="dropped", stage=stage, reason=reason, evidence=evidence)
    return Outcome(outcome="kept")


@pytest.mark.parametrize("entry", ENTRIES, ids=ids(ENTRIES))
def test_each_expected_outcome_fits_its_entry(entry: Entry) -> None:
    outcome = OUTCOMES[entry.id]
    assert facts(entry) == (Outcome(outcome="kept") if outcome.stage == "deduplicate" else outcome)


def test_of_equal_questions_the_smallest_path_is_kept() -> None:
    groups: dict[str, list[str]] = {}
    for entry in ENTRIES:
        if OUTCOMES[entry.id].stage in (None, "deduplicate"):
            groups.setdefault(normalise(entry.clean_question), []).append(entry.listed_path)
    losers = {path for paths in groups.values() for path in sorted(paths)[1:]}
    assert losers == {path for path, outcome in expected().pages.items() if outcome.stage == "deduplicate"}


def test_duplicates_are_not_copies_of_each_other_byte_for_byte() -> None:
    pairs = [(entry, BY_ID[entry.same_as]) for entry in ENTRIES if entry.same_as]
    assert len(pairs) >= 5
    for copy, original in pairs:
        assert normalise(copy.clean_question) == normalise(original.clean_question)
        assert copy.question.strip() != original.question.strip()
        assert copy.host != original.host


@pytest.mark.parametrize("entry", ENTRIES, ids=ids(ENTRIES))
def test_every_page_shows_its_own_question_and_no_other(entry: Entry) -> None:
    page = normalise(text(tree(entry).body))
    assert normalise(entry.question) in page
    others = [e for e in ENTRIES if (e.same_as or e.id) != (entry.same_as or entry.id)]
    assert [e.id for e in others if normalise(e.question) in page] == []


@pytest.mark.parametrize("entry", ENTRIES, ids=ids(ENTRIES))
def test_every_page_holds_its_answers_unless_gated(entry: Entry) -> None:
    page = normalise(text(tree(entry).body))
    shown = [normalise(answer.body) in page for answer in entry.answers]
    assert shown == [entry.gate is None] * len(entry.answers)


def test_gated_pages_hold_the_answer_nowhere_in_their_source() -> None:
    for entry in ENTRIES:
        if entry.gate:
            assert entry.reference is not None
            source = normalise(render(entry))
            assert [part for part in plain(entry.reference.body).split(". ") if normalise(part) in source] == []


def test_every_page_carries_clutter() -> None:
    for entry in ENTRIES:
        root = tree(entry)
        assert root.xpath("//nav") and root.xpath("//footer") and root.xpath("//script")
        assert root.xpath("//*[@id='cookie-banner']")
        assert root.xpath("//a[contains(@href, 'login')]"), "a link to log in is not a wall"


@pytest.mark.parametrize(
    ("gate", "mark"),
    [
        ("login", "//*[contains(@class, 'login-wall')]//input[@type='password']"),
        ("paywall", "//*[contains(@class, 'paywall')]//*[contains(@class, 'btn-subscribe')]"),
        ("interaction", "//*[contains(@class, 'js-reveal-answer')] | //*[contains(@class, 'h-captcha')]"),
    ],
)
def test_walls_stand_on_gated_pages_alone(gate: str, mark: str) -> None:
    assert {e.id for e in ENTRIES if tree(e).xpath(mark)} == {e.id for e in ENTRIES if e.gate == gate}


def test_bot_answers_are_marked_as_such() -> None:
    for entry in ENTRIES:
        notices = tree(entry).xpath("//*[@class='bot-notice']")
        assert len(notices) == (0 if entry.gate else sum(answer.bot for answer in entry.answers))


def test_forums_mark_the_accepted_answer_as_stackexchange_does() -> None:
    for entry in by_layout("forum"):
        assert entry.reference is not None
        root = tree(entry)
        (body,) = root.xpath(
            "//div[contains(@class, 'js-accepted-answer')][@itemprop='acceptedAnswer']"
            "//div[@class='s-prose js-post-body']"
        )
        assert text(body) == plain(entry.reference.body)
        (question,) = root.xpath("//div[@id='question']//div[@class='s-prose js-post-body'][@itemprop='text']")
        assert text(question) == entry.question_text
        assert len(root.xpath("//div[@data-answerid]")) == len(entry.answers)


def test_classic_forums_mark_one_post_as_the_solution() -> None:
    marks = {
        0: "//span[@class='accepted-solution']/ancestor::div[@class='postbody']//div[@class='content']",
        1: "//div[@class='best-answer-label']/following-sibling::div[starts-with(@id, 'post_message_')]",
    }
    assert {entry.variant for entry in by_layout("forum-classic")} == set(marks)
    for entry in by_layout("forum-classic"):
        assert entry.reference is not None
        (body,) = tree(entry).xpath(marks[entry.variant])
        assert text(body).startswith(("newbie", "Originally")) and text(body).endswith(plain(entry.reference.body))


def test_textbooks_and_faqs_pair_question_and_answer() -> None:
    pairs = {
        ("textbook", 0): ("//*[@data-type='problem']", "//*[@data-type='exercise']/*[@data-type='solution']"),
        ("textbook", 1): ("//div[@class='exercise']", "//h4[.='Solution']/following-sibling::div[@class='solution']"),
        ("faq", 0): ("//dl/dt", "//dl/dd"),
        ("faq", 1): ("//details/summary", "//details/div"),
    }
    entries = by_layout("textbook") + by_layout("faq")
    assert {(entry.layout, entry.variant) for entry in entries} == set(pairs)
    for entry in entries:
        (question,), (answer,) = (tree(entry).xpath(path) for path in pairs[entry.layout, entry.variant])
        assert entry.reference is not None
        assert entry.question_text in text(question)
        assert plain(entry.reference.body) in text(answer)


def test_json_ld_pages_carry_the_whole_question_as_data() -> None:
    for entry in [e for e in ENTRIES if e.layout == "qapage-jsonld" and e.status == 200]:
        blocks = [json.loads(script.text) for script in tree(entry).xpath("//script[@type='application/ld+json']")]
        objects = [item for block in blocks for item in block.get("@graph", [block])]
        (page,) = [item for item in objects if item["@type"] == "QAPage"]
        question = page["mainEntity"]
        assert plain(question["text"]) == entry.question_text
        assert question["answerCount"] == (0 if entry.gate else len(entry.answers))
        accepted = question.get("acceptedAnswer")
        expected_text = None if entry.gate or not entry.reference else plain(entry.reference.body)
        assert (accepted and plain(accepted["text"])) == expected_text


def test_microdata_pages_carry_the_accepted_answer() -> None:
    for entry in by_layout("qapage-microdata"):
        assert entry.reference is not None
        (answer,) = tree(entry).xpath("//*[@itemprop='acceptedAnswer']//*[@itemprop='text']")
        assert text(answer) == plain(entry.reference.body)


def test_some_pages_are_hard_to_read() -> None:
    latin = [entry for entry in KEPT if entry.charset == "iso-8859-1"]
    assert len(latin) >= 4
    assert any(not entry.charset_header for entry in latin)
    assert any(byte > 0x7F for entry in latin for byte in encode(entry))
    assert sum("MathJax" in render(entry) for entry in KEPT) >= 5
    assert sum("&" in entry.question for entry in KEPT) >= 5
    orders = ("ignore your instructions", "Disregard everything")
    assert sum(any(order in c.body for order in orders for c in e.comments) for e in KEPT) == 2
    assert sum(any(answer.bot for answer in entry.answers) for entry in KEPT) >= 1


def test_some_accepted_answers_stand_beside_wrong_ones() -> None:
    assert sum(len(entry.answers) > 1 for entry in KEPT) >= 40


def test_the_listing_is_noisy_but_names_the_question() -> None:
    listing = rows("http://web:8080/")
    assert {tuple(row) for row in listing} == {("id", "url", "question", "subject")}
    assert all(row["url"].startswith("http://web:8080/") and "//" not in row["url"][7:] for row in listing)
    assert all(BY_ID[row["id"]].question_text in row["question"] for row in listing)
    assert sum(BY_ID[row["id"]].question_text != row["question"] for row in listing) > len(listing) / 2
