"""Whose fault a failing request is, judged beside the requests that the endpoint saw meanwhile."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import chain, count, cycle, repeat

import pytest

from reasoner_workloads.curation.models.suspicion import WITNESSES, Newcomers, Suspect

#: By what the server goes through, the share of requests that fails beside each try.
ILLNESSES = {
    "nine of ten fail": (0.9,),
    "four of five fail": (0.8,),
    "half fail": (0.5,),
    "it is away, and comes back": (*(1.0,) * 40, *(0.0,) * 5),
    "it is away now and again": (1.0, 1.0, 1.0, 0.1),
    "it gets worse and better": (0.1, 0.5, 0.9, 0.99, 0.9, 0.5),
}


def tries(suspect: Suspect, newcomers: Newcomers, shares: Iterator[float], chance: random.Random) -> Iterator[float]:
    """The failing tries of a request; the share that fails beside each."""
    for share in shares:
        yield share
        for _ in range(WITNESSES):
            newcomers.note(answered=chance.random() >= share)
        suspect.fail()


@pytest.mark.parametrize("shares", ILLNESSES.values(), ids=ILLNESSES.keys())
def test_a_request_like_others_is_not_convicted(shares: tuple[float, ...]) -> None:
    chance = random.Random(1)
    for start in range(2000):
        newcomers = Newcomers()
        suspect = Suspect(newcomers)
        told = chain(shares[start % len(shares) :], cycle(shares))
        for share in tries(suspect, newcomers, told, chance):
            if chance.random() >= share:
                break
        assert not suspect.is_convicted


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 10, 10), (0.5, 15, 60), (0.9, 60, 400)])
def test_a_poisoned_request_is_convicted_the_sooner_the_better_the_server_is(
    share: float, least: int, most: int
) -> None:
    newcomers = Newcomers()
    suspect = Suspect(newcomers)
    failing = tries(suspect, newcomers, repeat(share), random.Random(1))
    needed = next(number for number, _ in zip(count(), failing, strict=False) if suspect.is_convicted)
    assert least <= needed <= most


def test_nobody_is_convicted_without_a_witness() -> None:
    newcomers = Newcomers()
    newcomers.note(answered=True)
    suspect = Suspect(newcomers)
    for _ in range(1000):
        suspect.fail()
    assert (suspect.chance, suspect.lacking) == (1.0, WITNESSES)


def test_of_a_requests_tries_the_first_alone_tells_of_the_server() -> None:
    newcomers = Newcomers()
    poisoned, other = Suspect(newcomers), Suspect(newcomers)
    for _ in range(100):
        poisoned.fail()
    assert newcomers.count == 1
    # It is no witness of its own, and one of the other.
    assert (poisoned.lacking, other.lacking) == (WITNESSES, WITNESSES - 1)
    other.succeed()
    assert newcomers.since(0) == [False, True]
