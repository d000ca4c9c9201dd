"""The demo's corpus: web pages written for this project, with what a pipeline should make of each.

`load()` gives the entries (page content plus the stand-in teacher's knowledge of it), `render(entry)` the HTML
page, `rows()` the listing of crawled questions that a CurationJob starts from, `expected()` the funnel that the
pages must go through. Read by the corpus web server, the stand-in teacher and the funnel test.
"""

from reasoner_local.corpus.entries import DISALLOWED, Answer, Entry, Expected, Outcome, Teacher, plain
from reasoner_local.corpus.library import expected, load, normalise, rows
from reasoner_local.corpus.rendering import encode, render

__all__ = [
    "DISALLOWED",
    "Answer",
    "Entry",
    "Expected",
    "Outcome",
    "Teacher",
    "encode",
    "expected",
    "load",
    "normalise",
    "plain",
    "render",
    "rows",
]
