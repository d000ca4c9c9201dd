"""The judge that a spec asks for. Called by `train` and `score`."""

from __future__ import annotations

from reasoner_api.reward import Reward
from reasoner_api.task import VerifierEndpoint
from reasoner_workloads.grpo.circuit import Patience
from reasoner_workloads.grpo.judging import Judge
from reasoner_workloads.grpo.rules_judge import Rules, RulesFirst
from reasoner_workloads.grpo.verifier_client import VerifierClient


def open_judge(verifier: VerifierEndpoint | None, reward: Reward, patience: Patience = Patience()) -> Judge:  # noqa: B008
    """The verifier, with rules before it where the spec says so; rules alone where there is no verifier."""
    if verifier is None:
        return Rules()
    client = VerifierClient(verifier, reward, patience)
    return RulesFirst(client) if reward.rules_first else client
