"""Which changes of an object are but the operator's own word."""

from __future__ import annotations

from typing import Any

import pytest

from reasoner_operator.seen import key_of
from reasoner_operator.told import Told
from support.objects import custom_resource

STATUS = {"phase": "Running", "observedGeneration": 1, "progress": {"percent": 3}}
CHANGES: dict[str, tuple[dict[str, Any], int, bool]] = {
    "our own status": (STATUS, 1, True),
    "a status that somebody else has written": ({**STATUS, "phase": "Succeeded"}, 1, False),
    "a status that somebody has taken a part of away": ({"phase": "Running", "observedGeneration": 1}, 1, False),
    "our status of an earlier spec": (STATUS, 2, False),
}


@pytest.mark.parametrize("sentence", CHANGES)
def test_what_is_ours(sentence: str) -> None:
    status, generation, ours = CHANGES[sentence]
    obj = custom_resource("GRPORun", status=status)
    obj["metadata"]["generation"] = generation
    told = Told()
    assert not told.is_all_of(obj), "nothing was said yet"
    told.put(key_of(obj), STATUS)
    assert told.is_all_of(obj) is ours
    told.put(key_of(obj), None)
    assert not told.is_all_of(obj)


def test_an_object_that_nobody_has_spoken_of_is_not_ours() -> None:
    assert not Told().is_all_of(custom_resource("GRPORun"))
