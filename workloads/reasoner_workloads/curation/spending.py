"""What the models cost, stage by stage: a section of the report. Called by `report`."""

from __future__ import annotations

from collections.abc import Mapping

from reasoner_api.curation import CurationWork
from reasoner_api.status import Requests, Usage
from reasoner_workloads.common.html import Section, charts, table

#: The stage that each role works in.
STAGE_OF = {"extractor": "extract", "annotator": "annotate", "solver": "sample", "judge": "filter"}
_HEAD = ("stage", "model", "requests", "found kept", "prompt tokens", "written tokens", "US dollars")


def section(work: CurationWork, usages: Mapping[str, Usage], kept: int) -> Section:
    """Requests, tokens and dollars of each stage; `kept` questions came of it."""
    found = {role: usages.get(role) or Usage() for role in STAGE_OF}
    cost = sum(one.cost_usd for one in found.values())
    # A model of one's own has no price: its tokens are its cost.
    shares = {
        STAGE_OF[role]: (one.cost_usd if cost else one.prompt_tokens + one.completion_tokens,)
        for role, one in found.items()
    }
    rows = [(STAGE_OF[role], _model(work, role), *_figures(one)) for role, one in found.items()]
    bars = charts.bars(shares, form="{:,.2f} USD" if cost >= 1 else "{:,.4f} USD" if cost else "{:,} tokens")
    return Section("Cost by stage", bars + table(_HEAD, rows), _note(found, cost, kept), wide=True)


def _model(work: CurationWork, role: str) -> str:
    return (getattr(work.models, role) or work.models.extractor).model


def _figures(one: Usage) -> tuple[str, ...]:
    kept = one.reused or Requests()
    numbers = (one.requests, kept.requests, one.prompt_tokens, one.completion_tokens)
    return (*(f"{number:,}" for number in numbers), f"{one.cost_usd:,.4f}")


def _note(found: Mapping[str, Usage], cost: float, kept: int) -> str:
    saved = sum(one.reused.cost_usd for one in found.values() if one.reused)
    parts = [f"{cost / kept:,.4f} US dollars a question kept"] if cost and kept else []
    parts += [f"answers found kept would have cost {saved:,.4f} more"] if saved else []
    return "; ".join(parts)
