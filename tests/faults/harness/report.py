"""Results by row, as lines for a terminal and as a page of the documentation."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.matrix import GROUPS, ROWS, Row

ROOT = Path(__file__).resolve().parents[3]
RESULTS = Path(__file__).resolve().parent.parent / "results.json"
PAGE = ROOT / "sdk" / "docs" / "reliability.md"

Results = Mapping[int, Mapping[str, Any]]


def word(row: Row, found: Results) -> str:
    """What came of a row: "ok", "FAILED", "no result", or "absent"."""
    result = found.get(row.number)
    if result is None:
        return "absent" if row.absent else "no result"
    if result["failed"]:
        return "FAILED"
    return "ok" if result["passed"] else "no result"


def lacking(found: Results, rows: set[int] | None) -> list[int]:
    """Rows that failed or have no result."""
    wanted = (ROWS[number] for number in sorted(rows or ROWS))
    return [row.number for row in wanted if word(row, found) in ("FAILED", "no result")]


def verdict(found: Results, rows: set[int] | None) -> str:
    """How many rows are how."""
    words = [word(ROWS[number], found) for number in sorted(rows or ROWS)]
    cases = sum(result["cases"] for number, result in found.items() if not rows or number in rows)
    told = ", ".join(f"{words.count(kind)} {kind}" for kind in ("ok", "FAILED", "no result", "absent") if kind in words)
    return f"{told}, {cases:,} cases"


def lines(found: Results, tier: int, rows: set[int] | None) -> list[str]:
    """The matrix, and for each row that is not ok how to run it alone."""
    told = []
    for group, members in GROUPS.items():
        shown = [row for row in members if rows is None or row.number in rows]
        if shown:
            told.append(f"\n{group}")
        for row in shown:
            result, said = found.get(row.number, {}), word(row, found)
            figure = f"{result['cases']:>5} cases {result['seconds']:>6.1f} s" if result else " " * 20
            told.append(f"  {row.number:>2}  {said:9} {figure}  {row.fault}")
            if row.absent:
                told.append(f"      {row.absent}")
            elif said != "ok":
                told.append(f"      {command(row, tier)}")
            told += [f"      {name}" for name in result.get("failures", ())]
    return [*told, ""]


def command(row: Row, tier: int) -> str:
    """What runs a row alone."""
    return f"tests/faults/run --tier {tier} --row {row.number}"


def write(found: Results, tier: int, rows: set[int] | None) -> None:
    """Keep the results, those of other rows as they were, and make the page anew."""
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"rows": {}}
    fresh = {
        str(number): {"tier": tier} | {key: result[key] for key in ("passed", "failed", "skipped", "cases")}
        for number, result in found.items()
        if not rows or number in rows
    }
    kept["rows"] = (kept["rows"] if rows else {}) | fresh
    kept["when"] = datetime.now(UTC).date().isoformat()
    kept["with"] = versions()
    kept["rows"] = dict(sorted(kept["rows"].items(), key=lambda entry: int(entry[0])))
    RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
    PAGE.write_text(page())


def versions() -> str:
    """What the tests ran with."""
    import duckdb
    import pyarrow

    engines = f"DuckDB {duckdb.__version__}, pyarrow {pyarrow.__version__}"
    return f"Python {platform.python_version()}, {engines}, {platform.system()}"


def page() -> str:
    """The documentation's page, of the results that are kept."""
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"rows": {}, "when": "never", "with": "nothing"}
    found = {int(number): {"seconds": 0.0} | result for number, result in kept["rows"].items()}
    told = [HEAD.format(when=kept["when"], versions=kept["with"], verdict=verdict(found, None))]
    for group, members in GROUPS.items():
        told.append(f"\n## {group}\n\n| # | fault | what must come of it | result |\n|---|---|---|---|")
        for row in members:
            result = found.get(row.number)
            said = row.absent or word(row, found)
            if result and not row.absent:
                said += f", {result['cases']:,} cases (tier {result['tier']})"
            told.append(f"| {row.number} | {row.fault} | {row.outcome} | {said} |")
    return "\n".join(told) + "\n"


HEAD = """# Reliability, as tested

Every way to fail that we know of, what has to come of it, and what came of it when it was last tried: with real
processes that are killed, real servers that restart, real disks that are full. What is promised, and why it holds,
is in [delivery guarantees](delivery-guarantees.md). This page is made of results, by `tests/faults/run --write`; a row
without a result counts as failed.

Last tried {when} with {versions}: {verdict}.

"exact": after the fault is gone the same command is run again, and the tables equal those of an undisturbed run, row by
row; no bookmark was ever ahead of its rows, and nothing is left behind. Tier 0 runs with the ordinary tests, tier 1 in
minutes (`tests/faults/run`), tier 2 takes its time (`tests/faults/run --tier 2`). One row alone:
`tests/faults/run --tier 1 --row 15`."""
