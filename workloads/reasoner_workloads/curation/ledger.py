"""What the models were asked and what it cost, held to the shard's part of the budget. Used by `llm`."""

from __future__ import annotations

from dataclasses import dataclass

from reasoner_api.curation import Budget, Price
from reasoner_api.status import Usage
from reasoner_workloads.common.run import ConfigError


def added(one: Usage, other: Usage) -> Usage:
    """The sum of two usages."""
    return Usage(
        requests=one.requests + other.requests,
        prompt_tokens=one.prompt_tokens + other.prompt_tokens,
        completion_tokens=one.completion_tokens + other.completion_tokens,
        # Rounded, so that the same requests in another order cost the same.
        cost_usd=round(one.cost_usd + other.cost_usd, 9),
    )


def less(one: Usage, other: Usage) -> Usage:
    """What one usage has beyond another."""
    return Usage(
        requests=one.requests - other.requests,
        prompt_tokens=one.prompt_tokens - other.prompt_tokens,
        completion_tokens=one.completion_tokens - other.completion_tokens,
        cost_usd=round(one.cost_usd - other.cost_usd, 9),
    )


@dataclass
class Ledger:
    """One shard's usage, against an even part of the job's budget."""

    budget: Budget
    shards: int
    usage: Usage

    def enter(self, prompt_tokens: int, completion_tokens: int, price: Price) -> None:
        """Count one answered request."""
        cost = (prompt_tokens * price.input_per_million + completion_tokens * price.output_per_million) / 1e6
        one = Usage(
            requests=1, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens, cost_usd=round(cost, 9)
        )
        self.usage = added(self.usage, one)

    def check(self) -> None:
        """Raise ConfigError (BudgetExceeded) once the shard's part is spent; requests in flight are still paid."""
        tokens = self.usage.prompt_tokens + self.usage.completion_tokens
        if self.budget.max_tokens is not None and tokens >= self.budget.max_tokens / self.shards:
            raise self._exceeded(f"{tokens} tokens", f"budget.maxTokens: {self.budget.max_tokens}")
        if self.budget.max_cost_usd is not None and self.usage.cost_usd >= self.budget.max_cost_usd / self.shards:
            raise self._exceeded(f"{self.usage.cost_usd:.4f} USD", f"budget.maxCostUSD: {self.budget.max_cost_usd:g}")

    def _exceeded(self, spent: str, limit: str) -> ConfigError:
        part = f" (this shard's part is 1/{self.shards})" if self.shards > 1 else ""
        return ConfigError(f"{limit} is spent{part}: {spent} so far", reason="BudgetExceeded")
