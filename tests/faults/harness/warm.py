"""Runs of the command in forks of a process that has imported everything: real processes, without their start-up.

`python -m harness.warm` is the server. It takes one order a line on stdin, a JSON object of args, env, cwd, out, err,
failpoint, passed, commit_rows and patience, and answers each with a line of code, seconds and peak. A run is a fork in
a session of its own, that goes the way of the installed command and ends as that does.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from harness.child import PATIENCE, Ended

IMPORTED = (
    "duckdb", "psycopg", "pyarrow.compute", "pyarrow.csv", "wherry.cli.execute", "wherry.cli.summary",
    "wherry.cli.sync", "wherry.pipeline.run", "wherry.sql.session", "wherry_destination_duckdb.ddl",
    "wherry_destination_duckdb.destination", "wherry_destination_postgres.ddl",
    "wherry_destination_postgres.destination", "wherry_ledger", "wherry_source_files.source",
    "wherry_source_postgres.source", "wherry_source_rest.source",
)  # fmt: skip


@dataclass
class Warm:
    """The server, as tests use it."""

    process: subprocess.Popen[str]
    env: Mapping[str, str]
    """Of the server; each run gets its own."""

    @classmethod
    def start(cls, plugins: Path) -> Warm:
        """Start one that knows the plugins of a folder."""
        here = str(Path(__file__).parents[1])
        ours = os.environ.get("PYTHONPATH", "")  # a copy of the packages in which a rule is broken on purpose
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(filter(None, [ours, str(plugins), here]))}
        process = subprocess.Popen(
            [sys.executable, "-m", "harness.warm"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )
        return cls(process, env)

    def __call__(
        self, *args: object, cwd: Path, env: Mapping[str, str], failpoint: str = "", passed: Path | None = None,
        commit_rows: int = 0, patience: float = PATIENCE,
    ) -> Ended:  # fmt: skip
        """Run `wherry ARGS` to its end. env: all of it. failpoint: as in WHERRY_FAILPOINT.

        passed: a file for the names of the points that it passes, one a line. commit_rows: after which a load commits.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        told = tuple(map(str, args))
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder) / "out", Path(folder) / "err"
            order = {
                "args": told, "env": dict(env), "cwd": str(cwd), "out": str(out), "err": str(err), "patience": patience,
                "failpoint": failpoint, "passed": str(passed or ""), "commit_rows": commit_rows,
            }  # fmt: skip
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
            answer = json.loads(self.process.stdout.readline())
            ended = Ended(args=told, stdout=text(out), stderr=text(err), **answer)
        if ended.seconds > patience:
            raise AssertionError(f"not over after {patience} s: {ended}")
        return ended

    def close(self) -> None:
        """End the server; it waits for no run."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def text(file: Path) -> str:
    """What a run printed; a kill may come before it could."""
    return file.read_text(errors="replace") if file.exists() else ""


def serve() -> None:
    """Import, then follow orders until there are no more."""
    points = _warm()
    for line in sys.stdin:
        order = json.loads(line)
        began = time.monotonic()
        pid = os.fork()
        if not pid:
            _become(order, points)
            return
        _limit(pid, order["patience"])
        _, status, usage = os.wait4(pid, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        code = os.waitstatus_to_exitcode(status)
        answer = {
            "code": code if code >= 0 else 128 - code, "seconds": time.monotonic() - began,
            "peak": usage.ru_maxrss * 1024,
        }  # fmt: skip
        print(json.dumps(answer), flush=True)


def _warm() -> list[Callable[[str], None]]:
    """Import all that a sync needs; the list's one entry is what happens at a kill point."""
    from wherry import failpoints

    held = [failpoints._off]
    failpoints.failpoint = lambda name: held[0](name)
    for module in IMPORTED:
        import_module(module)
    return held


def _limit(pid: int, patience: float) -> None:
    """Kill the run and all it started when it takes too long."""

    def end(*_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, patience)


def _become(order: dict[str, Any], points: list[Callable[[str], None]]) -> None:
    """The run, in the fork; leaves by SystemExit, as the command does."""
    os.setsid()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    os.chdir(order["cwd"])
    for number, flags, path in ((0, os.O_RDONLY, os.devnull), (1, _NEW, order["out"]), (2, _NEW, order["err"])):
        file = os.open(path, flags, 0o600)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(order["env"])
    from wherry.cli.main import _leave, run
    from wherry.failpoints import armed
    from wherry.pipeline.lane import CommitEvery

    if order["failpoint"]:
        points[0] = armed(order["failpoint"])
    if order["passed"]:
        passed = os.open(order["passed"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        points[0] = lambda name: os.write(passed, f"{name}\n".encode()) and None
    if order["commit_rows"]:
        CommitEvery.__init__.__kwdefaults__["rows"] = order["commit_rows"]  # type: ignore[index]
    sys.argv[:] = ["wherry", *order["args"]]
    code = [1]
    atexit.register(_leave, code)  # as the command does: engines' threads do not live through the interpreter's end
    code[0] = run(order["args"])
    sys.exit(code[0])


_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC

if __name__ == "__main__":
    serve()
