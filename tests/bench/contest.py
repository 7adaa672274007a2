"""Cases that run in turn, several times: medians, ratios, rows a second, CPU of client and server, memory.

What comes out is plain data (`Result`): printed as a table, kept in a file, made into a page by the documentation.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from measure import Failed, Measured, measure

Result = dict[str, Any]
RESULTS = Path(__file__).resolve().parent / "results.json"
QUIET = 0.1
"""Share of the machine that others may take before results are doubted."""
SLOW = 60.0
"""Seconds after which a peer is not asked again."""


@dataclass(frozen=True)
class Case:
    """One way to do the work.

    role: "limit" (the first one is what others are measured against), "wherry", "peer", or "other".
    before: run before each run, untimed.  values: what is to be said of what arrived, after the first run; it raises
    SystemExit for what is wrong with a limit or Wherry.  rows: if they are fewer than the others'.
    seconds: of a run and what it printed, the time that counts, if not the whole.
    """

    name: str
    role: str
    command: Callable[[], Sequence[str]]
    env: Callable[[], Mapping[str, str]] = dict
    before: Callable[[], None] = lambda: None
    values: Callable[[Measured], str] = lambda run: ""
    version: str = ""
    rows: int = 0
    seconds: Callable[[Measured], float] | None = None
    limit: float = 3600


@dataclass
class Runs:
    """What was measured of a case. times: the seconds that count.  why: it is out, for this reason."""

    case: Case
    measured: list[Measured] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    values: str = ""
    why: str = ""


def held(cases: Sequence[Case], times: int, server: int = 0) -> list[Runs]:
    """Run the cases in turn so many times. A peer that fails is out; one that takes a minute runs once."""
    all_runs = [Runs(case) for case in cases]
    for _ in range(times):
        for runs in all_runs:
            if runs.why or (runs.case.role == "peer" and runs.times and max(runs.times) > SLOW):
                continue
            try:
                _once(runs, server)
            except Failed as error:
                if runs.case.role not in ("peer", "other"):
                    raise
                runs.why = str(error)
    return all_runs


def _once(runs: Runs, server: int) -> None:
    case = runs.case
    case.before()
    os.sync()
    command, env = list(case.command()), dict(case.env())
    found = measure(command, env, server=server, seconds=case.limit, output=case.role != "limit" or bool(case.seconds))
    runs.measured.append(found)
    runs.times.append(case.seconds(found) if case.seconds else found.wall)
    if len(runs.times) == 1:
        runs.values = case.values(found)
    print(f"  {case.name}: {runs.times[-1]:.2f} s", file=sys.stderr, flush=True)


def result(title: str, rows: int, all_runs: Sequence[Runs], missing: Mapping[str, str] | None = None) -> Result:
    """The plain data of a contest. missing: peers that would not install, with the reason."""
    done = [runs for runs in all_runs if runs.times]
    limit = next((_pace(runs, rows) for runs in done if runs.case.role == "limit"), 0.0)
    out = dict(missing or {}) | {runs.case.name: runs.why for runs in all_runs if runs.why}
    return {
        "title": title,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        "rows": rows,
        "others": round(_others(done), 3),
        "cases": [_of_case(runs, rows, limit) for runs in done if not runs.why],
        "missing": {name: why.strip().splitlines()[-1] for name, why in out.items()},
    }


def _others(all_runs: Iterable[Runs]) -> float:
    """Of the CPU there was during the runs, the share that other programs took."""
    measured = [m for runs in all_runs for m in runs.measured]
    there = sum(m.wall for m in measured) * len(os.sched_getaffinity(0))
    return sum(m.others for m in measured) / there if there else 0.0


def _pace(runs: Runs, rows: int) -> float:
    """Seconds for all rows."""
    return statistics.median(runs.times) * rows / (runs.case.rows or rows)


def _of_case(runs: Runs, rows: int, limit: float) -> Result:
    middle = statistics.median(runs.times)
    case, pace = runs.case, _pace(runs, rows)
    return {
        "name": case.name,
        "role": case.role,
        "version": case.version,
        "rows": case.rows or rows,
        "times": [round(t, 3) for t in runs.times],
        "seconds": round(middle, 3),
        "wall": round(statistics.median(m.wall for m in runs.measured), 3),
        "ratio": round(pace / limit, 3) if limit else None,
        "rate": round(rows / pace),
        "cpu": round(statistics.median(m.cpu for m in runs.measured), 2),
        "server": round(statistics.median(m.server for m in runs.measured), 2),
        "memory": round(statistics.median(m.rss for m in runs.measured), 1),
        "values": runs.values,
    }


def machine() -> dict[str, Any]:
    """What it ran on."""
    cpu = next((line.partition(":")[2] for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": cpu.strip() or platform.machine(),
        "memory": f"{memory / (1 << 20):.0f} GiB",
        "python": platform.python_version(),
        "wherry": _commit(),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _commit() -> str:
    command = ["git", "-C", str(RESULTS.parent), "rev-parse", "--short=10", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip()


def heads() -> tuple[str, ...]:
    """Of the columns of `lines`."""
    return ("", "seconds", "× limit", "rows/s", "CPU s", "server s", "MiB", "runs", "values")


def lines(found: Result) -> list[tuple[str, ...]]:
    """A row of text for each case."""
    return [
        (
            " ".join(filter(None, (c["name"], c["version"]))),
            f"{c['seconds']:.2f}" + (f" for {c['rows']:,} rows" if c["rows"] != found["rows"] else ""),
            f"{c['ratio']:.2f}" if c["ratio"] else "",
            f"{c['rate']:,}",
            f"{c['cpu']:.1f}",
            f"{c['server']:.1f}",
            f"{c['memory']:.0f}",
            str(len(c["times"])),
            c["values"],
        )
        for c in found["cases"]
    ]


def printed(found: Result) -> None:
    """A table for people."""
    table = [heads(), *lines(found)]
    widths = [max(len(row[n]) for row in table) for n in range(len(table[0]))]
    print(f"{found['title']}: {found['rows']:,} rows, {found['machine']['cores']} cores, {found['date']}")
    for row in table:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        print("  " + "  ".join([row[0].ljust(widths[0]), *cells[1:-1], row[-1]]).rstrip())
    if found["others"] > QUIET:
        print(f"  other programs took {found['others']:.0%} of the machine meanwhile: the ratios say little")
    for name, why in found["missing"].items():
        print(f"  not counted: {name}: {why}")
    sys.stdout.flush()


def ratio(found: Result, one: str, other: str) -> float:
    """Of the times for all rows of two cases, by their names."""
    paces = {c["name"]: c["seconds"] / c["rows"] for c in found["cases"]}
    return float(paces[one] / paces[other])


def fastest(found: Result, role: str) -> Result | None:
    """The fastest case of this role."""
    return min((c for c in found["cases"] if c["role"] == role), key=lambda c: c["seconds"] / c["rows"], default=None)


# --- the commands' options


def options(doc: str | None, rows: int = 5_000_000, times: int = 3, **more: Mapping[str, Any]) -> argparse.Namespace:
    """What every workload understands; `more`: further options by name."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=rows)
    parser.add_argument("--times", type=int, default=times, help="runs of each; a peer that takes a minute runs once")
    parser.add_argument("--peers", default="all", metavar="NAMES", help="all, none, or names with commas")
    parser.add_argument("--cache", metavar="FOLDER", help="where the peers are installed")
    parser.add_argument("--json", metavar="FILE", help="write the results there too")
    parser.add_argument("--profile", action="store_true", help="one run more of Wherry, to see where its time goes")
    parser.add_argument("--save", action="store_true", help=f"put them into {RESULTS.name}, for the documentation")
    for name, how in more.items():
        parser.add_argument(f"--{name}", **how)
    asked = parser.parse_args()
    if asked.cache:
        os.environ["WHERRY_BENCH_CACHE"] = str(Path(asked.cache).resolve())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # commands, servers and folders go with it
    return asked


def finished(asked: argparse.Namespace, found: Iterable[Result]) -> None:
    """Print the results, and keep them where that was asked for."""
    by_title = {one["title"]: one for one in found}
    for one in by_title.values():
        printed(one)
    if asked.json:
        Path(asked.json).write_text(json.dumps(by_title, indent=1, ensure_ascii=False) + "\n")
    if asked.save:
        kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        RESULTS.write_text(json.dumps(dict(sorted((kept | by_title).items())), indent=1, ensure_ascii=False) + "\n")
