"""Spec and status of CurationJob: web-crawled questions in, a dataset of verifiable questions out
(General-Reasoner, section 2)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from reasoner_api.base import Model, SourceURI, rules
from reasoner_api.common import Compute, Scheduling, SecretKeyRef, Storage
from reasoner_api.status import Artifact, RunStatus, StageCount, Usage

AnswerType = Literal[
    "multiple_choice",
    "float",
    "integer",
    "percentage",
    "fraction",
    "expression",
    "matrix",
    "list",
    "string",
    "boolean",
    "other",
]
Category = Literal[
    "mathematics",
    "physics",
    "chemistry",
    "business",
    "finance",
    "economics",
    "biology",
    "history",
    "health",
    "law",
    "engineering",
    "computer_science",
    "psychology",
    "philosophy",
    "other",
]
#: From easiest to hardest; the order is what `minMathDifficulty` compares by.
Difficulty = Literal["primary", "middle_school", "high_school", "university", "graduate"]

#: The stages of the pipeline in their order, as `.status.stages` names them.
STAGES = ("source", "recrawl", "extract", "annotate", "balance", "sample", "filter", "deduplicate")


SourceFormat = Literal["jsonl", "parquet", "csv", "warc"]
ColumnName = Annotated[str, Field(min_length=1, max_length=128)]


class Columns(Model):
    """Which columns of the source hold what. Those of WebInstruct's published shapes are recognised by themselves."""

    id: ColumnName | None = None
    """Column of the row's own id; `id` or `index` when absent, and a hash of the URL where a row has neither."""
    url: ColumnName | None = None
    """Column of the page that the question came from; `url`, `source_url`, `page_url`, `webpage` or `link` when
    absent."""
    question: ColumnName | None = None
    """Column of the crawled text, a hint for finding the question on its page; `orig_question`, `question`,
    `instruction`, `query` or `text` when absent."""


class Source(Model):
    """The list of crawled questions to start from (WebInstruct's shape)."""

    uri: SourceURI
    """File with one row a question: `s3://`, `file://` or `http(s)://`. With a `/` at its end: all files below it,
    in the order of their names."""
    format: SourceFormat | None = None
    """Format of the files; recognised by name and content when absent. Compression (gzip, Zstandard) always is. Of
    WARC files (Common Crawl) each response with HTML is a row, and its page is taken from there: nothing is fetched."""
    columns: Columns = Columns()
    """Names of the columns."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Rows to take from the start, before sampling; all when absent."""
    sample: Annotated[float, Field(ge=0.000001, le=1)] = 1.0
    """Share of the rows to take, chosen by a hash of their URL: the same rows whatever their order and the shards."""


CIDR = Annotated[str, Field(pattern=r"^[0-9a-fA-F.:]+(/[0-9]{1,3})?$", max_length=64)]
HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$", max_length=253)]


class Recrawl(Model):
    """How the original pages are fetched again.

    Only public addresses are connected to, whatever a page links to or a name resolves to: private, loopback,
    link-local (a cloud's metadata), shared, multicast and reserved ones are dropped as `forbidden_address`, IPv4 inside
    IPv6 included. Proxies of the environment are not used."""

    requests_per_second_per_host: Annotated[float, Field(ge=0.01, le=1000)] = 2.0
    """Requests a second to one host, over this job's pods together."""
    concurrency: Annotated[int, Field(ge=1, le=4096)] = 64
    """Requests in flight in one pod, all hosts together."""
    concurrency_per_host: Annotated[int, Field(ge=1, le=256)] = 4
    """Requests in flight to one host from one pod."""
    timeout_seconds: Annotated[float, Field(ge=0.1, le=600)] = 30.0
    """Seconds until a fetch counts as failed, from the connection to the last byte."""
    max_page_bytes: Annotated[int, Field(ge=1024)] = 4_194_304
    """Bytes of a page after decompression beyond which it is dropped."""
    max_redirects: Annotated[int, Field(ge=0, le=20)] = 5
    """Redirects followed."""
    user_agent: Annotated[str, Field(min_length=1, max_length=256)] = "reasoner-curation/0.1 (+https://reasoner.dev)"
    """User agent sent and looked up in robots.txt."""
    respect_robots_txt: bool = True
    """Whether pages that robots.txt forbids are dropped."""
    cache_pages: bool = True
    """Whether pages are kept under `cache/pages/` of the storage, for pods that take over and for later runs."""
    max_age_seconds: Annotated[int, Field(ge=0)] = 604_800
    """Seconds for which a kept page is used without asking its server; an older one is asked for again, by its ETag or
    Last-Modified where it has one."""
    allow_addresses: Annotated[list[CIDR], Field(max_length=64)] = Field(default_factory=list)
    """Addresses (CIDR) that are connected to although they are not public, on any port: a laboratory's own web."""
    deny_addresses: Annotated[list[CIDR], Field(max_length=256)] = Field(default_factory=list)
    """Addresses (CIDR) that are not connected to although they are public, such as a cluster's own; wins over
    `allowAddresses`."""
    allow_ports: Annotated[list[Annotated[int, Field(ge=1, le=65535)]], Field(min_length=1, max_length=64)] = Field(
        default=[80, 443, 8080, 8443]
    )
    """Ports that are connected to."""
    allow_hosts: Annotated[list[HostName], Field(max_length=10000)] = Field(default_factory=list)
    """Hosts to fetch from, each with all names below it (`example.org` covers `www.example.org`); all when empty."""
    deny_hosts: Annotated[list[HostName], Field(max_length=10000)] = Field(default_factory=list)
    """Hosts not to fetch from, each with all names below it; wins over `allowHosts`."""


class Price(Model):
    """What a model's tokens cost."""

    input_per_million: Annotated[float, Field(ge=0)] = 0.0
    """US dollars per million prompt tokens."""
    output_per_million: Annotated[float, Field(ge=0)] = 0.0
    """US dollars per million completion tokens."""


class Batch(Model):
    """The provider's batch API (OpenAI's `/files` and `/batches` below the base URL): half the price, answers within a
    day. `price` is then that of the batch API."""

    max_requests: Annotated[int, Field(ge=1, le=50_000)] = 10_000
    """Requests of a batch at most."""
    wait_seconds: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    """Seconds for which the first request of a batch waits for others."""
    poll_seconds: Annotated[float, Field(ge=0.1, le=3600)] = 30.0
    """Seconds between two looks whether a batch is over."""


class ModelEndpoint(Model):
    """An OpenAI-compatible chat endpoint."""

    base_url: Annotated[
        str,
        Field(
            pattern=r"^https?://([^/?#@\s]*@)?(\[[0-9A-Fa-f:.]+\]|[^/?#@:\[\]\s]+)(:[0-9]{1,5})?([/?#]\S*)?$",
            max_length=2048,
        ),
    ]
    """Base URL of the API, up to and including `/v1`."""
    model: Annotated[str, Field(min_length=1, max_length=256)]
    """Model name sent with each request."""
    api_key_secret_ref: SecretKeyRef | None = None
    """Secret key that holds the API key; no key is sent when absent."""
    requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    """Requests a minute, over this job's pods together; unlimited when absent."""
    tokens_per_minute: Annotated[int, Field(ge=1)] | None = None
    """Tokens a minute, prompt and completion, over this job's pods together; unlimited when absent."""
    concurrency: Annotated[int, Field(ge=1, le=4096)] = 32
    """Requests in flight in one pod."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """Sampling temperature; the role's own default when absent (1.0 for the solver, 0 otherwise)."""
    max_tokens: Annotated[int, Field(ge=1)] = 4096
    """Completion tokens at most."""
    timeout_seconds: Annotated[float, Field(ge=0.1, le=3600)] = 120.0
    """Seconds until a request counts as failed and is tried again."""
    hedge_after_seconds: Annotated[float, Field(ge=0.1, le=3600)] | None = None
    """Seconds after which a request without an answer is sent a second time, and the first answer counts: against
    servers that now and then let one hang. Counted as paid twice. Never when absent."""
    price: Price = Price()
    """Price of its tokens, for `.status.usage` and the budget."""
    batch: Batch | None = None
    """Whether requests go through the provider's batch API (`{}` is enough); one by one when absent."""


@dataclass(frozen=True)
class Limits:
    """What roles ask together that name the same server, model and key."""

    concurrency: int
    """Requests in flight in one pod: as many as the role with the most may have."""
    requests_per_minute: int | None
    """The lowest that a role sets; likewise the next."""
    tokens_per_minute: int | None

    @classmethod
    def of(cls, specs: Collection[ModelEndpoint]) -> Limits:
        """Those of the roles together."""
        return cls(
            concurrency=max(spec.concurrency for spec in specs),
            requests_per_minute=_lowest(spec.requests_per_minute for spec in specs),
            tokens_per_minute=_lowest(spec.tokens_per_minute for spec in specs),
        )


def _lowest(limits: Iterable[int | None]) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)


class Models(Model):
    """The models of the pipeline's roles. Roles that name the same `baseURL`, `model` and key share their rates, of
    which the lowest holds, and their requests in flight, as many as the one with the most."""

    extractor: ModelEndpoint
    """Finds the question and its short verifiable answer on a page (the paper: Gemini-1.5-Pro)."""
    annotator: ModelEndpoint | None = None
    """Names answer type, subject and difficulty (the paper: Gemini-2.0-Flash); the extractor when absent."""
    solver: ModelEndpoint | None = None
    """Writes the candidate solutions (the paper: Gemini-2.0-Flash); the extractor when absent."""
    judge: ModelEndpoint | None = None
    """Decides whether a candidate's answer is equivalent to the page's; the extractor when absent."""


class Benchmark(Model):
    """Questions that the dataset must not hold."""

    uri: SourceURI
    """File, or all files below a prefix that ends in `/`: the forms of `source`."""
    format: Literal["jsonl", "parquet", "csv"] | None = None
    """Format of the files; recognised when absent."""
    columns: list[ColumnName] = Field(default=["question"], min_length=1, max_length=16)
    """Columns that hold the benchmark's text."""


class Filters(Model):
    """What is dropped. Length, language and decontamination look at what was extracted, before any other model is
    asked."""

    model_config = rules(
        ("self.minCorrect <= self.maxCorrect", "minCorrect may not be greater than maxCorrect"),
        ("self.maxCorrect <= self.candidates", "maxCorrect may not be greater than candidates"),
        (
            "!has(self.maxQuestionLength) || self.minQuestionLength <= self.maxQuestionLength",
            "minQuestionLength may not be greater than maxQuestionLength",
        ),
    )

    min_question_length: Annotated[int, Field(ge=0)] = 0
    """Questions of fewer characters are dropped."""
    max_question_length: Annotated[int, Field(ge=1)] | None = None
    """Questions of more characters are dropped; none when absent."""
    max_answer_length: Annotated[int, Field(ge=1)] | None = None
    """Questions whose answer has more characters are dropped; none when absent."""
    languages: Annotated[list[Annotated[str, Field(pattern=r"^[a-z]{2}$")]], Field(max_length=100)] = Field(
        default_factory=list
    )
    """Languages that are kept (ISO 639-1, such as `en`); all when empty. Formulas and names are not looked at, and a
    question with too few other words is kept."""
    decontaminate: Annotated[list[Benchmark], Field(max_length=64)] = Field(default_factory=list)
    """Benchmarks whose questions are dropped: those that share a run of `decontaminationWords` words with one."""
    decontamination_words: Annotated[int, Field(ge=3, le=64)] = 13
    """Words of a shared run; a benchmark's shorter questions count when they are the same throughout."""
    near_duplicate_similarity: Annotated[float, Field(ge=0.5, le=1)] | None = None
    """Questions at least so similar to an earlier one (Jaccard, runs of three words, by MinHash) are dropped; only
    equal ones when absent."""
    min_math_difficulty: Difficulty = "university"
    """Mathematics easier than this is dropped."""
    candidates: Annotated[int, Field(ge=1, le=64)] = 8
    """Candidate solutions sampled for each question."""
    min_correct: Annotated[int, Field(ge=0, le=64)] = 1
    """Questions with fewer right candidates are dropped as unsolvable, ambiguous or noisy."""
    max_correct: Annotated[int, Field(ge=0, le=64)] = 7
    """Questions with more right candidates are dropped as trivial."""


class Budget(Model):
    """A hard stop for all shards together, exceeded by no more than the requests in flight when it is spent. The run
    then stalls (`BudgetExceeded`), what was answered is kept, and raising the budget lets it go on from there."""

    max_cost_usd: Annotated[float, Field(ge=0.0)] | None = None
    """US dollars at most, by the prices in `models`."""
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """Tokens at most, prompt and completion."""


class Split(Model):
    """How the result is split."""

    test: Annotated[int, Field(ge=0)] = 100
    """Questions of the test split, at most a fifth of all."""


class CurationWork(Model):
    """The part of the spec that decides what the dataset will be: the pods read it, the digest covers it."""

    source: Source
    """What to start from."""
    recrawl: Recrawl = Recrawl()
    """How pages are fetched."""
    models: Models
    """The models that extract, annotate, solve and judge."""
    filters: Filters = Filters()
    """What is dropped."""
    shards: Annotated[int, Field(ge=1, le=10000)] = 1
    """Pods that share the work: each takes a part of the source that no other is at, until none is left. The result is
    the same with any number."""
    split: Split = Split()
    """Train and test split."""
    storage: Storage
    """Where artifacts go."""


class CurationJobSpec(CurationWork):
    """Desired state of a CurationJob. Immutable but for `suspend`, `parallelism` and `budget`."""

    model_config = rules(
        (
            "!has(self.parallelism) || self.parallelism <= self.shards",
            "parallelism may not be greater than shards",
        ),
    )

    suspend: bool = False
    """Whether the work is paused; mutable."""
    parallelism: Annotated[int, Field(ge=1, le=10000)] | None = None
    """Pods at one time, which share the job's rates; all shards at once when absent; mutable, raised with a new Job."""
    budget: Budget = Budget()
    """Limits of money and tokens; mutable."""
    compute: Compute = Compute()
    """Where and on what the pods run."""
    scheduling: Scheduling = Scheduling()
    """How the work is queued and retried."""


class CurationArtifacts(Model):
    """What the run has published."""

    dataset: Artifact | None = None
    """The verifiable questions (Parquet, train and test)."""
    verifier_data: Artifact | None = None
    """The candidates and the judge's verdicts on them: the verifier's training data (Parquet)."""
    report: Artifact | None = None
    """The funnel, what was kept and what it cost, as one HTML file."""


class CurationJobStatus(RunStatus):
    """Observed state of a CurationJob."""

    stages: list[StageCount] = Field(default_factory=list)
    """The funnel: rows in and out of each stage, with the reasons of what was dropped."""
    usage: Usage | None = None
    """Requests, tokens and cost so far."""
    artifacts: CurationArtifacts | None = None
    """What was published."""
