"""The HTTP server of a pod's report: `/progress` (JSON) and `/metrics` (Prometheus). Started by `progress`."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from reasoner_api.report import RunReport


class ReportServer(ThreadingHTTPServer):
    """Serves what `report` gives at each request."""

    daemon_threads = True
    report: Callable[[], RunReport]

    @cached_property
    def registry(self) -> CollectorRegistry:
        """Figures of the process, and the report's."""
        registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        registry.register(_ReportCollector(self.report))
        return registry


class _Handler(BaseHTTPRequestHandler):
    server: ReportServer

    def do_GET(self) -> None:
        if self.path == "/progress":
            body = self.server.report().model_dump_json(by_alias=True).encode()
            self._answer(200, "application/json", body)
        elif self.path == "/metrics":
            self._answer(200, CONTENT_TYPE_LATEST, generate_latest(self.server.registry))
        else:
            self._answer(404, "text/plain", b"/progress and /metrics are here\n")

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Each poll in the log would bury the run's own lines."""


def serve(host: str, port: int, report: Callable[[], RunReport]) -> ReportServer:
    """A bound server in a daemon thread; `server_address` says where."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server_class = type("ReportServer", (ReportServer,), {"address_family": family})
    server: ReportServer = server_class((host, port), _Handler)
    server.report = report
    threading.Thread(target=server.serve_forever, name="report-server", daemon=True).start()
    return server


class _ReportCollector:
    """The report as Prometheus metrics, built at each scrape from the one truth."""

    def __init__(self, report: Callable[[], RunReport]) -> None:
        self.report = report

    def collect(self) -> Iterable[Metric]:
        report = self.report()
        yield GaugeMetricFamily("reasoner_progress_ratio", "Share of the work done", report.progress.percent / 100)
        if report.stages:
            yield from _stages(report)
        if report.usage is not None:
            usage = report.usage
            yield CounterMetricFamily("reasoner_llm_requests", "Requests answered by models", usage.requests)
            tokens = CounterMetricFamily("reasoner_llm_tokens", "Tokens sent and received", labels=["direction"])
            tokens.add_metric(["prompt"], usage.prompt_tokens)
            tokens.add_metric(["completion"], usage.completion_tokens)
            yield tokens
            yield CounterMetricFamily("reasoner_llm_cost_usd", "Cost of the models in US dollars", usage.cost_usd)
        if report.metrics:
            figures = GaugeMetricFamily("reasoner_run", "Figures of the run", labels=["figure"])
            for name, value in report.metrics.items():
                figures.add_metric([name], value)
            yield figures


def _stages(report: RunReport) -> Iterable[Metric]:
    rows = GaugeMetricFamily("reasoner_stage_rows", "Rows into and out of each stage", labels=["stage", "direction"])
    dropped = GaugeMetricFamily("reasoner_stage_dropped_rows", "Rows dropped", labels=["stage", "reason"])
    for stage in report.stages:
        rows.add_metric([stage.name, "in"], stage.rows_in)
        rows.add_metric([stage.name, "out"], stage.rows_out)
        for reason, count in stage.dropped.items():
            dropped.add_metric([stage.name, reason], count)
    return (rows, dropped)
