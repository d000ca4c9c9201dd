"""Makes and publishes the stand-ins: `<output>/questions`, `/verdicts`, `/verifier-base`, `/policy-base`. What is
there already, made with the same seed, is left alone. Called by `__main__` and by the benchmarks."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reasoner_api.digest import digest_of
from reasoner_api.manifest import MANIFEST_NAME, ArtifactManifest
from reasoner_workloads.common.artifact import ArtifactError, publish
from reasoner_workloads.common.store import Store, StoreError, open_store
from reasoner_workloads.tiny.questions import Question, split
from reasoner_workloads.tiny.verdicts import Verdict, sample_answer

TEST_QUESTIONS = 64
ANSWERS_A_QUESTION = 25
#: Raised whenever what is made changes: an older artifact is then made anew.
REVISION = 1
NOTE = (
    "A stand-in for a real model: it knows one-digit sums and a few unit conversions and nothing else. It exists so "
    "that the product can be shown and tested on two cores in minutes.\n"
)


def main(argv: Sequence[str]) -> int:
    """Publish what is not there yet and return the exit code."""
    top = argparse.ArgumentParser(prog="reasoner_workloads.tiny", description=__doc__)
    top.add_argument("--output", required=True, help="prefix to publish below, s3:// or file://")
    top.add_argument("--endpoint", help="URL of an S3-compatible server")
    top.add_argument("--region", default="us-east-1", help="region of the bucket")
    top.add_argument("--seed", type=int, default=1, help="seed of data, weights and pre-training")
    top.add_argument("--steps", type=int, help="steps of the policy base's pre-training")
    arguments = top.parse_args(argv)
    try:
        store = open_store(arguments.output, endpoint=arguments.endpoint, region=arguments.region)
        Stand(store, arguments.seed, arguments.steps).publish()
    except (ArtifactError, StoreError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


@dataclass(frozen=True)
class Stand:
    """The four stand-ins of one seed."""

    store: Store
    seed: int
    steps: int | None = None

    def publish(self) -> None:
        """Make and publish each that is missing."""
        makers = {
            "questions": ("dataset", self._questions),
            "verdicts": ("verifier-data", self._verdicts),
            "verifier-base": ("model", self._verifier_base),
            "policy-base": ("model", self._policy_base),
        }
        for name, (kind, make) in makers.items():
            digest = digest_of({"stand-in": name, "seed": self.seed, "steps": self.steps, "revision": REVISION})
            if self._published(name) == digest:
                print(f"{self.store.at(name)}: there already", flush=True)
                continue
            with tempfile.TemporaryDirectory(prefix="tiny-") as folder:
                rows = make(Path(folder))
                about = ArtifactManifest(type=kind, files=[], rows=rows, spec_digest=digest)
                artifact = publish(self.store, Path(folder), name, about, replace=True)
            print(f"{artifact.uri}: {artifact.digest}", flush=True)

    def _published(self, name: str) -> str | None:
        if not self.store.exists(f"{name}/{MANIFEST_NAME}"):
            return None
        return ArtifactManifest.model_validate_json(self.store.get(f"{name}/{MANIFEST_NAME}")).spec_digest

    def _split(self) -> tuple[list[Question], list[Question]]:
        return split(self.seed, TEST_QUESTIONS)

    def _questions(self, folder: Path) -> int:
        train, test = self._split()
        numbered = [question.row(number) for number, question in enumerate((*train, *test))]
        _write(numbered[: len(train)], folder / "train.parquet")
        _write(numbered[len(train) :], folder / "test.parquet")
        return len(numbered)

    def _verdicts(self, folder: Path) -> int:
        rng = random.Random(self.seed)
        train, test = self._split()
        rows = [
            Verdict(question, f"tiny-{number:04d}", sample_answer(question, rng)).row()
            for number, question in enumerate((*train, *test))
            for _ in range(ANSWERS_A_QUESTION)
        ]
        _write(rows, folder / "data.parquet")
        return len(rows)

    def _verifier_base(self, folder: Path) -> None:
        from reasoner_workloads.tiny.models import new_model, save
        from reasoner_workloads.tiny.tokenizer import build_tokenizer

        tokenizer = build_tokenizer()
        save(new_model(tokenizer, self.seed), tokenizer, folder)
        (folder / "README.md").write_text(f"# verifier-base\n\n{NOTE}Its weights are random.\n", encoding="utf-8")

    def _policy_base(self, folder: Path) -> None:
        from reasoner_workloads.tiny.models import Pretraining, new_model, pretrain, save
        from reasoner_workloads.tiny.tokenizer import build_tokenizer

        tokenizer = build_tokenizer()
        model = new_model(tokenizer, self.seed)
        how = Pretraining(seed=self.seed)
        pretrain(model, tokenizer, how if self.steps is None else Pretraining(seed=self.seed, steps=self.steps))
        save(model, tokenizer, folder)
        (folder / "README.md").write_text(f"# policy-base\n\n{NOTE}", encoding="utf-8")


def _write(rows: Sequence[dict[str, str]] | Sequence[dict[str, str | bool]], path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
