"""The `reasoner` command (also `kubectl reasoner`)."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import logging
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from reasoner_operator import __version__
from reasoner_operator.cli_plan import plan
from reasoner_operator.settings import SettingsError, load_settings

app = typer.Typer(
    name="reasoner",
    help="Curate verifiable questions, train an answer verifier, train a reasoning model by GRPO: on Kubernetes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's time, level, logger, message and traceback."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def _set_up_logging(log_format: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if log_format == "json" else text)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # One line for every event handled says nothing; what the reconciler does with it, it logs itself.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)


def _kubeconfig(given: Path | None) -> Path | None:
    """The kubeconfig to use; None inside a cluster."""
    if given is not None:
        return given
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return None
    named = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    return Path(named) if named else Path.home() / ".kube" / "config"


@app.command()
def operator(
    kubeconfig: Annotated[
        Path | None, typer.Option(help="Kubeconfig file; the pod's service account inside a cluster.")
    ] = None,
    namespace: Annotated[list[str] | None, typer.Option(help="Namespace to watch; repeatable; all by default.")] = None,
    settings: Annotated[Path | None, typer.Option(help="Settings file (images, profiles, ...).")] = None,
    health_port: Annotated[int | None, typer.Option(help="Port that serves /healthz, /readyz and /metrics.")] = None,
    lease: Annotated[
        str | None,
        typer.Option(help="NAMESPACE/NAME of a Lease: of several replicas its holder works, the others stand by."),
    ] = None,
    scan: Annotated[
        bool, typer.Option(help="Whether CRDs are watched, so that the operator may start before they are installed.")
    ] = True,
    pod_access: Annotated[
        Literal["direct", "proxy"] | None,
        typer.Option(help="How pods are asked for progress; by default direct inside a cluster, proxy outside."),
    ] = None,
    log_format: Annotated[Literal["text", "json"], typer.Option(help="Log format.")] = "text",
) -> None:
    """Run the operator until it is stopped."""
    # kopf and the client take a while to load; other commands do without them.
    from reasoner_operator.cluster import Access
    from reasoner_operator.lease import LeaseLost
    from reasoner_operator.main import Election, Options, operate

    _set_up_logging(log_format)
    try:
        loaded = load_settings(settings)
    except SettingsError as error:
        raise typer.BadParameter(str(error), param_hint="--settings") from error
    config = _kubeconfig(kubeconfig)
    if config is not None and not config.is_file():
        raise typer.BadParameter(f"{config} does not exist: name a kubeconfig file", param_hint="--kubeconfig")
    pods = pod_access or ("direct" if config is None else "proxy")
    election = None
    if lease is not None:
        where, slash, name = lease.partition("/")
        if not (where and slash and name):
            raise typer.BadParameter(f"{lease!r} is not NAMESPACE/NAME", param_hint="--lease")
        # The pod's name, and something that tells one process from the next.
        election = Election(where, name, f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}")
    access = Access(kubeconfig=config, pods=pods)
    options = Options(loaded, access, tuple(namespace or ()), health_port, scan, election)
    try:
        asyncio.run(operate(options))
    except* LeaseLost as lost:
        logging.getLogger(__name__).error("%s", lost.exceptions[0])
        raise SystemExit(1) from None


@app.command()
def verify(
    uri: Annotated[str, typer.Argument(help="Prefix of an artifact: s3://bucket/prefix or file:///path.")],
    endpoint: Annotated[str | None, typer.Option(help="URL of an S3-compatible server.")] = None,
    region: Annotated[str, typer.Option(help="Region of the bucket.")] = "us-east-1",
) -> None:
    """Check every file of a published artifact against its manifest."""
    place = ["--endpoint", endpoint] if endpoint else []
    _hand_over("artifacts", ("boto3",), "verify", uri, "--region", region, *place)


@app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def score(context: typer.Context) -> None:
    """Score completions by a GRPORun's reward: `reasoner score --help`."""
    # The options are the workload's own: they name what trains.
    _hand_over("trainer", ("reasoner_workloads", "transformers", "aiohttp"), "score", *context.args)


def _hand_over(extra: str, needs: Sequence[str], *command: str) -> NoReturn:
    """Run a command of the workloads, which the operator's side never imports, and end as it ends."""
    if any(importlib.util.find_spec(name) is None for name in needs):
        raise typer.BadParameter(f"needs the extra `{extra}`: pip install 'reasoner-operator[{extra}]'")
    done = subprocess.run([sys.executable, "-m", "reasoner_workloads", *command], check=False)
    raise typer.Exit(done.returncode)


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


app.command()(plan)


def _mount_local() -> None:
    """`reasoner local` and `reasoner demo`, where the extra `local` is installed."""
    if importlib.util.find_spec("moto") and importlib.util.find_spec("reasoner_local.cli"):
        app.add_typer(importlib.import_module("reasoner_local.cli").app, name="local")
        app.command()(importlib.import_module("reasoner_local.demo.command").demo)


_mount_local()

if __name__ == "__main__":
    app()
