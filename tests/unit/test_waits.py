"""Who waits for whom."""

from __future__ import annotations

from reasoner_operator.seen import Key
from reasoner_operator.waits import Waits

RUN, OTHER = Key("GRPORun", "x", "run"), Key("GRPORun", "x", "other")
DATA, JUDGE = Key("CurationJob", "x", "data"), Key("VerifierTraining", "x", "judge")


def test_each_awaited_object_knows_all_that_wait() -> None:
    waits = Waits()
    waits.put(RUN, frozenset({DATA, JUDGE}))
    waits.put(OTHER, frozenset({DATA}))
    assert (waits.of(DATA), waits.of(JUDGE)) == ({RUN, OTHER}, {RUN})


def test_what_is_waited_for_anew_replaces_what_was() -> None:
    waits = Waits()
    waits.put(RUN, frozenset({DATA}))
    waits.put(RUN, frozenset({JUDGE}))
    assert (waits.of(DATA), waits.of(JUDGE)) == (frozenset(), {RUN})


def test_nothing_is_left_of_those_that_wait_no_more() -> None:
    waits = Waits()
    for _ in range(3):
        waits.put(RUN, frozenset({DATA, JUDGE}))
        assert waits.of(OTHER) == frozenset()
        waits.put(RUN, frozenset())
    assert len(waits) == 0
    assert (dict(waits._waiters), waits._awaited) == ({}, {})
