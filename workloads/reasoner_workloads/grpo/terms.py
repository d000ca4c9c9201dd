"""Rewards of the user's own, added to the paper's (`reward.terms`): entry points of installed packages. Loaded by
`run`, so that a wrong one is found before anything heavy starts; used by `scoring`.

An entry point of the group names a factory. It is called with the term's `args` and returns a reward function as TRL
knows them, sync or async: it takes keyword arguments (prompts, completions, completion_ids, question, answer: the
ground truth; and of this project extracted: the short answers or None, verdict: True, False or None) and returns one
number, or None for nothing, a completion. Factories that TRL brings, such as `get_soft_overlong_punishment`, will do
as they are."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from numbers import Real
from typing import Any

from reasoner_api.reward import Reward, RewardTerm
from reasoner_workloads.common.run import ConfigError, WorkloadError
from reasoner_workloads.grpo.reward import CORRECT, LENGTH, NO_ANSWER, Response

GROUP = "reasoner.rewards"
#: What `load` leaves to the paper.
TAKEN = frozenset({NO_ANSWER, CORRECT, LENGTH})


@dataclass(frozen=True)
class Term:
    """A loaded term."""

    name: str
    weight: float
    function: Callable[..., Any]

    async def __call__(
        self, responses: Sequence[Response], answers: Sequence[str | None], verdicts: Sequence[bool | None]
    ) -> list[float]:
        """What it adds to each response's reward. Raises WorkloadError for what is no list of numbers, and for what it
        raises itself."""
        arguments = {
            "prompts": [one.prompt for one in responses],
            "completions": [one.text for one in responses],
            "completion_ids": [list(one.ids) for one in responses],
            "question": [one.question for one in responses],
            "answer": [one.ground_truth for one in responses],
            "extracted": list(answers),
            "verdict": list(verdicts),
        }
        try:
            if inspect.iscoroutinefunction(self.function):
                found = await self.function(**arguments)
            else:  # in a thread: requests to the verifier are under way meanwhile
                found = await asyncio.to_thread(self.function, **arguments)
        except Exception as error:  # whatever another's code raises is its fault, and must name it
            raise self._wrong(f"it raised {type(error).__name__}: {error}") from error
        return [self.weight * value for value in self._checked(found, len(responses))]

    def _checked(self, found: Any, count: int) -> list[float]:
        values = [0.0 if value is None else value for value in found] if isinstance(found, Iterable) else []
        if len(values) != count:
            raise self._wrong(f"{count} numbers were wanted, one a completion, and it returned {found!r:.200}")
        for value in values:
            if not isinstance(value, Real) or not math.isfinite(value):
                raise self._wrong(f"{value!r:.100} is no finite number")
        return [float(value) for value in values]

    def _wrong(self, why: str) -> WorkloadError:
        return WorkloadError(f"reward.terms: the function of {self.name!r} does not do: {why}", reason="RewardTerm")


def load(reward: Reward) -> list[Term]:
    """The terms of the spec. Raises ConfigError, naming the field, for one that is not installed or cannot be made."""
    names = [term.name for term in reward.terms]
    for place, name in enumerate(names):
        if name in TAKEN or name in names[:place]:
            raise ConfigError(f"reward.terms[{place}].name: {name!r} is taken; give each term a name of its own")
    return [Term(term.name, term.weight, _made(place, term)) for place, term in enumerate(reward.terms)]


def _made(place: int, term: RewardTerm) -> Callable[..., Any]:
    at = f"reward.terms[{place}]"
    try:
        factory = _entry(at, term.name).load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{at}.name: the entry point {term.name!r} cannot be loaded: {error}") from error
    if not callable(factory):
        raise ConfigError(f"{at}.name: the entry point {term.name!r} is no function that makes a reward function")
    try:
        inspect.signature(factory).bind(**term.args)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{at}.args: {term.name!r} does not take them: {error}") from error
    function = factory(**term.args)
    if not callable(function):
        raise ConfigError(f"{at}.name: {term.name!r} makes {function!r:.100}, which is no reward function")
    return function  # type: ignore[no-any-return]


def _entry(at: str, name: str) -> EntryPoint:
    installed = entry_points(group=GROUP)
    found = [entry for entry in installed if entry.name == name]
    if len(found) == 1:
        return found[0]
    if found:
        where = ", ".join(entry.dist.name if entry.dist else entry.value for entry in found)
        raise ConfigError(f"{at}.name: {name!r} is installed by several packages: {where}; leave one of them")
    others = ", ".join(sorted(installed.names)) or "none"
    raise ConfigError(
        f"{at}.name: no package of this image installs an entry point {name!r} in the group {GROUP} (installed: "
        f"{others}); use an image with the package that does (compute.image)"
    )
