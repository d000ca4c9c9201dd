"""The command `reasoner demo`. Mounted by the operator's CLI."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from reasoner_local import seed
from reasoner_local.demo.run import Demo, DemoFailed

#: What a shell reports of a command that Ctrl-C has ended.
INTERRUPTED = 130


def demo(
    samples: Annotated[Path, typer.Option(help="Folder of the three samples.")] = Path("crds/samples"),
    state_dir: Annotated[Path, typer.Option(help="Folder of logs and state; emptied at the start.")] = Path(
        ".reasoner/demo"
    ),
) -> None:
    """Run the whole recipe on the embedded cluster, with tiny stand-in models, in minutes."""
    if not samples.is_dir():
        raise typer.BadParameter(
            f"{samples} is not a folder: run this in a checkout, or name one", param_hint="--samples"
        )
    if not seed.available():
        raise typer.BadParameter("needs the extra `trainer`: pip install 'reasoner-operator[local,curation,trainer]'")
    console = Console()
    try:
        asyncio.run(_until_signalled(Demo(state_dir.absolute(), samples, console)))
    except DemoFailed as error:
        console.print(f"[red]The demo has failed:[/red] {error}\nLogs are in {state_dir / 'logs'}")
        raise typer.Exit(1) from error
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("stopped; nothing is left running")
        raise typer.Exit(INTERRUPTED) from None


async def _until_signalled(made: Demo) -> None:
    """SIGTERM and a closed terminal end the demo as Ctrl-C does: everything it started is stopped."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await made.run()
