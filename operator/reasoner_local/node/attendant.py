"""Attends one run of a container: its postStart hook, its startup, readiness and liveness probes.
Used by `container`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from reasoner_local.client import Obj
from reasoner_local.node import probes
from reasoner_local.node.process import Process


@dataclass(frozen=True)
class Attendant:
    """One run; `mark(started, ready)` is told what the probes find."""

    target: probes.Target
    process: Process
    mark: Callable[[bool, bool], Awaitable[None]]

    async def attend(self) -> None:
        """Probe until cancelled, or until the process is found to be beyond help and stopped."""
        spec = self.target.container
        if not await self._post_start((spec.get("lifecycle") or {}).get("postStart")):
            return
        if probe := spec.get("startupProbe"):
            watch = self._watch("Startup", probe, self._judge("startup"))
            if not await probes.follow(self.target, watch, once=True):
                return
        await self.mark(True, "readinessProbe" not in spec)
        async with asyncio.TaskGroup() as group:
            if probe := spec.get("readinessProbe"):
                watch = self._watch("Readiness", probe, self._set_ready)
                group.create_task(probes.follow(self.target, watch))
            if probe := spec.get("livenessProbe"):
                watch = self._watch("Liveness", probe, self._judge("liveness"))
                group.create_task(probes.follow(self.target, watch))

    async def _post_start(self, hook: Obj | None) -> bool:
        if hook is None:
            return True
        try:
            await probes.act(self.target, hook)
        except probes.Failed as error:
            await self._warn("FailedPostStartHook", f"PostStartHook failed: {error}")
            self.process.kill()
            return False
        return True

    async def _set_ready(self, ready: bool) -> None:
        await self.mark(True, ready)

    def _judge(self, kind: str) -> Callable[[bool], Awaitable[None]]:
        """For a probe whose failure ends the run."""

        async def told(alive: bool) -> None:
            if alive:
                return
            context = self.target.context
            message = f"Container {self.target.container['name']} failed {kind} probe, will be restarted"
            await context.tools.events.normal(context.pod, "Killing", message)
            await self.process.stop(float(context.pod["spec"].get("terminationGracePeriodSeconds", 30)))

        return told

    def _watch(self, kind: str, probe: Obj, told: Callable[[bool], Awaitable[None]]) -> probes.Watch:
        async def complain(why: str) -> None:
            await self._warn("Unhealthy", why)

        return probes.Watch(kind, probe, told, complain)

    async def _warn(self, reason: str, message: str) -> None:
        context = self.target.context
        await context.tools.events.warning(context.pod, reason, message)
