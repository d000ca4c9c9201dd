"""The word a pod leaves: `/progress` (a RunReport) and `/metrics` (Prometheus) while it runs, the termination message
at its end, a line for people now and then. Made by `run`, updated by the workloads."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reasoner_api.report import RunReport
from reasoner_api.status import Progress, Warned
from reasoner_api.task import REPORT_PORT
from reasoner_workloads.common.report_server import ReportServer, serve

TERMINATION_LOG = "/dev/termination-log"
#: Warnings that a report holds; older ones go.
WARNINGS = 5


@dataclass(frozen=True)
class Word:
    """Where the word is left."""

    host: str = ""
    """Address to serve on; every address when empty."""
    port: int = REPORT_PORT
    """Port to serve on; 0 for any free one."""
    termination_log: Path | None = None
    """File of the termination message."""
    every_seconds: float = 5.0
    """Seconds between lines for people."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Word:
        """As the pod's environment says: POD_IP, REPORT_PORT, TERMINATION_MESSAGE_PATH."""
        named = env.get("TERMINATION_MESSAGE_PATH")
        log = Path(named or TERMINATION_LOG)
        return cls(
            host=env.get("POD_IP", ""),
            port=int(env.get("REPORT_PORT", REPORT_PORT)),
            # A container runtime makes the default file before the start: where it is not, this is no pod.
            termination_log=log if named or log.exists() else None,
        )


class Reporter:
    """Holds the run's report. Thread-safe; `close` leaves the termination message."""

    def __init__(self, word: Word | None = None) -> None:
        self.word = word or Word.from_env(os.environ)
        self._report = RunReport()
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._pace: tuple[float, float] | None = None
        self._printed = ""
        self._server: ReportServer = serve(self.word.host, self.word.port, lambda: self.report)
        self._printer = threading.Thread(target=self._print_now_and_then, name="report-printer", daemon=True)
        self._printer.start()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port it serves on."""
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    @property
    def report(self) -> RunReport:
        """The report as it stands."""
        with self._lock:
            return self._report

    def update(self, **changes: Any) -> None:
        """Replace fields of the report; `metrics` and `artifacts` are merged into what is there."""
        with self._lock:
            for name in ("metrics", "artifacts"):
                if name in changes:
                    changes[name] = {**getattr(self._report, name), **changes[name]}
            # Built from fields, not copied, so that a wrong name or type shows here and not at a reader.
            fields = {name: getattr(self._report, name) for name in RunReport.model_fields}
            if unknown := changes.keys() - fields.keys():
                raise TypeError(f"RunReport has no {', '.join(sorted(unknown))}")
            self._report = RunReport(**(fields | changes))

    def warn(self, reason: str, message: str) -> None:
        """Tell of something that does not end the run: in the log, and to the operator, which raises an Event."""
        print(f"warning: {reason}: {message}", flush=True)
        with self._lock:
            told = [*self._report.warnings, Warned(reason=reason, message=message)]
            self._report = self._report.model_copy(update={"warnings": told[-WARNINGS:]})

    def store_away(self, message: str) -> None:
        """Tell of a store that has stopped answering and is waited for."""
        self.warn("StoreAway", message)

    def advance(self, fraction: float, display: str) -> None:
        """Say how much of the work is done, 0 to 1, and what is being done. The time left follows from the pace since
        the first call, so that work found done at a restart does not flatter it."""
        now = time.monotonic()
        fraction = min(max(fraction, 0.0), 1.0)
        with self._lock:
            if self._pace is None:
                self._pace = (now, fraction)
            began, start = self._pace
            eta = round((now - began) / (fraction - start) * (1 - fraction)) if fraction > start else None
            progress = Progress(percent=int(fraction * 100), eta_seconds=eta, display=display)
            self._report = self._report.model_copy(update={"progress": progress})

    def close(self) -> None:
        """Leave the termination message and stop serving."""
        if self._done.is_set():
            return
        self._done.set()
        self._printer.join()
        self._print()
        if self.word.termination_log is not None:
            self.word.termination_log.write_text(self.report.termination_message(), encoding="utf-8")
        self._server.shutdown()
        self._server.server_close()

    def _print_now_and_then(self) -> None:
        while not self._done.wait(self.word.every_seconds):
            self._print()

    def _print(self) -> None:
        text = line(self.report)
        if text != self._printed:
            print(text, flush=True)
            self._printed = text


def line(report: RunReport) -> str:
    """The report in one line for people."""
    parts = [report.state, f"{report.progress.percent}%", report.progress.display]
    if report.state == "Running" and report.progress.eta_seconds is not None:
        parts.append(f"{report.progress.eta_seconds} s left")
    parts += [f"{name}={value:.4g}" for name, value in report.metrics.items()]
    if report.usage is not None:
        parts.append(f"{report.usage.requests} requests, {report.usage.cost_usd:.4f} USD")
    return " | ".join(part for part in (*parts, report.reason, report.message) if part)
