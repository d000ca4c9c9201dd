"""Every check runs on the embedded server and, with --cluster, on the test cluster that KUBECONFIG names as well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from support.conformance import EMBEDDED, Subject, embedded, real
from support.real import named_cluster

_CONTEXT = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--cluster"):
        config.stash[_CONTEXT] = named_cluster()[1]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "api" in metafunc.fixturenames:
        context = metafunc.config.stash.get(_CONTEXT, None)
        metafunc.parametrize("api", [EMBEDDED, *([context] if context else [])], indirect=True, scope="session")


@pytest.fixture(scope="session")
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    """The server to hold to its promises."""
    if request.param == EMBEDDED:
        with embedded(tmp_path_factory.mktemp("embedded")) as subject:
            yield subject
    else:
        with real(*named_cluster()) as subject:
            yield subject


@pytest.fixture(autouse=True)
def _noted(api: Subject, record_property: Callable[[str, object], None]) -> None:
    record_property("server", api.name)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line: how many checks each server passes."""
    passed, all_of = Counter[str](), Counter[str]()
    for outcome in ("passed", "failed", "xfailed"):
        for report in terminalreporter.getreports(outcome):
            if report.when == "call" and "conformance" in report.nodeid:
                server = dict(report.user_properties).get("server")
                all_of[server] += 1
                passed[server] += outcome == "passed"
    for server, total in all_of.items():
        terminalreporter.write_line(f"conformance on {server}: {passed[server]} of {total}")
