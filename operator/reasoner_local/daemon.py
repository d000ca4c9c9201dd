"""A cluster that runs until it is told to stop: `python -m reasoner_local.daemon`, started by `cli`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from reasoner_local.cluster import LocalCluster, Options
from reasoner_local.memory import collect_seldom
from reasoner_local.node.context import Capacity
from reasoner_local.state import Locked
from reasoner_local.supervisor import Broken

log = logging.getLogger(__name__)


async def run(cluster: LocalCluster) -> None:
    """Run the cluster until SIGTERM, SIGINT or SIGHUP (the terminal's end), or until it breaks."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    told = asyncio.create_task(stop.wait())
    running = asyncio.create_task(_until(cluster, told))
    await asyncio.wait([told, running], return_when=asyncio.FIRST_COMPLETED)
    if not cluster.ready:
        # What has started by now is ended in order.
        running.cancel()
    await asyncio.wait([running])
    if not running.cancelled():
        await running


async def _until(cluster: LocalCluster, told: asyncio.Task[bool]) -> None:
    async with cluster:
        log.info("ready; KUBECONFIG=%s", cluster.kubeconfig)
        broken = asyncio.create_task(cluster.failed())
        await asyncio.wait([told, broken], return_when=asyncio.FIRST_COMPLETED)
        if broken.done():
            await broken
        broken.cancel()


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m reasoner_local.daemon", description=__doc__)
    made.add_argument("--state-dir", type=Path, required=True)
    made.add_argument("--crds", type=Path)
    made.add_argument("--operator", action=argparse.BooleanOptionalAction, default=True)
    made.add_argument("--infra", action=argparse.BooleanOptionalAction, default=True)
    made.add_argument("--cpus", type=float)
    made.add_argument("--memory")
    made.add_argument("--gpus", type=int, default=0)
    return made


def main() -> int:
    """Run; exit code 3 where the cluster cannot start: another runs in the state folder, or a part is broken."""
    given = parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    capacity = Capacity(given.cpus, given.memory, given.gpus)
    options = Options(capacity=capacity, crds=given.crds)
    collect_seldom()
    cluster = LocalCluster(given.state_dir, given.infra, given.operator, options)
    try:
        asyncio.run(run(cluster))
    except (Locked, Broken) as error:
        log.error("%s", error)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
