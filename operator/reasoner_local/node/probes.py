"""Startup, readiness and liveness probes, and the actions of lifecycle hooks. Used by `container`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import aiohttp

from reasoner_local.client import Obj
from reasoner_local.node.context import PodContext
from reasoner_local.node.process import Launch, Process, StartError

_OUTPUT = 10 * 1024
_ACTIONS = ("exec", "httpGet", "tcpSocket", "grpc")


class Failed(Exception):
    """A probe's failure, in the kubelet's words."""


@dataclass(frozen=True)
class Target:
    """What is probed: a container of a pod, and how to run a command beside it."""

    context: PodContext
    container: Obj
    launch: Launch

    def port(self, port: int | str) -> int:
        """A port's number, by number or name."""
        if isinstance(port, int) or port.isdigit():
            return int(port)
        for declared in self.container.get("ports") or []:
            if declared.get("name") == port:
                return int(declared["containerPort"])
        raise Failed(f"couldn't find port: {port}")


async def act(target: Target, action: Obj) -> None:
    """Do what a probe or hook says; raises Failed where it does not succeed."""
    if "exec" in action:
        await _exec(target, action["exec"]["command"])
    elif "httpGet" in action:
        await _http(target, action["httpGet"])
    elif "tcpSocket" in action:
        await _tcp(target, action["tcpSocket"])
    elif "sleep" in action:
        await asyncio.sleep(action["sleep"]["seconds"])
    else:
        raise Failed(f"the process node has no probe of kind {', '.join(action)}")


async def _exec(target: Target, words: list[str]) -> None:
    paths = target.context.paths(target.container)
    output = target.context.folder / f"probe-{target.container['name']}-{id(asyncio.current_task())}"
    output.unlink(missing_ok=True)
    argv = [paths.rewrite(word) for word in words]
    try:
        process = await Process.start(replace(target.launch, argv=argv, log=str(output), times=""))
    except StartError as error:
        raise Failed(str(error)) from error
    try:
        code = await process.wait()
    finally:
        # Also where the time is up: what a probe started does not stay.
        process.kill()
        await process.wait()
        text = output.read_bytes()[:_OUTPUT].decode(errors="replace")
        output.unlink()
    if code:
        raise Failed(text.strip() or f"command exited with {code}")


async def _http(target: Target, get: Obj) -> None:
    host = get.get("host") or target.context.ip
    url = f"{get.get('scheme', 'HTTP').lower()}://{host}:{target.port(get['port'])}{get.get('path') or '/'}"
    headers = {header["name"]: header["value"] for header in get.get("httpHeaders") or []}
    headers = {"User-Agent": "kube-probe/1.36", **headers}
    try:
        async with target.context.tools.http.get(url, headers=headers, ssl=False) as answer:
            status = answer.status
    except (aiohttp.ClientError, OSError) as error:
        raise Failed(f'Get "{url}": {error}') from error
    if not 200 <= status < 400:
        raise Failed(f"HTTP probe failed with statuscode: {status}")


async def _tcp(target: Target, socket: Obj) -> None:
    host, port = socket.get("host") or target.context.ip, target.port(socket["port"])
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        raise Failed(f"dial tcp {host}:{port}: {error.strerror or error}") from error
    writer.close()


@dataclass(frozen=True)
class Watch:
    """One probe, and whom to tell: `told(True)` after enough successes, `told(False)` after enough failures;
    `complain` hears each failure."""

    kind: str
    probe: Obj
    told: Callable[[bool], Awaitable[None]]
    complain: Callable[[str], Awaitable[None]]


async def follow(target: Target, watch: Watch, once: bool = False) -> bool:
    """Probe for ever, or (`once`) until there is a verdict; returns it."""
    probe = watch.probe
    await asyncio.sleep(probe.get("initialDelaySeconds", 0))
    run, last = 0, None
    while True:
        good = await _try(target, watch)
        run = run + 1 if good == last else 1
        last = good
        enough = probe.get("successThreshold", 1) if good else probe.get("failureThreshold", 3)
        if run >= enough:
            await watch.told(good)
            if once:
                return good
        await asyncio.sleep(probe.get("periodSeconds", 10))


async def _try(target: Target, watch: Watch) -> bool:
    limit = watch.probe.get("timeoutSeconds", 1)
    action: Obj = {name: watch.probe[name] for name in _ACTIONS if name in watch.probe}
    try:
        async with asyncio.timeout(limit):
            await act(target, action)
    except (Failed, TimeoutError) as error:
        why = str(error) or f"command timed out: timed out after {limit}s"
        await watch.complain(f"{watch.kind} probe failed: {why}")
        return False
    return True
