"""The pod that generates the responses of a run: one vLLM server for each training that holds its lease. Called by
`grpo.run` in the pods after the training pods'; loads no torch.

It ends when the run has published its model, which is seen in the store: whoever published may be gone by then. A
trainer that leaves without that comes again from its checkpoint, and finds a fresh engine: the old one may wait for
ever for weights that its trainer was sending."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web

from reasoner_api.rollout import RolloutServer
from reasoner_api.status import Progress
from reasoner_api.task import LEASE_PORT, ROLLOUT_PORT, GRPOTask, Topology
from reasoner_workloads.common.artifact import find
from reasoner_workloads.common.run import Run, Terminated, WorkloadError
from reasoner_workloads.grpo.rollout.command import command, environment
from reasoner_workloads.grpo.rollout.engine import ANSWER_SECONDS, Engine
from reasoner_workloads.grpo.rollout.lease import BEAT_SECONDS
from reasoner_workloads.training import hub
from reasoner_workloads.training.inputs import fetch_base_model
from reasoner_workloads.training.outcome import MODEL


def serves(topology: Topology) -> bool:
    """Whether this pod is the one that generates."""
    return bool(topology.rollout_nodes) and int(os.environ.get("NODE_RANK", "0")) >= topology.nodes


def serve(this: Run[GRPOTask]) -> None:
    """Generate until the run has published its model.

    Raises:
        Terminated: SIGTERM came, and the trainer has let go.
        ConfigError: the server's arguments are bad.
        WorkloadError: the server has failed.
    """
    with tempfile.TemporaryDirectory(prefix="rollout-") as folder:
        this.reporter.update(progress=Progress(display="fetching the model"))
        base = fetch_base_model(this.task.work.base_model, this.task.work.storage, Path(folder))
        base = hub.pinned(base, this.store)
        host = os.environ.get("POD_IP") or "127.0.0.1"
        engine = Engine(
            command=command(this.task, base.path, host),
            env=environment(os.environ),
            url=f"http://{f'[{host}]' if ':' in host else host}:{ROLLOUT_PORT}",
            startup_seconds=(this.task.work.rollout.server or RolloutServer()).startup_seconds,
        )
        asyncio.run(_Server(this, engine, host).run())


@dataclass
class _Holder:
    """A trainer at the other end of a connection."""

    served: bool = False
    """Whether it was told that the engine is ready, and is its only user since."""
    superseded: bool = False
    gone: asyncio.Event = field(default_factory=asyncio.Event)


class _Server:
    """The engine, and who holds it."""

    def __init__(self, this: Run[GRPOTask], engine: Engine, host: str) -> None:
        self.this, self.engine, self.host = this, engine, host
        self.holder: _Holder | None = None
        self.leaving = False
        self.failure: WorkloadError | None = None

    async def run(self) -> None:
        """To the end of the run."""
        self.this.on_sigterm(self._leave)
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        async with self._listening(), aiohttp.ClientSession(timeout=timeout) as session:
            try:
                await self.engine.start()
                await self._until_published(session)
            except WorkloadError as error:
                self.failure = error
                if self.holder is not None:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self.holder.gone.wait(), 5 * BEAT_SECONDS)
                raise
            finally:
                await self.engine.end()

    def _leave(self) -> None:
        self.leaving = True

    async def _until_published(self, session: aiohttp.ClientSession) -> None:
        while True:
            await self.engine.look(session)
            if self.holder is None or not self.holder.served:
                if await asyncio.to_thread(find, self.this.store, MODEL) is not None:
                    return
                if self.leaving:
                    raise Terminated
                if self.engine.used:
                    await self.engine.end()
                    await self.engine.start()
            self._report()
            await asyncio.sleep(BEAT_SECONDS)

    @contextlib.asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_post("/lease", self._lease)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, self.host, LEASE_PORT).start()
        try:
            yield
        finally:
            await runner.cleanup()

    async def _lease(self, request: web.Request) -> web.StreamResponse:
        """Lines of JSON for as long as the trainer stays: `loading`, `ready`, `serving`, and how it ends."""
        reply, mine = web.StreamResponse(), _Holder()
        await reply.prepare(request)
        while (before := self.holder) is not None:
            # A trainer whose node was lost: this connection is its successor's.
            before.superseded = True
            await before.gone.wait()
        self.holder = mine
        try:
            while self.failure is None and not mine.superseded:
                await _say(reply, *self._state(mine))
                await asyncio.sleep(BEAT_SECONDS)
            await _say(reply, "failed", str(self.failure or "another training has taken its place"))
        except ConnectionError:
            pass  # the trainer is gone, which is how it lets go
        finally:
            self.holder = None
            mine.gone.set()
        return reply

    def _state(self, mine: _Holder) -> tuple[str, str]:
        if not mine.served:
            if not self.engine.ready or self.engine.used:
                return "loading", self.engine.loading
            mine.served = self.engine.used = True
            return "ready", ""
        return ("leaving", "it was told to stop") if self.leaving else ("serving", "")

    def _report(self) -> None:
        if not self.engine.ready:
            display = self.engine.loading
        else:
            display = "generating responses" if self.holder is not None else "waiting for the trainer"
        self.this.reporter.update(progress=Progress(display=display))


async def _say(reply: web.StreamResponse, state: str, message: str) -> None:
    await reply.write(json.dumps({"state": state, "message": message}).encode() + b"\n")
