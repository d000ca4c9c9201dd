"""`python -m reasoner_workloads`: the one command of every workload image."""

from __future__ import annotations

import argparse
import importlib
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from reasoner_workloads.common.artifact import ArtifactError, fetch, verify
from reasoner_workloads.common.store import StoreError
from reasoner_workloads.verifier import leaving

#: Workloads with arguments of their own; imported only when asked for, since some of them load torch.
WORKLOADS = {
    "curation": ("reasoner_workloads.curation.run", "curate a dataset of verifiable questions"),
    "verifier": ("reasoner_workloads.verifier.run", "train an answer verifier"),
    "grpo": ("reasoner_workloads.grpo.run", "train a reasoning model by GRPO"),
    "score": ("reasoner_workloads.grpo.score", "score completions as a GRPO run does"),
    "serve": ("reasoner_workloads.verifier.serve", "serve a verifier over the OpenAI API"),
}


def parser() -> argparse.ArgumentParser:
    """The command line; a workload's own arguments are its own parser's."""
    top = argparse.ArgumentParser(prog="reasoner_workloads", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    for name, (_, text) in WORKLOADS.items():
        commands.add_parser(name, help=text, add_help=False)
    fetching = commands.add_parser("fetch", help="download an artifact, held to its digests")
    fetching.add_argument("--uri", required=True, help="prefix of the artifact, s3:// or file://")
    fetching.add_argument("--dest", required=True, type=Path, help="folder to write it to")
    fetching.add_argument("--hooks", type=Path, help="folder for the module that a server of the artifact runs with")
    verifying = commands.add_parser("verify", help="read an artifact whole and hold it to its manifest")
    verifying.add_argument("uri", help="prefix of the artifact, s3:// or file://")
    for command in (fetching, verifying):
        command.add_argument("--digest", help="digest that it must have")
        command.add_argument("--endpoint", help="URL of an S3-compatible server")
        command.add_argument("--region", default="us-east-1", help="region of the bucket")
    return top


def _fetch(arguments: argparse.Namespace) -> None:
    where = {"endpoint": arguments.endpoint, "region": arguments.region, "digest": arguments.digest}
    print(fetch(arguments.uri, arguments.dest, **where))
    if arguments.hooks is not None:
        arguments.hooks.mkdir(parents=True, exist_ok=True)
        shutil.copy(leaving.__file__, arguments.hooks)


def _verify(arguments: argparse.Namespace) -> None:
    where = {"endpoint": arguments.endpoint, "region": arguments.region, "digest": arguments.digest}
    manifest = verify(arguments.uri, **where)
    for entry in manifest.files:
        print(f"{entry.sha256}  {entry.size:>12}  {entry.path}")
    print(f"digest {manifest.digest()}")
    print("OK")


def main(argv: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    if argv and argv[0] in WORKLOADS:
        module = importlib.import_module(WORKLOADS[argv[0]][0])
        return int(module.main(list(argv[1:])))
    arguments = parser().parse_args(argv)
    try:
        {"fetch": _fetch, "verify": _verify}[arguments.command](arguments)
    except (ArtifactError, StoreError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
