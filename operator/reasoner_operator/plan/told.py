"""What the pods of a CurationJob were told by their task, which nobody changes under them, against what its spec says
now. Called by `curation` and `budget`; pure."""

from __future__ import annotations

import json

from reasoner_api.curation import Budget, CurationJobSpec
from reasoner_api.task import TASK_FILE
from reasoner_operator.seen import Object, Seen


def is_other_budget(seen: Seen, budget: Budget) -> bool:
    """Whether the pods work by another budget."""
    task = _task(seen)
    return task is not None and Budget.model_validate(task.get("budget", {})) != budget


def is_more_pods(seen: Seen, spec: CurationJobSpec) -> bool:
    """Whether more pods would be at work than the present ones have divided the job's rates by. With fewer the rates
    are kept as well."""
    task = _task(seen)
    return task is not None and (spec.parallelism or spec.shards) > task.get("parallelism", spec.shards)


def _task(seen: Seen) -> Object | None:
    """The task of the Job; None where that cannot be seen."""
    name = (seen.job or {"metadata": {}})["metadata"].get("name")
    for item in seen.config_maps:
        if item["metadata"]["name"] == name:
            found: Object = json.loads(item["data"][TASK_FILE])
            return found
    return None
