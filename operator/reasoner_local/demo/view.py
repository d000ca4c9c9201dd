"""Objects of the three kinds -> what the terminal shows while they run and once they are done. Called by `run`;
no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from reasoner_local.client import Obj

COLOURS = {"Succeeded": "green", "Failed": "red", "Running": "cyan", "Deploying": "cyan", "Waiting": "yellow"}
LINES = 8


def condition(obj: Obj, kind: str) -> dict[str, Any]:
    """One condition of an object; empty where it has none of that type."""
    found = (item for item in obj.get("status", {}).get("conditions", []) if item["type"] == kind)
    return next(found, {})


def is_done(obj: Obj) -> bool:
    """Whether the run has succeeded, served verifier included."""
    return bool(condition(obj, "Ready").get("status") == "True")


def is_stuck(obj: Obj) -> bool:
    """Whether the run has failed or cannot go on by itself."""
    return bool(condition(obj, "Stalled").get("status") == "True")


def live(objects: list[Obj], events: list[str], seconds: float) -> RenderableType:
    """The picture of one moment: a row an object, the latest events below."""
    table = Table(expand=True, box=None, pad_edge=False)
    for name, ratio in (("", 8), ("phase", 4), ("", 4), ("progress", 14), ("figures", 14)):
        table.add_column(name, ratio=ratio, no_wrap=True, overflow="ellipsis")
    for obj in objects:
        status = obj.get("status", {})
        phase = status.get("phase", "Pending")
        progress = status.get("progress", {})
        table.add_row(
            Text(obj["kind"], style="bold"),
            Text(phase, style=COLOURS.get(phase, "")),
            ProgressBar(total=100, completed=progress.get("percent", 0)),
            progress.get("display") or condition(obj, "Ready").get("message", ""),
            figures(obj),
        )
    clock = f"{int(seconds) // 60}:{int(seconds) % 60:02}"
    tail = Text("\n".join(events[-LINES:]), style="dim", no_wrap=True, overflow="ellipsis")
    return Group(Panel(table, title=f"reasoner demo  {clock}"), tail)


def line(obj: Obj) -> str:
    """One run in one line."""
    status = obj.get("status", {})
    parts = (status.get("phase", "Pending"), status.get("progress", {}).get("display", ""), figures(obj))
    return f"{obj['kind']}: {', '.join(part for part in parts if part)}"


def figures(obj: Obj) -> str:
    """What the run has measured so far, in a few words: beside the progress, which counts the steps."""
    status = obj.get("status", {})
    if obj["kind"] == "CurationJob":
        stages = status.get("stages", [])
        usage = status.get("usage", {})
        parts = [f"{stages[0]['in']} → {stages[-1]['out']} rows"] if stages else []
        parts += [f"{usage['requests']} requests", f"${usage['costUSD']:.3f}"] if usage.get("requests") else []
        return ", ".join(parts)
    if obj["kind"] == "VerifierTraining":
        parts = [f"loss {status['loss']:.3f}"] if "loss" in status else []
        parts += [f"agreement {status['agreementPercent']}"] if "agreementPercent" in status else []
        return ", ".join(parts)
    parts = [f"reward {status['rewardText']}"] if "rewardText" in status else []
    parts += [f"accuracy {status['accuracy']:.2f}"] if "accuracy" in status else []
    return ", ".join(parts)


def funnel(obj: Obj) -> Table:
    """The dataset's funnel."""
    table = Table(title="The dataset's funnel", title_justify="left")
    for name in ("stage", "in", "out", "dropped"):
        table.add_column(name, justify="right" if name in ("in", "out") else "left")
    for stage in obj["status"]["stages"]:
        dropped = ", ".join(f"{count} {reason}" for reason, count in sorted(stage.get("dropped", {}).items()))
        table.add_row(stage["name"], str(stage["in"]), str(stage["out"]), dropped)
    return table


def artifacts(objects: list[Obj]) -> Iterator[str]:
    """Where everything lies: a line an artifact, whole, for copying."""
    for obj in objects:
        for what, item in obj["status"].get("artifacts", {}).items():
            rows = f", {item['rows']} rows" if "rows" in item else ""
            yield f"  {obj['kind']} {what}{rows}, {item['digest']}\n    {item['uri']}"
