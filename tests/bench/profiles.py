"""Where Wherry's time goes, in a run of its own; and what further cores would give, by estimate.

The run is slower by a few percent than one that is not looked at.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contest import Case, Result, Runs
from measure import Measured, measure

WATCHED = Path(__file__).resolve().parent / "profiled"
LINES = 12
POOL = "threads of Arrow and DuckDB"
SESSION = "busiest session of the server"


def profiles(asked: argparse.Namespace, all_runs: Sequence[Runs], server: int = 0) -> Result:
    """Of Wherry's cases, for the contest's result, if that was asked for."""
    if not asked.profile:
        return {}
    ours = [runs.case for runs in all_runs if runs.case.role == "wherry"]
    return {"profiles": {case.name: profiled(case, server) for case in ours}}


def profiled(case: Case, server: int = 0) -> Result:
    """Run it once, looked at. threads, server, total in CPU seconds."""
    case.before()
    with tempfile.TemporaryDirectory() as folder:
        env = {**case.env(), "WHERRY_BENCH_PROFILE": folder, "PYTHONPATH": str(WATCHED)}
        run = measure(case.command(), env, server=server, output=True)
        found = [json.loads(file.read_text()) for file in Path(folder).iterdir()]
    return summed(max(found, key=lambda one: float(one["cpu"])), run)


def summed(found: Mapping[str, Any], run: Measured) -> Result:
    """What is worth keeping of it."""
    threads = {**_kinds(found["threads"]), POOL: max(0.0, found["others"])}
    session = max(run.sessions.values(), default=0.0)
    single = max([*found["threads"].values(), session])
    return {
        "wall": run.wall,
        "cpu": found["cpu"],
        "server": run.server,
        "threads": {name: round(cpu, 2) for name, cpu in threads.items() if cpu >= 0.01},
        "session": round(session, 2),
        "lines": _lines(found["lines"]),
        "cores": {str(n): round(estimated(run.wall, found["cpu"] + run.server, single, n), 2) for n in (3, 4)},
        "single": round(single, 2),
    }


def _kinds(threads: Mapping[str, float]) -> dict[str, float]:
    """Threads that do the same work, as those of several lanes, together."""
    together: dict[str, float] = {}
    for name, cpu in threads.items():
        kind = name.rstrip(" 0123456789_-") or name
        together[kind] = together.get(kind, 0.0) + cpu
    return dict(sorted(together.items(), key=lambda one: -one[1]))


def _lines(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines that took most, whichever thread was in them."""
    together: dict[tuple[str, str], float] = {}
    for one in lines:
        start = one["where"].endswith("<module>")
        key = ("imports", "") if start else (str(one["where"]), str(one["line"]))
        together[key] = together.get(key, 0.0) + float(one["cpu"])
    most = sorted(together.items(), key=lambda one: -one[1])[:LINES]
    return [{"where": where, "line": line, "cpu": round(cpu, 2)} for (where, line), cpu in most]


def estimated(wall: float, total: float, single: float, cores: int, now: int = 2) -> float:
    """Seconds it would take with so many cores.

    Nothing takes less than all CPU seconds divided by the cores, nor than the busiest thread that cannot be divided;
    how far the measured time is above that bound is taken to stay as it is.
    """
    return wall * max(total / cores, single) / max(total / now, single)
