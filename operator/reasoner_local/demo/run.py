"""Drives the demo: cluster, operator, seed models, samples, then watching to the end. Called by `cli`."""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import yaml
from rich.console import Console
from rich.live import Live

from reasoner_local import seed
from reasoner_local.client import EVENTS, SERVICES, Client, Obj, Resource
from reasoner_local.cluster import LocalCluster
from reasoner_local.demo import view

GROUP, VERSION = "reasoner.dev", "v1alpha1"
KINDS = (
    Resource(GROUP, VERSION, "curationjobs", "CurationJob"),
    Resource(GROUP, VERSION, "verifiertrainings", "VerifierTraining"),
    Resource(GROUP, VERSION, "grporuns", "GRPORun"),
)
NAMESPACE = "default"
#: Seconds between two pictures, and until the demo gives up.
INTERVAL = 1.0
#: Seconds between two lines about the same run where there is no terminal.
LINE_INTERVAL = 15.0
LIMIT = 1800


class DemoFailed(Exception):
    """The demo did not reach its end; the message says where to look."""


@dataclass
class Demo:
    """One run of the demo."""

    state_dir: Path
    samples: Path
    console: Console
    started: float = field(default_factory=time.monotonic)

    async def run(self) -> None:
        """From nothing to three finished runs and their summary.

        Raises:
            DemoFailed: a run has failed or did not end in time.
        """
        shutil.rmtree(self.state_dir, ignore_errors=True)
        self._say("starting the embedded cluster and the operator")
        async with (
            LocalCluster(state_dir=self.state_dir, operator=True) as cluster,
            Client.of(cluster.kubeconfig) as client,
        ):
            self._say(f"logs are in {cluster.logs_dir}; KUBECONFIG={cluster.kubeconfig}")
            try:
                await self._steps(cluster, client)
            except asyncio.CancelledError:
                self._say("stopping the pods and the cluster")
                raise

    async def _steps(self, cluster: LocalCluster, client: Client) -> None:
        self._say("making the tiny stand-in models and their questions")
        await self._run(cluster, *seed.command())
        self._say("applying the three samples at once")
        await self._apply(client)
        objects = await self._watch(client)
        await self._summarise(cluster, client, objects)

    def _say(self, text: str) -> None:
        self.console.print(f"[dim]{time.monotonic() - self.started:6.1f} s[/dim]  {text}", soft_wrap=True)

    async def _run(self, cluster: LocalCluster, *command: str) -> None:
        """Run one of the workloads' commands with the object store's credentials, its output shown."""
        async with _process(*command, env=seed.environment(cluster.environment())) as process:
            if await process.wait() != 0:
                raise DemoFailed(f"{' '.join(command)} failed with exit code {process.returncode}")

    async def _apply(self, client: Client) -> None:
        kinds = {kind.kind: kind for kind in KINDS}
        for path in sorted(self.samples.glob("*.yaml")):
            for manifest in yaml.safe_load_all(path.read_text()):
                manifest["metadata"].setdefault("namespace", NAMESPACE)
                await client.apply(kinds[manifest["kind"]], manifest)

    async def _watch(self, client: Client) -> list[Obj]:
        """Show the runs until all are done: a picture in a terminal, a line now and then where there is none."""
        with self._screen() as show:
            while True:
                objects = [obj for kind in KINDS for obj in (await client.list(kind))[0]]
                seconds = time.monotonic() - self.started
                show(objects, await _events(client))
                if stuck := [obj for obj in objects if view.is_stuck(obj)]:
                    message = view.condition(stuck[0], "Stalled")["message"]
                    raise DemoFailed(f"{stuck[0]['kind']}/{stuck[0]['metadata']['name']}: {message}")
                if objects and all(view.is_done(obj) for obj in objects):
                    return objects
                if seconds > LIMIT:
                    raise DemoFailed(f"not done after {LIMIT} s")
                await asyncio.sleep(INTERVAL)

    @contextmanager
    def _screen(self) -> Iterator[Callable[[list[Obj], list[str]], None]]:
        if self.console.is_terminal:
            with Live(console=self.console, refresh_per_second=4) as picture:
                yield lambda objects, events: picture.update(
                    view.live(objects, events, time.monotonic() - self.started)
                )
            return
        said = 0
        due = time.monotonic()
        last: list[str] = []

        def show(objects: list[Obj], events: list[str]) -> None:
            nonlocal said, due, last
            for event in events[said:]:
                self._say(event)
            said = len(events)
            if time.monotonic() >= due:
                due = time.monotonic() + LINE_INTERVAL
                lines = [view.line(obj) for obj in objects]
                for text in lines:
                    if text not in last:
                        self._say(text)
                last = lines

        yield show

    async def _summarise(self, cluster: LocalCluster, client: Client, objects: list[Obj]) -> None:
        curation, verifier, grpo = objects
        self.console.print(view.funnel(curation))
        self.console.print(
            f"Verifier: held-out agreement with the teacher [bold]{verifier['status']['agreementPercent']}[/bold]"
        )
        question = {"question": "What is 3 + 4?", "ground_truth": "7"}
        for answer in ("7", "8"):
            reply = await _ask(client, verifier, {**question, "student_answer": answer})
            self.console.print(
                f"  asked about {question['question']!r} and the answer {answer!r}: [bold]{reply!r}[/bold]"
            )
        status = grpo["status"]
        rewards = f"{status['rewardBefore']:.3f} → {status['rewardAfter']:.3f}"
        self.console.print(f"GRPO: mean reward on held-out questions [bold]{rewards}[/bold]")
        for role, digest in status["lineage"].items():
            self.console.print(f"  made from {role} {digest}", soft_wrap=True)
        self.console.print("[italic]Artifacts[/italic]")
        for text in view.artifacts(objects):
            self.console.print(text, soft_wrap=True)
        dataset = curation["status"]["artifacts"]["dataset"]["uri"]
        await self._run(cluster, sys.executable, "-m", "reasoner_workloads", "verify", dataset)
        self._say("done")


async def _events(client: Client) -> list[str]:
    """The operator's Events, oldest first."""
    events, _ = await client.list(EVENTS)
    ours = [event for event in events if event.get("source", {}).get("component") == "reasoner-operator"]
    ours.sort(key=lambda event: int(event["metadata"]["resourceVersion"]))
    return [f"{event['involvedObject']['kind']}: {event['reason']}: {event['message']}" for event in ours]


async def _ask(client: Client, verifier: Obj, fields: dict[str, str]) -> str:
    """Send one verification to the served verifier, through its Service's address."""
    name = str(urlsplit(verifier["status"]["endpoint"]).hostname).partition(".")[0]
    service = await client.get(SERVICES, NAMESPACE, name)
    url = f"http://{service['spec']['clusterIP']}:{service['spec']['ports'][0]['port']}/v1/completions"
    prompt = verifier["spec"]["prompt"]["template"].format(**fields)
    body = {"model": verifier["status"]["servedModel"], "prompt": prompt, "max_tokens": 64, "temperature": 0}
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        response.raise_for_status()
        text: str = (await response.json())["choices"][0]["text"]
        return text.strip()


@asynccontextmanager
async def _process(*command: str, env: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """A child that does not outlive its block."""
    process = await asyncio.create_subprocess_exec(*command, env=env)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
