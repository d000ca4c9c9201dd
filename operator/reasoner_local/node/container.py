"""One container of a pod: started, probed, restarted, stopped. Used by `pod`."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from reasoner_local.client import Obj, now
from reasoner_local.node import endings, environment, probes
from reasoner_local.node.attendant import Attendant
from reasoner_local.node.context import NotReady, PodContext
from reasoner_local.node.process import Launch, Process, StartError

_LOOK_AGAIN = 2.0
_BACKOFF_LIMIT = 300.0


class Container:
    """A container and its successive processes; `changed` is awaited whenever its status changes."""

    def __init__(self, context: PodContext, spec: Obj, policy: str, changed: Callable[[], Awaitable[None]]) -> None:
        self.spec = spec
        self.name = str(spec["name"])
        self.state: Obj = {"waiting": {"reason": "PodInitializing"}}
        self.last_state: Obj = {}
        self.restarts = 0
        self.ready = self.started = False
        self._context = context
        self._policy = policy
        self._changed = changed
        self._stopping = asyncio.Event()
        self._process: Process | None = None

    def status(self) -> Obj:
        """The container's entry in the pod's status."""
        return {
            "name": self.name,
            "image": self.spec.get("image", ""),
            "imageID": "",
            "state": self.state,
            "lastState": self.last_state,
            "ready": self.ready,
            "started": self.started,
            "restartCount": self.restarts,
            **({"containerID": f"process://{self._process.pid}"} if self._process else {}),
        }

    @property
    def is_sidecar(self) -> bool:
        """Whether it is an init container that runs beside the main ones."""
        return self.spec.get("restartPolicy") == "Always"

    @property
    def log(self) -> Path:
        """Log of the latest run."""
        return self._context.log_file(self.name, self.restarts)

    async def run(self) -> int:
        """Run until the restart policy says that it is over, or until stopped; the last exit code."""
        while True:
            code = await self._run_once()
            again = self._policy == "Always" or (self._policy == "OnFailure" and code != 0)
            if self._stopping.is_set() or not again:
                return code
            self.last_state = self.state
            await self._back_off()
            if self._stopping.is_set():
                self.state, self.last_state = self.last_state, {}
                return code
            self.restarts += 1

    async def _back_off(self) -> None:
        """Restart at once, then after 10 s, 20 s, ... 300 s, as the kubelet does."""
        base = self._context.facts.restart_backoff
        delay = min(base * 2 ** min(self.restarts - 1, 10), _BACKOFF_LIMIT) if self.restarts else 0.0
        if not delay:
            return
        meta = self._context.pod["metadata"]
        where = f"{meta['name']}_{meta['namespace']}({meta['uid']})"
        message = f"back-off {delay:g}s restarting failed container={self.name} pod={where}"
        self.state = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
        await self._changed()
        tools = self._context.tools
        await tools.events.warning(
            self._context.pod, "BackOff", f"Back-off restarting failed container {self.name} in pod {where}"
        )
        await self._pause(delay)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _configured(self) -> Launch | None:
        """What to run, once everything that it refers to is there; None when stopped before."""
        while not self._stopping.is_set():
            try:
                env = await environment.environment(self._context, self.spec)
            except NotReady as missing:
                state = {"waiting": {"reason": "CreateContainerConfigError", "message": str(missing)}}
                if state != self.state:
                    self.state = state
                    await self._changed()
                await self._context.tools.events.warning(self._context.pod, "Failed", f"Error: {missing}")
                await self._pause(_LOOK_AGAIN)
                continue
            argv = environment.command(self._context, self.spec, env)
            folder = self._folder()
            folder.mkdir(parents=True, exist_ok=True)
            return self._context.launch(argv, env, folder, self.log)
        return None

    def _folder(self) -> Path:
        """Working directory: the pod's own, or where the container's lies in it."""
        wanted = self.spec.get("workingDir", "")
        real = self._context.paths(self.spec).rewrite(wanted)
        return Path(real) if real != wanted else self._context.home

    async def _run_once(self) -> int:
        launch = await self._configured()
        if launch is None:
            return 137
        message_file = self._context.termination_file(self.name)
        message_file.write_text("")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.touch()
        begun = now()
        try:
            if not launch.argv:
                raise StartError("no command: the process node knows nothing of the image's own")
            self._process = process = await Process.start(launch)
        except StartError as error:
            end = {"exitCode": 128, "reason": "StartError", "message": str(error), "startedAt": begun}
            await self._context.tools.events.warning(self._context.pod, "Failed", f"Error: {error}")
            await self._ended(end)
            return 128
        self.state = {"running": {"startedAt": begun}}
        await self._context.tools.events.normal(self._context.pod, "Started", f"Started container {self.name}")
        async with asyncio.TaskGroup() as group:
            target = probes.Target(self._context, self.spec, launch)
            prober = group.create_task(self._attend(target, process))
            code = await process.wait()
            prober.cancel()
        end = {"exitCode": code, "reason": "Completed" if code == 0 else "Error", "startedAt": begun}
        if message := endings.message(self.spec, message_file, self.log, code):
            end["message"] = message
        await self._ended(end)
        return code

    async def _ended(self, end: Obj) -> None:
        self.ready = self.started = False
        self.state = {"terminated": {**end, "finishedAt": now()}}
        await self._changed()

    async def _attend(self, target: probes.Target, process: Process) -> None:
        """Hooks and probes of one run."""
        if self._stopping.is_set():
            process.kill()
        attendant = Attendant(target, process, self._mark)
        await attendant.attend()

    async def _mark(self, started: bool, ready: bool) -> None:
        """Take note of what the probes found."""
        if (self.started, self.ready) != (started, ready):
            self.started, self.ready = started, ready
            await self._changed()

    async def stop(self, grace: float) -> None:
        """End the container for good: its preStop hook, SIGTERM, after the grace period SIGKILL."""
        self._stopping.set()
        process, begun = self._process, time.monotonic()
        if process is None or "running" not in self.state:
            return
        if hook := (self.spec.get("lifecycle") or {}).get("preStop"):
            try:
                env = await environment.environment(self._context, self.spec)
                launch = self._context.launch([], env, self._folder(), self.log)
                async with asyncio.timeout(grace):
                    await probes.act(probes.Target(self._context, self.spec, launch), hook)
            except (probes.Failed, NotReady, TimeoutError) as error:
                message = f"PreStopHook failed: {error or 'it outlasted the grace period'}"
                await self._context.tools.events.warning(self._context.pod, "FailedPreStopHook", message)
        await process.stop(max(0.0, grace - (time.monotonic() - begun)))
