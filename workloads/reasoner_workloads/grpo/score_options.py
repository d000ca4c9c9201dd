"""The command line of `reasoner score`, and what it amounts to together with a GRPORun's own file. Used by `score`."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from reasoner_api.common import Storage, VerifierPrompt
from reasoner_api.grpo import GRPORunSpec, GRPOSettings
from reasoner_api.reward import Reward
from reasoner_api.task import VerifierEndpoint
from reasoner_workloads.common.run import ConfigError
from reasoner_workloads.grpo.reward import Tokens
from reasoner_workloads.grpo.tokens import tokens_of
from reasoner_workloads.training.inputs import fetch_base_model
from reasoner_workloads.verifier.prompt import check


@dataclass(frozen=True)
class Options:
    """What is scored by what."""

    reward: Reward
    settings: GRPOSettings
    verifier: VerifierEndpoint | None
    """Rules judge when absent."""
    tokenizer: str
    storage: Storage
    question: tuple[str, ...]
    """Columns that may hold it, the first that is there."""
    ground_truth: tuple[str, ...]
    completion: tuple[str, ...]

    def tokens(self) -> Tokens:
        """The tokenizer, loaded. Raises ConfigError where there is none."""
        from transformers import AutoTokenizer

        with tempfile.TemporaryDirectory(prefix="tokenizer-") as folder:
            path = fetch_base_model(self.tokenizer, self.storage, Path(folder)).path
            try:
                return tokens_of(AutoTokenizer.from_pretrained(path))
            except (OSError, ValueError) as error:
                why = str(error).partition("\n")[0]
                raise ConfigError(f"--tokenizer: {self.tokenizer!r} is no tokenizer: {why}") from error


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="reasoner score", description="score completions as a GRPORun does")
    top.add_argument("file", type=Path, help="completions with their questions and ground truths, .jsonl or .parquet")
    top.add_argument("--run", type=Path, help="YAML of a GRPORun: its reward, verifier and base model are the defaults")
    top.add_argument(
        "--tokenizer", help="the policy's: a folder, an artifact or a Hugging Face name (default: the run's base model)"
    )
    judge = top.add_mutually_exclusive_group()
    judge.add_argument("--verifier-url", help="base URL (.../v1) of the verifier; VERIFIER_API_KEY holds its key")
    judge.add_argument("--rules", action="store_true", help="judge by rules, without a verifier")
    top.add_argument("--model", help="the verifier's name at that URL")
    top.add_argument("--api", choices=["completions", "chat"], help="how it is asked (default: completions)")
    top.add_argument("--wait", type=float, default=30.0, help="seconds for which a verifier may be away (default: 30)")
    top.add_argument("--question", help="column of the question (default: question)")
    top.add_argument("--ground-truth", help="column of the right answer (default: ground_truth, else answer)")
    top.add_argument("--completion", help="column of the completion (default: completion, else response)")
    top.add_argument("--output", "-o", choices=["table", "json"], default="table", help="form of the answer")
    top.add_argument("--rows", type=int, default=20, help="rows that the table shows at most (default: 20)")
    return top


def options(given: argparse.Namespace) -> Options:
    """What the command line and the run's file say together. Raises ConfigError naming the option."""
    spec = _spec(given.run) if given.run else None
    tokenizer = given.tokenizer or (spec and spec.base_model)
    if not tokenizer:
        raise ConfigError("--tokenizer: name the policy's tokenizer, whose tokens the length penalty counts, or --run")
    reward = spec.reward if spec else Reward()
    unavailable = reward.verifier_unavailable.model_copy(update={"wait_seconds": given.wait})
    return Options(
        reward=reward.model_copy(update={"verifier_unavailable": unavailable}),
        settings=spec.grpo if spec else GRPOSettings(),
        verifier=_verifier(given, spec),
        tokenizer=tokenizer,
        storage=spec.storage if spec else Storage(uri="file:///"),
        question=_columns(given.question, "question"),
        ground_truth=_columns(given.ground_truth, "ground_truth", "answer"),
        completion=_columns(given.completion, "completion", "response"),
    )


def _columns(named: str | None, *usual: str) -> tuple[str, ...]:
    return usual if named is None else (named,)


def _verifier(given: argparse.Namespace, spec: GRPORunSpec | None) -> VerifierEndpoint | None:
    """What judges: the command line's, else the run's."""
    own = spec.verifier if spec else None
    if given.rules or (given.verifier_url is None and own is not None and own.rules is not None):
        return None
    url = given.verifier_url or (own and own.endpoint)
    if not url:
        raise ConfigError("--verifier-url: name the verifier's URL and its --model, or judge by --rules")
    model = given.model or (own and own.model)
    if not model:
        raise ConfigError("--model: name the verifier's model as its server does")
    prompt = (own and own.prompt) or VerifierPrompt()
    check(prompt)
    return VerifierEndpoint(
        endpoint=url, model=model, prompt=prompt, api=given.api or (own.api if own else "completions")
    )


def _spec(path: Path) -> GRPORunSpec:
    """The spec of the one GRPORun in the file."""
    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"--run: cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"--run: {path} is not YAML: {error}") from error
    runs = [one for one in documents if isinstance(one, dict) and one.get("kind") == "GRPORun"]
    if len(runs) != 1:
        raise ConfigError(f"--run: {path} holds {len(runs)} GRPORuns and should hold one")
    try:
        return GRPORunSpec.model_validate(runs[0].get("spec"))
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, ('spec', *fault['loc'])))}: {fault['msg']}" for fault in error.errors())
        raise ConfigError(f"--run: {path}: {'; '.join(faults)}") from error
