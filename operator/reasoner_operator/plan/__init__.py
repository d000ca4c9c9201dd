"""Pure planning: `Seen` -> `Plan`. `plan` is called by `reconcile`; everything below is called by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from pydantic import ValidationError

from reasoner_api.crd import CURATION, GRPO, VERIFIER
from reasoner_operator.plan import curation, grpo, verifier
from reasoner_operator.plan.compute import UnknownProfile
from reasoner_operator.plan.generation import Uneven
from reasoner_operator.plan.outcome import stalled
from reasoner_operator.plan.restored import restored
from reasoner_operator.plan.rollout import NoNodeLeft
from reasoner_operator.seen import Plan, Seen
from reasoner_operator.settings import Settings, describe

_PLANNERS: dict[str, Callable[[Seen, Settings, datetime], Plan]] = {
    CURATION.name: curation.plan,
    VERIFIER.name: verifier.plan,
    GRPO.name: grpo.plan,
}


def plan(seen: Seen, settings: Settings, now: datetime) -> Plan:
    """What to do about one object, and what to say of it."""
    try:
        made = _PLANNERS[seen.kind.name](seen, settings, now)
    except ValidationError as error:
        # The API server admits what the CRD allows; an older CRD may allow what this operator does not know.
        return stalled(seen, "InvalidSpec", f"spec.{describe(error)}", now)
    except UnknownProfile as error:
        return stalled(seen, "UnknownProfile", f"spec.{error}", now)
    except (NoNodeLeft, Uneven) as error:
        return stalled(seen, "InvalidSpec", f"spec.{error}", now)
    return replace(made, apply=(*restored(seen), *made.apply))
