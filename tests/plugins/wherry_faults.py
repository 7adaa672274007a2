"""Fault tests: `@pytest.mark.fault(ROW, tier=0)` says which row of the fault matrix a test proves, and in which tier.

Tier 0 runs with the other tests, tiers 1 and 2 with `--tier`; `--fault-row` chooses rows, `--fault-report` keeps
results.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from harness.matrix import ROWS


def pytest_addoption(parser: pytest.Parser) -> None:
    """--tier and --fault-report."""
    parser.addoption("--tier", type=int, default=0, choices=(0, 1, 2), help="fault tests up to this tier")
    parser.addoption("--fault-row", type=int, action="append", default=[], help="only fault tests of this row")
    parser.addoption("--fault-report", metavar="FILE", help="write results by row as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Collect results by row."""
    config.pluginmanager.register(_Results(config.getoption("--fault-report")), "fault-results")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out higher tiers and other rows; note each test's rows."""
    tier, rows = config.getoption("--tier"), set(config.getoption("--fault-row"))
    kept, left = [], []
    for item in items:
        marks = list(item.iter_markers("fault"))
        proved = {mark.args[0] for mark in marks}
        assert proved <= ROWS.keys(), f"{item.nodeid} proves rows that are not in the matrix: {proved - ROWS.keys()}"
        lowest = min((mark.kwargs.get("tier", 0) for mark in marks), default=0)
        (kept if lowest <= tier and (not rows or rows & proved) else left).append(item)
        item.user_properties += [("fault", row) for row in sorted(proved)]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


@dataclass(eq=False)
class _Results:
    """By row: tests passed, failed, skipped; cases, where a test counts several; seconds."""

    file: str | None
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count one test's outcome for each of its rows."""
        properties = dict(p for p in report.user_properties if p[0] != "fault")
        for row in (value for name, value in report.user_properties if name == "fault"):
            found = self.rows.setdefault(
                row, {"passed": 0, "failed": 0, "skipped": 0, "cases": 0, "seconds": 0.0, "failures": []}
            )
            found["seconds"] = round(found["seconds"] + report.duration, 3)
            if report.when == "call" or report.outcome != "passed":
                found[report.outcome] += 1
                found["cases"] += int(properties.get("cases", 1)) if report.outcome == "passed" else 0
                if report.failed:
                    found["failures"].append(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write them down; where several processes share the tests, the one that hears of all results does."""
        if self.file and not hasattr(session.config, "workerinput"):
            Path(self.file).write_text(json.dumps(self.rows, indent=1, sort_keys=True))
