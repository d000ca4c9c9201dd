"""One pod on the node, from its volumes to its last status. Used by `agent`, one for each pod."""

from __future__ import annotations

import asyncio
import contextlib
import shutil

from reasoner_local import conditions
from reasoner_local.client import PODS, ApiError, Obj, now, seconds_since
from reasoner_local.dns.hosts_file import HostsFile, Owner
from reasoner_local.informer import key_of
from reasoner_local.node import status, volumes
from reasoner_local.node.container import Container
from reasoner_local.node.context import NotReady, PodContext

_LOOK_AGAIN = 2.0
_DEADLINE = "Pod was active on the node longer than the specified deadline"


class PodWorker:
    """Runs one pod."""

    def __init__(self, context: PodContext) -> None:
        self.context = context
        self._uid = str(context.pod["metadata"]["uid"])
        self._policy = str(context.pod["spec"].get("restartPolicy", "Always"))
        init_policy = "Never" if self._policy == "Never" else "OnFailure"
        spec = context.pod["spec"]
        self._inits = [
            Container(context, c, c.get("restartPolicy", init_policy), self.report)
            for c in spec.get("initContainers") or []
        ]
        self._mains = [Container(context, c, self._policy, self.report) for c in spec["containers"]]
        if not self._inits:
            for main in self._mains:
                main.state = {"waiting": {"reason": "ContainerCreating"}}
        self._stopping = asyncio.Event()
        self._stopped_by = ""
        self._begun = now()
        self._writing = asyncio.Lock()
        self._laid_out = False

    def container(self, name: str) -> Container | None:
        """One of the pod's containers."""
        return next((c for c in [*self._inits, *self._mains] if c.name == name), None)

    async def run(self) -> None:
        """Run the pod to its end."""
        deadline = self.context.pod["spec"].get("activeDeadlineSeconds")
        timer = asyncio.create_task(self._expire(deadline)) if deadline is not None else None
        try:
            await self._prepare()
            await self._run_containers()
            await self.report()
        finally:
            if timer is not None:
                timer.cancel()

    async def _prepare(self) -> None:
        await self.report()
        while not self._stopping.is_set():
            try:
                await volumes.lay_out(self.context)
            except NotReady as missing:
                await self.context.tools.events.warning(self.context.pod, "FailedMount", str(missing))
                await self._pause(_LOOK_AGAIN)
                continue
            self._announce_names()
            self._laid_out = True
            await self.report()
            return

    def _announce_names(self) -> None:
        """Have the pod's /etc/hosts written, and kept current until `clean_up`."""
        context = self.context
        owner = Owner(context.namespace, context.hostname, context.ip)
        context.tools.hosts.attach(self._uid, HostsFile(context.hosts_file, owner))

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _run_containers(self) -> None:
        async with asyncio.TaskGroup() as group:
            sidecars = []
            for init in self._inits:
                if init.is_sidecar:
                    sidecars.append((init, group.create_task(init.run())))
                    continue
                code = 137 if self._stopping.is_set() else await init.run()
                if code:
                    break
                init.ready = True
            else:
                await self._run_mains()
            for sidecar, _ in sidecars:
                await sidecar.stop(self._grace())

    async def _run_mains(self) -> None:
        if self._stopping.is_set():
            return
        for main in self._mains:
            main.state = {"waiting": {"reason": "ContainerCreating"}}
        async with asyncio.TaskGroup() as group:
            for main in self._mains:
                group.create_task(main.run())

    def _grace(self) -> float:
        return float(self.context.pod["spec"].get("terminationGracePeriodSeconds", 30))

    async def _expire(self, deadline: int) -> None:
        await asyncio.sleep(deadline - seconds_since(self._begun))
        self._stopped_by = "DeadlineExceeded"
        await self.context.tools.events.normal(self.context.pod, "DeadlineExceeded", _DEADLINE)
        await self.stop(self._grace())

    async def stop(self, grace: float) -> None:
        """End every container; `run` returns when they have ended."""
        if not self._stopping.is_set():
            self._stopping.set()
            for container in self._mains:
                if "running" in container.state:
                    message = f"Stopping container {container.name}"
                    await self.context.tools.events.normal(self.context.pod, "Killing", message)
        await asyncio.gather(*(container.stop(grace) for container in [*self._inits, *self._mains]))

    async def report(self) -> None:
        """Write the pod's status, if it changed; one writer at a time, so that the latest stands."""
        async with self._writing:
            pod = self.context.tools.hub.of(PODS).get(key_of(self.context.pod))
            if pod is None or pod["metadata"]["uid"] != self._uid:
                return
            fresh = self._status(pod)
            held = pod.get("status") or {}
            if all(held.get(name) == value for name, value in fresh.items()):
                return
            try:
                await self.context.tools.hub.patch(PODS, pod, {"status": fresh}, "status")
            except ApiError as error:
                if error.code != 404:
                    raise

    def _status(self, pod: Obj) -> Obj:
        inits, mains = [c.status() for c in self._inits], [c.status() for c in self._mains]
        plain, sidecars = ([c.status() for c in self._inits if c.is_sidecar is beside] for beside in (False, True))
        report = status.Report(plain, mains, self._policy, self._stopping.is_set(), sidecars)
        phase = status.phase(report)
        held = (pod.get("status") or {}).get("conditions") or []
        host = self.context.facts.subnet.node
        fresh: Obj = {
            "phase": phase,
            "conditions": conditions.merged(held, status.conditions_of(report, phase)),
            "hostIP": host,
            "hostIPs": [{"ip": host}],
            "startTime": self._begun,
            "containerStatuses": mains,
        }
        if self._laid_out:
            fresh |= {"podIP": self.context.ip, "podIPs": [{"ip": self.context.ip}]}
        if inits:
            fresh["initContainerStatuses"] = inits
        if self._stopped_by:
            fresh |= {"phase": "Failed", "reason": self._stopped_by, "message": _DEADLINE}
        return fresh

    def clean_up(self) -> None:
        """Remove the pod's folder; its logs stay."""
        self.context.tools.hosts.detach(self._uid)
        shutil.rmtree(self.context.folder, ignore_errors=True)
