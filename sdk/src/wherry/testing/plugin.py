"""pytest plugin: the suites' marker and option, and the count of waivers at the end of a run."""

from __future__ import annotations

from typing import Any

import pytest

for name in ("bench", "destination_suite", "source_suite", "suite"):
    pytest.register_assert_rewrite(f"wherry.testing.{name}")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--wherry-update`, `--wherry-record`, `--wherry-recordings`."""
    parser.addoption("--wherry-update", action="store_true", help="write the suites' files of promises anew")
    parser.addoption("--wherry-record", action="store_true", help="record the HTTP traffic of sources anew")
    parser.addoption("--wherry-recordings", metavar="FOLDER", help="of recorded traffic; tests/recordings by default")


def pytest_configure(config: pytest.Config) -> None:
    """The marker that `wherry.testing.suite.cases` sets."""
    config.addinivalue_line("markers", "wherry_cases(name, values): cases of a conformance suite")


def pytest_report_teststatus(report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, str] | None:
    """Conformance tests that ask for what a connector does not have are a category of their own."""
    from wherry.testing.suite import NOT_APPLICABLE

    if report.skipped and isinstance(report.longrepr, tuple) and NOT_APPLICABLE in report.longrepr[2]:
        return "not applicable", "-", "NOT APPLICABLE"
    return None


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many waivers, and why."""
    from wherry.testing.suite import WAIVER

    waived: dict[str, int] = {}
    for report in terminalreporter.stats.get("xfailed", ()):
        reason = str(getattr(report, "wasxfail", "")).removeprefix("reason: ")
        if reason.startswith(WAIVER):
            reason = reason.removeprefix(WAIVER)
            waived[reason] = waived.get(reason, 0) + 1
    if waived:
        terminalreporter.write_line(f"conformance: {sum(waived.values())} waivers")
        for reason, count in waived.items():
            terminalreporter.write_line(f"  {count} × {reason}")
