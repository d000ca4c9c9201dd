"""Pages as rows read them, for tests."""

from __future__ import annotations

from reasoner_workloads.curation import page
from reasoner_workloads.curation.survey import survey


def read(text: str, hint: str) -> page.Page:
    """What the page says to the hint. Raises Dropped."""
    return page.read(survey(text), hint)
