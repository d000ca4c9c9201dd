"""What a spec will take, before it runs: rows, requests, tokens, cost, time, batches. Pure; called by the command
`reasoner plan`. The shares are the recipe's (General-Reasoner, section 2), the tokens what its prompts come to."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import asdict, dataclass

from reasoner_api.curation import CurationJobSpec, Limits, ModelEndpoint, Models
from reasoner_api.grpo import GRPORunSpec
from reasoner_api.verifier import VerifierTrainingSpec
from reasoner_operator.plan.generation import faults, generation

#: Seconds of a 7B step on 4 x 8 H100 (section 4), and the share of it that scoring may take.
STEP_SECONDS, SCORING_SHARE = 247.0, 0.1


@dataclass(frozen=True)
class Assumptions:
    """What is not known before a run. Shares are of the rows that come in."""

    rows: int = 5_000_000
    """Rows of the source."""
    fetched: float = 0.6
    """Pages that still show a human answer."""
    extracted: float = 0.33
    """Of those, pages with one verifiable question: 1 M of 5 M in the paper, with `fetched`."""
    balanced: float = 0.7
    """Questions left once easy mathematics is gone."""
    unruled: float = 0.4
    """Distinct candidate answers for which no rule decides."""
    page_tokens: int = 2500
    """Prompt tokens of an extraction."""
    solution_tokens: int = 900
    """Completion tokens of a candidate."""
    hosts: int = 100
    """Sites that the pages are spread over, evenly."""
    request_seconds: float = 5.0
    """Seconds of a request in flight."""
    batch_seconds: float = 7200.0
    """Seconds of a batch of the provider's batch API; a day at most."""


@dataclass(frozen=True)
class Stage:
    """One stage's estimate."""

    name: str
    rows: int
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    seconds: float


@dataclass(frozen=True)
class Estimate:
    """What the tables show, and what does not fit."""

    facts: dict[str, float | int | str]
    stages: tuple[Stage, ...] = ()
    warnings: tuple[str, ...] = ()


def curation(spec: CurationJobSpec, given: Assumptions) -> Estimate:
    """Rows, requests, tokens, cost and time by stage. Stages overlap: the slowest gives the time."""
    rows = int(min(given.rows, spec.source.limit or given.rows) * spec.source.sample)
    fetched = int(rows * given.fetched)
    extracted = int(fetched * given.extracted)
    balanced = int(extracted * given.balanced)
    models, candidates = spec.models, spec.filters.candidates
    pods = spec.parallelism or spec.shards
    # Rows in, requests, prompt and completion tokens a request.
    asked = (
        ("extract", models.extractor, fetched, fetched, given.page_tokens, 200),
        ("annotate", models.annotator, extracted, extracted, 350, 40),
        ("sample", models.solver, balanced, balanced * candidates, 200, given.solution_tokens),
        ("filter", models.judge, balanced, int(balanced * candidates * given.unruled), 350, 150),
    )
    stages = [_recrawl(spec, rows, pods, given)]
    shared = _shared(models)
    for name, model, came, requests, prompt, written in asked:
        endpoint = model or models.extractor
        written = min(written, endpoint.max_tokens)
        tokens = requests * prompt, requests * written
        price = endpoint.price
        cost = (tokens[0] * price.input_per_million + tokens[1] * price.output_per_million) / 1e6
        stages.append(
            Stage(name, came, requests, *tokens, cost, _seconds(shared[name], requests, sum(tokens), pods, given))
        )
    whole = sum(stage.cost_usd for stage in stages), sum(s.prompt_tokens + s.completion_tokens for s in stages)
    seconds = _together(shared, stages)
    facts = {"rows": rows, "requests": sum(s.requests for s in stages[1:]), "tokens": whole[1]}
    return Estimate(
        {**facts, "costUSD": round(whole[0], 2), "hours": round(seconds / 3600, 2)},
        tuple(stages),
        tuple(_over_budget(spec, *whole)),
    )


def _seconds(endpoint: ModelEndpoint, requests: int, tokens: int, pods: int, given: Assumptions) -> float:
    """By whichever binds: concurrency, requests a minute, tokens a minute; the size of batches, where it is batches."""
    if endpoint.batch is not None:
        return math.ceil(requests / (endpoint.batch.max_requests * pods)) * given.batch_seconds
    return max(
        requests * given.request_seconds / (endpoint.concurrency * pods),
        requests / endpoint.requests_per_minute * 60 if endpoint.requests_per_minute else 0.0,
        tokens / endpoint.tokens_per_minute * 60 if endpoint.tokens_per_minute else 0.0,
    )


def _recrawl(spec: CurationJobSpec, rows: int, pods: int, given: Assumptions) -> Stage:
    """By whichever binds: requests in flight, or requests a second to one host. WARC files bring their pages along."""
    if spec.source.format == "warc" or ".warc" in spec.source.uri:
        return Stage("recrawl", rows, 0, 0, 0, 0.0, 0.0)
    each = min(given.request_seconds, spec.recrawl.timeout_seconds)
    flying = rows / (spec.recrawl.concurrency * pods) * each
    polite = rows / (given.hosts * spec.recrawl.requests_per_second_per_host)
    return Stage("recrawl", rows, rows, 0, 0, 0.0, max(flying, polite))


def _shared(models: Models) -> dict[str, ModelEndpoint]:
    """By stage, its endpoint, with the limits that all of the same URL, model and key share."""
    roles = {"extract": None, "annotate": models.annotator, "sample": models.solver, "filter": models.judge}
    own = {name: model or models.extractor for name, model in roles.items()}
    found = {}
    for name, model in own.items():
        alike = [other for other in own.values() if _place(other) == _place(model)]
        found[name] = model.model_copy(update=asdict(Limits.of(alike)))
    return found


def _place(model: ModelEndpoint) -> str:
    """What roles share limits by. Pods go by the key itself: two Secrets may hold the same, which shows there alone."""
    return model.model_dump_json(include={"base_url", "model", "api_key_secret_ref"})


def _together(shared: dict[str, ModelEndpoint], stages: list[Stage]) -> float:
    """Stages with an endpoint in common take their turns there."""
    seconds: dict[str, float] = defaultdict(float)
    for stage in stages:
        seconds[_place(shared[stage.name]) if stage.name in shared else stage.name] += stage.seconds
    return max(seconds.values())


def _over_budget(spec: CurationJobSpec, cost: float, tokens: int) -> list[str]:
    budget, found = spec.budget, []
    if budget.max_cost_usd is not None and cost > budget.max_cost_usd:
        found.append(f"budget.maxCostUSD: {budget.max_cost_usd:,.2f} is less than the estimate, {cost:,.2f}")
    if budget.max_tokens is not None and tokens > budget.max_tokens:
        found.append(f"budget.maxTokens: {budget.max_tokens:,} is less than the estimate, {tokens:,}")
    return found


def verifier(spec: VerifierTrainingSpec, rows: int | None) -> Estimate:
    """Pods, GPUs, batches and steps."""
    training, processes, facts = spec.training, _processes(spec), _pods(spec)
    batch = training.per_device_train_batch_size * training.gradient_accumulation_steps * processes
    steps = training.max_steps
    if steps is None and rows is not None:
        steps = max(1, int(rows * (1 - spec.evaluation.holdout) * training.num_train_epochs / batch))
    return Estimate({**facts, "rowsAStep": batch, "steps": steps or "set --rows: as many as the dataset has"})


def grpo(spec: GRPORunSpec, step_seconds: float, rows: int | None) -> Estimate:
    """Pods, GPUs, completions of a step and of a generation, verifications and the rate that they need. `step_seconds`
    is the time of one generation with its optimizer steps, `rows` the training questions where they are known."""
    settings, processes = spec.grpo, _processes(spec)
    step = settings.per_device_train_batch_size * settings.gradient_accumulation_steps * processes
    made = generation(spec, processes)
    warnings = faults(spec, processes)
    if not processes:
        warnings.append("rollout.mode: server takes the last of compute.nodes for itself: set at least 2")
    if spec.rollout.mode == "server" and (spec.compute.gpus_per_node or 1) % spec.rollout.tensor_parallel_size:
        warnings.append("rollout.tensorParallelSize: does not divide compute.gpusPerNode")
    if rows is not None and rows < made.prompts:
        warnings.append(f"dataset: {rows} questions are fewer than the {made.prompts} that a generation asks at a time")
    if made.steps % 1:
        warnings.append("grpo.stepsPerGeneration: is no multiple of gradientAccumulationSteps")
    return Estimate(
        {
            **_pods(spec),
            "completionsAStep": step,
            "completionsAGeneration": made.completions,
            "promptsAGeneration": made.prompts,
            "optimizerStepsAGeneration": made.steps,
            "optimizerSteps": settings.max_steps,
            "generations": round(settings.max_steps / made.steps, 1),
            "verificationsAGeneration": made.completions,
            "verificationsASecondNeeded": round(made.completions / (step_seconds * SCORING_SHARE), 1),
            "hours": round(settings.max_steps / made.steps * step_seconds / 3600, 1),
        },
        warnings=tuple(warnings),
    )


def _pods(spec: VerifierTrainingSpec | GRPORunSpec) -> dict[str, int]:
    nodes, gpus = spec.compute.nodes or 1, spec.compute.gpus_per_node or 0
    return {"pods": nodes, "gpusAPod": gpus, "gpus": nodes * gpus, "processes": _processes(spec)}


def _processes(spec: VerifierTrainingSpec | GRPORunSpec) -> int:
    """Those that train: one a GPU; one a pod where there is none. A rollout server's pod trains nothing."""
    server = isinstance(spec, GRPORunSpec) and spec.rollout.mode == "server"
    return ((spec.compute.nodes or 1) - server) * (spec.compute.gpus_per_node or 1)
