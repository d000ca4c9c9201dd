"""A CurationJob's budget: spent, changed, and what the end will cost. Called by `curation`; pure.

A pod that finds the budget spent ends the Job: nothing is left that any of its pods could do. That is no failure but a
stop, until somebody raises the budget; the Job is then made again with the new one, and finds what was answered."""

from __future__ import annotations

from reasoner_api.curation import Budget
from reasoner_api.status import Progress, Usage
from reasoner_operator.plan import told
from reasoner_operator.plan.standing import Outcome, condition, is_ended
from reasoner_operator.seen import Seen
from reasoner_operator.status import State, reports

REASON = "BudgetExceeded"


def observed(seen: Seen, found: Outcome) -> Outcome:
    """How the run stands, a spent budget taken for the stop that it is."""
    if condition(seen.job, "Failed") is None:
        return found
    state = found.state if found.state.reason == REASON else None if found.report is not None else _noted(seen)
    if state is None:
        return found
    # Who finds the budget spent knows what all have spent; the others may be gone without a word.
    spent = [report.usage for report in reports(seen) if report.reason == REASON and report.usage is not None]
    report = found.report
    if report is not None and spent:
        report = report.model_copy(update={"usage": max(spent, key=lambda usage: usage.requests)})
    return Outcome(State("Suspended", REASON, state.message, stalled=True), report)


def is_spent(found: Outcome) -> bool:
    """Whether the run has stopped for want of money."""
    return found.state.stalled and found.state.reason == REASON


def is_changed(seen: Seen, budget: Budget) -> bool:
    """Whether the pods work by another budget than the spec's. Of a run that has ended in another way it does not
    matter any more."""
    return told.is_other_budget(seen, budget) and (not is_ended(seen.job) or _noted(seen) is not None)


def projected(usage: Usage, progress: Progress) -> Usage:
    """A usage with the cost at the end: what is left costs as much a row as what is done, and none of it is there
    already."""
    if not 0 < progress.percent < 100:
        return usage
    worth = usage.cost_usd + (usage.reused.cost_usd if usage.reused is not None else 0.0)
    left = worth * (100 - progress.percent) / progress.percent
    return usage.model_copy(update={"projected_cost_usd": round(usage.cost_usd + left, 4)})


def _noted(seen: Seen) -> State | None:
    """The stop that the status tells of."""
    found = condition(seen.obj, "Stalled")
    if found is None or found["reason"] != REASON:
        return None
    return State("Suspended", REASON, found["message"], stalled=True)
