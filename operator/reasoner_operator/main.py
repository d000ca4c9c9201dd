"""Assembles the operator: client, lease, reconciler, queue, kopf and the port of its own. Called by `cli`."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import chain, repeat

import kopf

from reasoner_api import API_VERSION
from reasoner_api.crd import KINDS
from reasoner_operator import handlers
from reasoner_operator.answers import ApiError
from reasoner_operator.children import watch_children
from reasoner_operator.cluster import Access, Cluster
from reasoner_operator.endpoints import served
from reasoner_operator.lease import Lease
from reasoner_operator.naming import MANAGER
from reasoner_operator.queue import Queue
from reasoner_operator.reconcile import Reconciler
from reasoner_operator.seen import Key
from reasoner_operator.settings import Settings

log = logging.getLogger(__name__)

#: Seconds that ending may take before it is forced.
EXIT_SECONDS = 10


class Patience:
    """Seconds between tries to reach the API server, without end: kopf would give up after a minute, and the operator
    with it, though an upgrade of the control plane takes longer."""

    def __iter__(self) -> Iterator[float]:
        return chain((1.0, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0), repeat(20.0))


@dataclass(frozen=True)
class Election:
    """Where replicas agree on who works."""

    namespace: str
    name: str
    identity: str


@dataclass(frozen=True)
class Options:
    """How the operator runs."""

    settings: Settings
    access: Access
    #: Namespaces to watch; all when empty.
    namespaces: tuple[str, ...] = ()
    #: Port of /healthz, /readyz and /metrics; None for none.
    health_port: int | None = None
    #: Whether CRDs are watched (and may be installed later), at the price of a right to list them.
    scan: bool = True
    #: None where this is the only replica.
    election: Election | None = None


async def operate(options: Options) -> None:
    """Run the operator until SIGTERM or SIGINT.

    Raises:
        LeaseLost: in an ExceptionGroup; another replica may be at work.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with served(options.health_port), Cluster(options.access) as cluster, _leading(cluster, options, stop):
        if not stop.is_set():
            await _work(cluster, options, stop)


@asynccontextmanager
async def _leading(cluster: Cluster, options: Options, stop: asyncio.Event) -> AsyncIterator[None]:
    """Entered when this replica leads, or is to end before it does; whoever loses the lease is cancelled."""
    if options.election is None:
        yield
        return
    lease = Lease(cluster, options.election.namespace, options.election.name, options.election.identity)
    tasks = [asyncio.create_task(lease.acquire()), asyncio.create_task(stop.wait())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    try:
        async with asyncio.TaskGroup() as group:
            keeping = None if stop.is_set() else group.create_task(lease.keep())
            yield
            if keeping is not None:
                keeping.cancel()
    finally:
        await lease.release()


async def _work(cluster: Cluster, options: Options, stop: asyncio.Event) -> None:
    """What the leader does."""
    reconciler = Reconciler(cluster, options.settings, wake=lambda key: queue.add(key))
    queue = Queue(reconciler.reconcile, retriable=ApiError)
    async with asyncio.TaskGroup() as group:
        background = [
            group.create_task(queue.run()),
            group.create_task(watch_children(cluster, handlers.CHILDREN, options.namespaces, queue.add)),
            group.create_task(_resync(reconciler, queue, options)),
        ]
        await _watch(reconciler, queue, options, stop)
        for task in background:
            task.cancel()


async def _watch(reconciler: Reconciler, queue: Queue, options: Options, stop: asyncio.Event) -> None:
    registry = kopf.OperatorRegistry()
    handlers.register(registry, queue.add, reconciler.told, reconciler.cluster.connection)
    settings = kopf.OperatorSettings()
    settings.process.ultimate_exiting_timeout = EXIT_SECONDS
    settings.networking.error_backoffs = Patience()
    settings.peering.standalone = True
    settings.scanning.disabled = not options.scan
    # Nothing of kopf's is written to objects; our Events are recorded by the reconciler.
    settings.posting.enabled = False
    await kopf.operator(
        registry=registry,
        settings=settings,
        namespaces=options.namespaces,
        clusterwide=not options.namespaces,
        standalone=True,
        # Unused without peering; kopf would look up the name of a user that may have none, as OpenShift's have.
        identity=MANAGER,  # type: ignore[arg-type]  # its type has no public name
        stop_flag=stop,
    )


async def _resync(reconciler: Reconciler, queue: Queue, options: Options) -> None:
    """Look at everything now and then: events may be lost, and time itself changes things."""
    while True:
        await asyncio.sleep(options.settings.resync_seconds)
        for kind in KINDS.values():
            for namespace in options.namespaces or (None,):
                try:
                    items = await reconciler.cluster.find(API_VERSION, kind.name, namespace)
                except ApiError as error:
                    # The watches tell what happened meanwhile; the next round comes anyway.
                    log.warning("looking through all %s: %s", kind.plural, error)
                    continue
                for item in items:
                    queue.add(Key(kind.name, item["metadata"]["namespace"], item["metadata"]["name"]))
