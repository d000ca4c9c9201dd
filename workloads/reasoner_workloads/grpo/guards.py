"""What a run is watched for while nobody looks: a loss that is no number, a reward that is lost again, a policy that
runs away, responses without end. Decided from the trainer's log alone, which its checkpoints carry, so that a resumed
run knows what came before; every process reads the same figures and decides alike. Used by `guard`; pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from reasoner_api.guards import Action, Guards

Entry = Mapping[str, Any]
#: Entries of TRL's log.
REWARD, KL, LENGTH = "reward", "kl", "completions/mean_length"
#: Entry of ours: the reason of a guard that has fired.
FIRED = "guard"


@dataclass(frozen=True)
class Finding:
    """A guard that fires."""

    reason: str
    """One word for programs."""
    action: Action
    message: str
    """What was found, in a sentence without its end."""


def findings(history: Sequence[Entry], guards: Guards) -> list[Finding]:
    """The guards that the newest entry of the log makes fire. One that has fired starts afresh with what follows."""
    newest = history[-1]
    found = [_not_finite(history, guards)]
    if newest.get(REWARD) is not None:  # a generation's first step: the others repeat nothing of these figures
        found += [_collapse(history, guards), _run_away(history, guards), _too_long(history, guards)]
    return [finding for finding in found if finding is not None]


def mark(finding: Finding, step: int) -> dict[str, Any]:
    """The log's entry of a guard that has fired."""
    return {FIRED: finding.reason, "action": finding.action, "message": finding.message, "step": step}


def _not_finite(history: Sequence[Entry], guards: Guards) -> Finding | None:
    bad = _bad(history[-1])
    before = next((entry for entry in reversed(history[:-1]) if "loss" in entry), {})
    if not bad or _bad(before):
        return None
    (name, value), *_ = bad.items()
    what = {"loss": "loss", "grad_norm": "gradient's norm"}[name]
    hint = "lower grpo.learningRate or grpo.maxGradNorm; the checkpoint before is kept"
    return Finding("LossNotFinite", guards.nan, f"the {what} is {value} at step {history[-1]['step']}: {hint}")


def _bad(entry: Entry) -> dict[str, float]:
    figures = {name: float(entry[name]) for name in ("loss", "grad_norm") if entry.get(name) is not None}
    return {name: value for name, value in figures.items() if not math.isfinite(value)}


def _collapse(history: Sequence[Entry], guards: Guards) -> Finding | None:
    guard = guards.reward_collapse
    rewards = _since(history, "RewardCollapse", REWARD)
    means = _means(rewards, guard.window)
    if not means:
        return None
    (best_step, best), (_, last) = max(means, key=lambda item: item[1]), means[-1]
    if best - last <= guard.drop:
        return None
    return Finding(
        "RewardCollapse",
        guard.action,
        f"the mean reward of the last {_generations(guard.window)} is {last:.3f}, {best - last:.3f} below the best "
        f"of this run, {best:.3f} up to step {best_step}",
    )


def _run_away(history: Sequence[Entry], guards: Guards) -> Finding | None:
    guard = guards.kl
    means = _means(_since(history, "KLBlowUp", KL), guard.window)
    if not means or means[-1][1] <= guard.max:
        return None
    return Finding(
        "KLBlowUp",
        guard.action,
        f"the mean KL divergence from the base model over the last {_generations(guard.window)} is {means[-1][1]:.3g} "
        f"nats a token, above {guard.max:g}",
    )


def _too_long(history: Sequence[Entry], guards: Guards) -> Finding | None:
    guard = guards.response_length
    means = _means(_since(history, "LengthBlowUp", LENGTH), guard.window)
    if not means or means[-1][1] <= guard.max_growth * means[0][1]:
        return None
    first, last = means[0][1], means[-1][1]
    return Finding(
        "LengthBlowUp",
        guard.action,
        f"responses are {last:.0f} tokens long in the mean of the last {_generations(guard.window)}, and were "
        f"{first:.0f} at the beginning",
    )


def _since(history: Sequence[Entry], reason: str, figure: str) -> list[tuple[int, float]]:
    """Step and figure of each generation since the guard last fired."""
    fired = [index for index, entry in enumerate(history) if entry.get(FIRED) == reason]
    rest = history[fired[-1] + 1 :] if fired else history
    generations = (entry for entry in rest if entry.get(REWARD) is not None and entry.get(figure) is not None)
    return [(int(entry["step"]), float(entry[figure])) for entry in generations]


def _means(figures: Sequence[tuple[int, float]], window: int) -> list[tuple[int, float]]:
    """Moving means: the step of a window's end, and its mean."""
    values = [value for _, value in figures]
    return [(figures[end - 1][0], fmean(values[end - window : end])) for end in range(window, len(values) + 1)]


def _generations(window: int) -> str:
    return "generation" if window == 1 else f"{window} generations"
