"""What a hostile web can do to a CurationJob: runs every named case of the tests and counts them by kind. Each must end
as a counted drop or a clear error, never as a crash; a listener on every address of this machine sees that none that is
not public is connected to. Exits with 1 where a case fails or there are fewer than 60.

    .venv/bin/python benchmarks/curation_hostile.py"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent / "tests" / "workloads"
FEWEST = 60
#: By test, what its cases are; those of other tests count as what their file is about.
KINDS = {
    "test_an_address_that_is_not_public_is_forbidden": "addresses that are not public",
    "test_no_spelling_of_an_address_inside_is_connected_to": "spellings of an address inside",
    "test_no_redirect_leads_inside": "redirects",
    "test_no_redirect_of_another_kind_does": "redirects",
    "test_a_server_that_does_not_play_by_the_rules_is_a_drop": "servers: bombs, endless and slow bodies, broken HTTP",
    "test_a_broken_encoding_is_text_all_the_same": "broken encodings",
    "test_robots_however_they_are_served": "robots.txt",
    "test_a_page_built_to_wear_its_reader_out_is_read_or_dropped": "pages built to wear their reader out",
    "test_a_pages_text_stays_between_its_tags": "prompt injections",
    "test_an_answer_that_the_page_does_not_give_is_a_drop": "prompt injections",
    "test_a_malformed_line_is_a_counted_drop_and_the_next_is_read": "malformed rows",
    "test_an_odd_line_is_read": "malformed rows",
    "test_a_malformed_row_of_a_table_is_a_counted_drop": "malformed rows",
    "test_a_broken_file_ends_the_run_and_the_fault_names_the_field": "broken files",
}
FILES = {
    "test_curation_hostile_web.py": "name servers, proxies, limits of the spec",
    "test_curation_hostile_pages.py": "prompt injections",
    "test_curation_source_malformed.py": "broken files",
    "test_curation_source_warc.py": "WARC records",
    "test_curation_hostile_job.py": "a whole job of thirty hostile rows, servers and replies",
}


class Count:
    """A pytest plugin that counts what has passed and failed."""

    def __init__(self) -> None:
        self.passed: Counter[str] = Counter()
        self.failed: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One phase of one case."""
        if report.failed:
            self.failed.append(report.nodeid)
        elif report.when == "call" and report.passed:
            path, _, name = report.nodeid.partition("::")
            self.passed[KINDS.get(name.partition("[")[0]) or FILES[Path(path).name]] += 1


def main() -> int:
    """Run and count."""
    count = Count()
    pytest.main(["-q", "--no-header", "-p", "no:cacheprovider", *(str(TESTS / name) for name in FILES)], [count])
    for kind, number in count.passed.most_common():
        print(f"{number:5}  {kind}")
    print(f"{count.passed.total():5}  cases, {len(count.failed)} failed")
    for name in count.failed:
        print(f"       {name}")
    return int(bool(count.failed) or count.passed.total() < FEWEST)


if __name__ == "__main__":
    sys.exit(main())
