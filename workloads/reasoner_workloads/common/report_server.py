"""The HTTP server of a pod's report: `/progress` (JSON) and `/metrics` (Prometheus). Started by `progress`."""

from __future__ import annotations

import re
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

#: What the figures of a report are, by name; `workloads/README.md` lists them.
HELP = {
    "step": "Optimizer steps done",
    "max_steps": "Optimizer steps in all",
    "reward": "Mean training reward of the last generation",
    "accuracy": "Share of the last generation that the verifier passed",
    "extraction_failures": "Share of the last generation that no answer could be extracted from",
    "verifier_undecided": "Share of the last generation that the verifier did not decide on",
    "response_length": "Mean response of the last generation in tokens",
    "kl": "Mean KL divergence from the base model in nats a token",
    "entropy": "Mean entropy of the policy in nats a token",
    "loss": "Training loss",
    "tokens_per_second": "Tokens read and generated a second by all processes",
    "generation_seconds": "Seconds that sampling the last generation took",
    "reward_seconds": "Seconds that the scores of the last generation were waited for",
    "update_seconds": "Seconds that learning from the generation before took",
    "reward_before": "Mean reward on held-out questions before training",
    "reward_after": "Mean reward on held-out questions at the newest measurement",
    "accuracy_before": "Share of held-out questions answered right before training",
    "accuracy_after": "Share of held-out questions answered right at the newest measurement",
    "agreement": "Share of held-out verdicts that are the teacher's",
}
_NO_NAME = re.compile(r"[^a-zA-Z0-9_]")


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
        if report.progress.eta_seconds is not None:
            yield GaugeMetricFamily(
                "reasoner_eta_seconds", "Seconds to the end by the pace", report.progress.eta_seconds
            )
        for name, value in report.metrics.items():
            known = HELP.get(name, f"{name} of the run")
            yield GaugeMetricFamily(f"reasoner_run_{_NO_NAME.sub('_', name)}", known, value)


def _stages(report: RunReport) -> Iterable[Metric]:
    rows = GaugeMetricFamily("reasoner_stage_rows", "Rows into and out of each stage", labels=["stage", "direction"])
    dropped = GaugeMetricFamily("reasoner_stage_dropped_rows", "Rows dropped", labels=["stage", "reason"])
    for stage in report.stages:
        rows.add_metric([stage.name, "in"], stage.rows_in)
        rows.add_metric([stage.name, "out"], stage.rows_out)
        for reason, count in stage.dropped.items():
            dropped.add_metric([stage.name, reason], count)
    return (rows, dropped)
