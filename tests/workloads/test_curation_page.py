"""Pages to questions and human answers: every layout, walls, machines' answers, markup."""

from __future__ import annotations

import textwrap

import pytest

from reasoner_local.corpus import Entry, encode, expected, load, normalise, plain, rows
from reasoner_workloads.curation.blocks import Answer
from reasoner_workloads.curation.charset import decode
from reasoner_workloads.curation.markup import text_of_html
from reasoner_workloads.curation.records import Dropped
from support.pages import read

STACK_OVERFLOW = """\
<!DOCTYPE html><html itemscope itemtype="https://schema.org/QAPage" class="html__responsive"><head>
<title>floating point - Is 0.1 + 0.2 == 0.3? - Stack Overflow</title></head>
<body class="question-page unified-theme">
<header class="s-topbar"><a href="/users/login">Log in</a><a href="/users/signup">Sign up</a></header>
<div id="mainbar" itemprop="mainEntity" itemscope itemtype="https://schema.org/Question">
<h1 itemprop="name"><a class="question-hyperlink">Is 0.1 + 0.2 == 0.3?</a></h1>
<div class="question js-question" data-questionid="588004" id="question"><div class="post-layout">
<div class="votecell"><div class="js-vote-count" itemprop="upvoteCount" data-value="3674"> 3674 </div></div>
<div class="postcell"><div class="s-prose js-post-body" itemprop="text"><p>What does this print, and why?</p>
<pre class="lang-js"><code>console.log(0.1 + 0.2 == 0.3);
console.log(0.1 + 0.2);</code></pre></div>
<div class="post-signature">asked by <span itemprop="author">Cato</span></div></div>
<div class="comments js-comments-container"><ul><li class="comment js-comment"><span class="comment-copy">Try it!
The answer is: it depends.</span></li></ul></div></div></div>
<div id="answers">
<div id="answer-1" class="answer js-answer" data-answerid="1" data-score="12" itemprop="suggestedAnswer" itemscope
 itemtype="https://schema.org/Answer"><div class="votecell"><div class="js-vote-count">12</div></div>
<div class="answercell"><div class="s-prose js-post-body" itemprop="text"><p>An early, low answer.</p></div></div></div>
<div id="answer-2" class="answer js-answer" data-answerid="2" data-score="2700" itemprop="suggestedAnswer" itemscope
 itemtype="https://schema.org/Answer"><div class="votecell"><div class="js-vote-count">2700</div></div>
<div class="answercell"><div class="s-prose js-post-body" itemprop="text"><p>A bot once told me that it prints
<code>true</code>. ChatGPT is <b>wrong</b>: it prints <code>false</code>, since
0.1 = 2<sup>-4</sup> &times; 1.6 is rounded.</p><blockquote><p>floats are binary</p></blockquote></div></div></div>
<div id="answer-3" class="answer js-answer accepted-answer js-accepted-answer" data-answerid="3" data-score="900"
 itemprop="acceptedAnswer" itemscope itemtype="https://schema.org/Answer">
<div class="votecell"><div class="js-vote-count">900</div><div class="js-accepted-answer-indicator"></div></div>
<div class="answercell"><div class="s-prose js-post-body" itemprop="text"><p>It prints <code>false</code>.</p></div>
<div class="comments"><ul><li class="comment">Thanks!</li></ul></div></div></div>
<div id="post-form"><h2>Your Answer</h2><p>Sign up or log in to post as a guest.</p></div>
</div></div></body></html>"""


def page(body: str, head: str = "") -> str:
    return f"<!DOCTYPE html><html><head><title>T</title>{head}</head><body>{textwrap.dedent(body)}</body></html>"


def dropped(text: str, hint: str = "") -> tuple[str, str]:
    with pytest.raises(Dropped) as end:
        read(text, hint)
    return end.value.reason, end.value.evidence


def test_a_stack_overflow_page() -> None:
    found = read(STACK_OVERFLOW, "Is 0.1 + 0.2 == 0.3?")
    assert found.title == "Is 0.1 + 0.2 == 0.3?"
    assert found.question == (
        "What does this print, and why?\n\nconsole.log(0.1 + 0.2 == 0.3);\nconsole.log(0.1 + 0.2);"
    )
    assert [(answer.accepted, answer.votes, answer.bot) for answer in found.answers] == [
        (True, 900, False),
        (False, 2700, False),
        (False, 12, False),
    ]
    assert found.answers[0].text == "It prints false."
    assert found.answers[1].text.startswith("A bot once told me that it prints true. ChatGPT is wrong: it prints false")
    assert "2^{-4} × 1.6" in found.answers[1].text
    assert "floats are binary" in found.answers[1].text


LISTED = {row["url"]: row["question"] for row in rows("")}
SHOWN = [entry for entry in load() if expected().pages[entry.listed_path].stage not in ("recrawl",)]
WALLED = [entry for entry in load() if expected().pages[entry.listed_path].reason in ("gated", "no_human_answer")]


def read_entry(entry: Entry) -> tuple[str, tuple[Answer, ...]]:
    text = decode(encode(entry), entry.charset if entry.charset_header else None)
    found = read(text, LISTED[entry.listed_path])
    return found.question, found.answers


@pytest.mark.parametrize("entry", SHOWN, ids=lambda entry: f"{entry.layout}-{entry.variant}-{entry.id}")
def test_every_page_of_the_corpus_gives_its_question_and_its_human_answers(entry: Entry) -> None:
    question, answers = read_entry(entry)
    assert squeezed(question) == squeezed(entry.question_text)
    human = [answer for answer in entry.answers if not answer.bot]
    assert len(answers) == min(5, len(human))
    wanted = {squeezed(plain(answer.body)) for answer in human}
    assert {squeezed(answer.text) for answer in answers} <= wanted
    if (reference := entry.reference) and not reference.bot:
        assert squeezed(answers[0].text) == squeezed(plain(reference.body))


def squeezed(text: str) -> str:
    """Text whatever its spacing and its way of raising exponents."""
    return "".join(character for character in normalise(text) if character not in " ^_{}")


@pytest.mark.parametrize("entry", WALLED, ids=lambda entry: f"{entry.layout}-{entry.variant}-{entry.id}")
def test_every_page_of_the_corpus_without_a_human_answer_says_why(entry: Entry) -> None:
    hoped = expected().pages[entry.listed_path]
    with pytest.raises(Dropped) as end:
        read_entry(entry)
    assert (end.value.reason, end.value.evidence) == (hoped.reason, hoped.evidence)


def test_of_several_questions_the_one_that_the_row_means() -> None:
    text = page(
        """
        <h1>FAQ</h1><dl>
        <dt>What is the capital of Peru?</dt><dd>Lima, since 1535.</dd>
        <dt>What is the capital of Chile?</dt><dd>Santiago.</dd><dd>Santiago de Chile, to be exact.</dd>
        <dt>What is the capital of Cuba?</dt><dd>Havana.</dd></dl>"""
    )
    found = read(text, "Home > FAQ > What is the capital of Chile?")
    assert found.question == "What is the capital of Chile?"
    assert [answer.text for answer in found.answers] == ["Santiago.", "Santiago de Chile, to be exact."]


def test_faq_page_markup() -> None:
    data = """<script type="application/ld+json">{"@context": "https://schema.org", "@type": "FAQPage", "mainEntity": [
      {"@type": "Question", "name": "How many &lt;i&gt;moles&lt;/i&gt;?",
       "acceptedAnswer": {"@type": "Answer", "text": "<p>2 mol</p>"}}]}</script>
      <script type="application/ld+json">{broken</script>"""
    found = read(page("<p>Hello</p>", data), "")
    assert [answer.text for answer in found.answers] == ["2 mol"]


def test_a_heading_that_says_solution() -> None:
    text = page(
        """<h2>Problem 4</h2><p>Find x if 2x = 6.</p><h3>Solution</h3><p>Halve both sides.</p><p>x = 3</p>
        <h3>Next</h3><p>More.</p>"""
    )
    found = read(text, "")
    assert (found.question, found.answers[0].text) == ("Find x if 2x = 6.", "Halve both sides.\nx = 3")


def test_a_page_of_no_known_layout_gives_its_main_text() -> None:
    story = "The boiling point of water at sea level is 100 degrees Celsius. " * 8
    text = page(f"<article><h1>Boiling</h1><p>{story}</p></article>")
    found = read(text, "At which temperature does water boil at sea level?")
    assert found.question == "At which temperature does water boil at sea level?"
    assert "100 degrees Celsius" in found.answers[0].text


WALLS: dict[str, tuple[str, tuple[str, str]]] = {
    "an empty page": ("", ("no_human_answer", "none")),
    "a thin page": ("<p>Nothing here.</p>", ("no_human_answer", "none")),
    "log in to see": (
        "<dl class=faq><dt>Q?</dt><dd>Please log in to view the answer.</dd></dl>",
        ("gated", "login"),
    ),
    "members": ("<p>You must be a registered member to view the replies.</p>", ("gated", "login")),
    "subscribe": ("<div>Subscribe from $5 to unlock this solution</div>", ("gated", "paywall")),
    "a class": ("<div class='article-paywall'><p>Hello</p></div>", ("gated", "paywall")),
    "click": ("<button>Click to reveal the answer</button>", ("gated", "interaction")),
    "captcha": ("<form><div class='g-recaptcha'></div></form>", ("gated", "interaction")),
    "logging in to post is no wall": ("<p>Log in or register to post comments</p>", ("no_human_answer", "none")),
}


@pytest.mark.parametrize(("body", "why"), WALLS.values(), ids=WALLS.keys())
def test_walls(body: str, why: tuple[str, str]) -> None:
    assert dropped(page(body)) == why


def test_a_login_link_beside_an_answer_is_no_wall() -> None:
    text = page("<header><a>Log in to see your answers</a></header><dl><dt>Why?</dt><dd>Because of 42.</dd></dl>")
    assert read(text, "Why?").answers[0].text == "Because of 42."


def test_schema_org_says_that_a_page_is_not_free() -> None:
    head = '<script type="application/ld+json">{"@type": "Article", "isAccessibleForFree": false}</script>'
    assert dropped(page("<dl><dt>Why?</dt><dd>Because... (teaser)</dd></dl>", head)) == ("gated", "paywall")


BOTS: dict[str, str] = {
    "its words": "<dd>AI-generated answer: 42</dd>",
    "a badge": '<dd><span class="bot">bot</span> 42</dd>',
    "digital source type": '<dd><div data-digital-source-type="trainedAlgorithmicMedia">note</div>42</dd>',
    "its author's type": '<dd><span itemtype="https://schema.org/SoftwareApplication">x</span>42</dd>',
}


@pytest.mark.parametrize("answer", BOTS.values(), ids=BOTS.keys())
def test_a_machines_answer_is_no_human_answer(answer: str) -> None:
    assert dropped(page(f"<dl><dt>What is it?</dt>{answer}</dl>")) == ("no_human_answer", "bot")


def test_a_human_answer_beside_a_machines() -> None:
    text = page("<dl><dt>What is it?</dt><dd>Generated by ChatGPT: 41</dd><dd>It is 42.</dd></dl>")
    assert [answer.text for answer in read(text, "").answers] == ["It is 42."]


MARKUP: dict[str, tuple[str, str]] = {
    "blocks": ("<p>a</p><p>b<br>c</p>", "a\n\nb\nc"),
    "exponents": ("x<sup>2</sup> + 10<sup>-3</sup>", "x^2 + 10^{-3}"),
    "indices": ("H<sub>2</sub>O", "H_2O"),
    "LaTeX in a script": ('<script type="math/tex">x^2</script>', "$x^2$"),
    "LaTeX beside MathML": ('<math alttext="\\frac12"><mn>1</mn></math>', r"$\frac12$"),
    "MathML alone": ("<math><mn>1</mn><mo>+</mo><mn>2</mn></math>", "1+2"),
    "an image's text": ('<img alt="x^2" src="a.png"> is it', "x^2 is it"),
    "lists": ("<ul><li>a</li><li>b</li></ul>", "a\n\nb"),
    "preformatted": ("<pre>a\n  b  c</pre>", "a\n  b  c"),
    "entities": ("3 &lt; 4 &amp; 5", "3 < 4 & 5"),
    "what nobody reads": ("a<script>x</script><style>y</style><button>z</button>", "a"),
}


@pytest.mark.parametrize(("fragment", "text"), MARKUP.values(), ids=MARKUP.keys())
def test_markup_to_text(fragment: str, text: str) -> None:
    assert text_of_html(fragment) == text


CHARSETS: dict[str, tuple[bytes, str | None, str]] = {
    "the header's": ("é".encode("latin-1"), "iso-8859-1", "é"),
    "Latin-1 means Windows-1252": (b"\x93x\x94", "iso-8859-1", "“x”"),
    "the page's own": (b'<meta charset="windows-1251">' + "ж".encode("cp1251"), None, '<meta charset="windows-1251">ж'),
    "the page's own, which is not so": (
        b'<meta charset="utf-16">' + "é".encode(),
        None,
        '<meta charset="utf-16">é',
    ),
    "the XML declaration's": (
        b'<?xml version="1.0" encoding="iso-8859-2"?>' + "ł".encode("iso-8859-2"),
        None,
        '<?xml version="1.0" encoding="iso-8859-2"?>ł',
    ),
    "a name of the web alone": ("あ①".encode("cp932"), "x-sjis", "あ①"),
    "Shift JIS means Microsoft's": ("①".encode("cp932"), "Shift_JIS", "①"),
    "Latin-5 means Windows-1254": (b"\x93\xfd\x94", "iso-8859-9", "“ı”"),
    "a byte order mark wins": (b"\xef\xbb\xbf" + "é".encode(), "iso-8859-1", "é"),
    "UTF-8 unless told": ("é".encode(), None, "é"),
    "neither told nor UTF-8": (b"\xe9", None, "é"),
    "a charset that does not exist": ("é".encode(), "nonsense", "é"),
    "a codec that is no charset": ("é".encode(), "hex", "é"),
    "bytes that do not fit": (b"\xff", "utf-8", "\N{REPLACEMENT CHARACTER}"),
}


@pytest.mark.parametrize(("body", "header", "text"), CHARSETS.values(), ids=CHARSETS.keys())
def test_charsets(body: bytes, header: str | None, text: str) -> None:
    assert decode(body, header) == text


def test_each_question_of_a_page_is_found_with_its_own_answer() -> None:
    text = "<dl>" + "".join(f"<dt>What is {n} plus one?</dt><dd>It is {n + 1}.</dd>" for n in range(100)) + "</dl>"
    for number in (0, 7, 99):
        found = read(text, f"Home > FAQ  what is {number} PLUS one  Share Follow")
        assert (found.question, found.answers[0].text) == (f"What is {number} plus one?", f"It is {number + 1}.")
