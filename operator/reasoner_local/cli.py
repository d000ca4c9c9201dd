"""`reasoner local ...`: the embedded cluster from the command line. Mounted by the operator's CLI."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from reasoner_local import cli_view, seed
from reasoner_local.node.process import kill_marked, marked
from reasoner_local.state import ClusterState, StateDir, default_state_dir

app = typer.Typer(
    name="local",
    help="A Kubernetes API server, controllers, a node of local processes and an object store on this machine.",
    no_args_is_help=True,
)

_START_LIMIT, _STOP_LIMIT = 120.0, 60.0
_INTERVAL = 0.1

Where = Annotated[
    Path | None,
    typer.Option("--state-dir", help="State folder; .reasoner/local in a checkout, else ~/.local/state/reasoner."),
]


def _state(given: Path | None) -> StateDir:
    return StateDir(given or default_state_dir())


def _running(folder: StateDir) -> ClusterState:
    """The running cluster's state; ends the command where none runs."""
    told = folder.read() if folder.is_locked() else None
    if told is None or not told.ready:
        typer.echo(f"no cluster is running in {folder.path}: start one with `reasoner local up`", err=True)
        raise typer.Exit(1)
    return told


@app.command()
def up(
    state_dir: Where = None,
    foreground: Annotated[
        bool, typer.Option("--foreground/--detach", help="Stay, and end with Ctrl-C; or run in the background.")
    ] = False,
    operator: Annotated[bool, typer.Option(help="Run the operator too.")] = True,
    infra: Annotated[bool, typer.Option(help="Run object store, teacher and web server too.")] = True,
    crds: Annotated[Path | None, typer.Option(help="Folder of CustomResourceDefinitions to install.")] = None,
    cpus: Annotated[float | None, typer.Option(help="CPUs the node claims to have; the machine's by default.")] = None,
    memory: Annotated[str | None, typer.Option(help="Memory the node claims to have, for example 64Gi.")] = None,
    gpus: Annotated[int, typer.Option(help="GPUs (nvidia.com/gpu) the node claims to have.")] = 0,
    seeds: Annotated[
        bool,
        typer.Option("--seed/--no-seed", help="Make what the samples start from (see `seed`); not in the foreground."),
    ] = True,
) -> None:
    """Start the cluster, or do nothing where it runs."""
    folder = _state(state_dir)
    if not folder.is_locked():
        argv = [sys.executable, "-m", "reasoner_local.daemon", "--state-dir", str(folder.path)]
        argv += ["--operator" if operator else "--no-operator", "--infra" if infra else "--no-infra"]
        argv += ["--gpus", str(gpus)]
        for name, value in (("--crds", crds), ("--cpus", cpus), ("--memory", memory)):
            argv += [name, str(value)] if value is not None else []
        if foreground:
            os.execv(argv[0], argv)
        _detach(folder, argv)
    told = _ready(folder)
    if seeds and infra and seed.available():
        typer.echo("making the tiny models and questions that the samples start from (--no-seed does without)")
        _seed(told)
    _show(folder, told)
    typer.echo('To use it:  eval "$(reasoner local env)"')


@app.command(name="seed")
def make_seed(state_dir: Where = None) -> None:
    """Publish the tiny models and questions that the samples start from; those that are there are left alone."""
    if not seed.available():
        typer.echo("needs the extra `trainer`: pip install 'reasoner-operator[trainer]'", err=True)
        raise typer.Exit(1)
    _seed(_running(_state(state_dir)))


def _seed(told: ClusterState) -> None:
    if seed.run(told.environment) != 0:
        typer.echo("the seed models could not be made; try again with `reasoner local seed`", err=True)
        raise typer.Exit(1)


def _ready(folder: StateDir) -> ClusterState:
    """What the cluster tells once it is ready: somebody else may be starting it."""
    give_up = time.monotonic() + _START_LIMIT
    while folder.is_locked() and time.monotonic() < give_up:
        told = folder.read()
        if told is not None and told.ready:
            return told
        time.sleep(_INTERVAL)
    typer.echo(f"the cluster did not start; its log is {folder.logs / 'cluster.log'}", err=True)
    raise typer.Exit(1)


def _detach(folder: StateDir, argv: list[str]) -> None:
    """Start the cluster in a session of its own and wait until it is ready."""
    folder.logs.mkdir(parents=True, exist_ok=True)
    log = folder.logs / "cluster.log"
    with log.open("ab") as out, Path(os.devnull).open("rb") as nothing:
        process = subprocess.Popen(argv, stdin=nothing, stdout=out, stderr=out, cwd="/", start_new_session=True)
    give_up = time.monotonic() + _START_LIMIT
    while process.poll() is None and time.monotonic() < give_up:
        told = folder.read()
        if told is not None and told.ready and told.pid == process.pid:
            # It goes on without this command; what is told of it from here on stands in the state folder.
            process.returncode = 0
            return
        time.sleep(_INTERVAL)
    process.terminate()
    process.wait()
    typer.echo(f"the cluster did not start; the end of {log}:", err=True)
    typer.echo("\n".join(log.read_text(errors="replace").splitlines()[-15:]), err=True)
    raise typer.Exit(1)


@app.command()
def down(state_dir: Where = None) -> None:
    """Stop the cluster and everything in it."""
    folder = _state(state_dir)
    told = folder.read()
    if told is None:
        typer.echo(f"no cluster was ever started in {folder.path}")
        return
    if folder.is_locked():
        os.kill(told.pid, signal.SIGTERM)
        give_up = time.monotonic() + _STOP_LIMIT
        while folder.is_locked() and time.monotonic() < give_up:
            time.sleep(_INTERVAL)
    # Normally there is nobody left; after a crash of the machine's own making there may be.
    while marked(told.mark):
        kill_marked(told.mark)
        time.sleep(_INTERVAL)
    typer.echo(f"stopped; logs are kept in {folder.logs}")


@app.command()
def status(state_dir: Where = None) -> None:
    """Show what runs where, and how it is. Exit code 1 where a part of the cluster is not well."""
    folder = _state(state_dir)
    if not _show(folder, _running(folder)):
        raise typer.Exit(1)


def _show(folder: StateDir, told: ClusterState) -> bool:
    """Two tables: the cluster's own processes, and the pods where there are any."""
    parts, pods = cli_view.part_rows(told), cli_view.pod_rows(folder.kubeconfig)
    console = Console()
    console.print(f"embedded cluster in {folder.path}", soft_wrap=True)
    for title, rows in (("process", parts), ("pod", pods)):
        table = Table(box=None, header_style="bold")
        table.add_column(title, overflow="fold", min_width=12)
        for name in ("address", "pid", "health"):
            table.add_column(name, no_wrap=True)
        if title == "process":
            table.add_column("log", no_wrap=True)
        for row in rows:
            table.add_row(row.name, row.address, row.pid, row.shown_health(), row.log or None)
        if rows:
            console.print(table)
    return all(row.well for row in parts)


@app.command()
def env(state_dir: Where = None) -> None:
    """Print the shell's variables for kubectl and S3 clients: eval "$(reasoner local env)"."""
    for name, value in _running(_state(state_dir)).environment.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@app.command()
def logs(
    name: Annotated[str, typer.Argument(help="A part (operator, teacher, ...) or a pod; nothing for the list.")] = "",
    state_dir: Where = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing what is added.")] = False,
) -> None:
    """Print the latest log of a part of the cluster or of a pod, past ones included."""
    folder = _state(state_dir)
    files = sorted(folder.logs.glob("*.log"), key=lambda file: file.stat().st_mtime)
    if not name:
        for file in files:
            typer.echo(str(file))
        return
    chosen = [file for file in files if file.stem == name or name in file.stem.split("_")]
    if not chosen:
        typer.echo(f"no log of {name} in {folder.logs}", err=True)
        raise typer.Exit(1)
    os.execvp("tail", ["tail", "-n", "+1", *(["-F"] if follow else []), str(chosen[-1])])
