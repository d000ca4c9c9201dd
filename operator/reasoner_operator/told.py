"""What the operator has last said of each object, so that it knows its own word when it comes back as a change.
Used by `reconcile` and `handlers`; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reasoner_operator.seen import Key, Object, key_of
from reasoner_operator.status import is_up_to_date


class Told:
    """Statuses by key; an object that is gone leaves no trace."""

    def __init__(self) -> None:
        self._statuses: dict[Key, Object] = {}

    def put(self, key: Key, status: Object | None) -> None:
        """Note what is being said of an object; None when it is gone."""
        if status is None:
            self._statuses.pop(key, None)
        else:
            self._statuses[key] = status

    def is_all_of(self, obj: Mapping[str, Any]) -> bool:
        """Whether an object that has changed is what it was but for our word of its present spec: neither was the spec
        edited, nor has somebody else written the status."""
        return is_up_to_date(obj) and self._statuses.get(key_of(obj)) == obj["status"]
