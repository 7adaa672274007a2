"""Crashes: a real process is killed at named moments and at random ones; the next run needs no repair."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pytest

from wherry.contracts.values import MODES, Mode
from wherry.errors import LeaseError
from wherry.testing.bench import Bench, data
from wherry.testing.child import LOADS, rows, scripted
from wherry.testing.compare import tables_equal
from wherry.testing.destination_suite.base import DestinationBase
from wherry.testing.suite import cases, does_not_apply

COMMITS = [f"{when} commit {n}" for n in range(1, LOADS + 1) for when in ("before", "after")]
MOMENTS = [*COMMITS, "before publish", "after publish"]


class CrashTests(DestinationBase):
    """SIGKILL, and another process beside a living one."""

    @cases("mode", MODES)
    def test_killed_at_each_moment(self, bench: Bench, config: dict[str, Any], mode: Mode) -> None:
        """Before and after each commit. What is committed is there, and running again completes it."""
        self._needs(mode)
        for run, moment in enumerate(MOMENTS, 1):
            with self._child(config, mode, run, moment) as child:
                _wait_for(child, moment)
                child.kill()
            if run > 1 and mode in ("replace", "merge"):
                self._check_between(bench, mode, run, moment)
            self._complete(config, mode, run)
            self._check_end(bench, mode, run)

    @cases("mode", ["append", "replace"])
    def test_killed_at_a_random_instant(self, bench: Bench, config: dict[str, Any], mode: Mode) -> None:
        """Somewhere between the first load's rows and the end, a few times."""
        self._needs(mode)
        chance = random.Random(f"wherry {mode}")  # noqa: S311
        for run in range(1, 4):
            with self._child(config, mode, run, "never") as child:
                _wait_for(child, "before commit 1")
                time.sleep(chance.random() * 0.05)
                child.kill()
            self._complete(config, mode, run)
            self._check_end(bench, mode, run)

    def test_the_lease_is_held_by_a_living_process_only(self, config: dict[str, Any]) -> None:
        """Refused while it lives, with its pid; free once it was killed."""
        with self._child(config, "append", 1, "opened") as child:
            _wait_for(child, "opened")
            with pytest.raises(LeaseError, match=str(child.pid)):
                self.make(config).open("kit", schema=Bench.schema)
            child.kill()
            child.wait()
            session = self.make(config).open("kit", schema=Bench.schema, wait=90)
            assert session.lease.epoch == 2
            assert session.runs()[1].outcome != "ok"
            session.close()

    def test_a_stopped_process_loses_nothing(self, bench: Bench, config: dict[str, Any]) -> None:
        """SIGSTOP for a moment, then SIGCONT."""
        with self._child(config, "append", 1, "never") as child:
            _wait_for(child, "before commit 1")
            child.send_signal(signal.SIGSTOP)
            time.sleep(1)
            child.send_signal(signal.SIGCONT)
            _wait_for(child, "over")
        self._check_end(bench, "append", 1)

    def _needs(self, mode: Mode) -> None:
        if mode not in self.connector.capabilities.modes:
            does_not_apply(f"{mode} is not declared")

    @contextmanager
    def _child(self, config: dict[str, Any], mode: Mode, run: int, moment: str) -> Iterator[subprocess.Popen[str]]:
        """A process that runs the script and waits at the moment."""
        name = f"{self.connector.__module__}:{self.connector.__qualname__}"
        orders = {"connector": name, "config": config, "mode": mode, "run": run, "moment": moment}
        with subprocess.Popen(
            [sys.executable, "-m", "wherry.testing.child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        ) as child:  # fmt: skip
            assert child.stdin is not None
            child.stdin.write(json.dumps(orders) + "\n")
            child.stdin.flush()
            try:
                yield child
            finally:
                child.kill()

    def _complete(self, config: dict[str, Any], mode: Mode, run: int) -> None:
        """The same run again, in this process, undisturbed."""
        scripted(self.make(config), mode, run, lambda moment: None)

    def _check_end(self, bench: Bench, mode: Mode, run: int) -> None:
        """The table is that of runs that nobody disturbed."""
        found = self._table(bench, mode)
        wanted = _expected(mode, run)
        assert tables_equal(found, wanted, about=f"after run {run}, killed at {MOMENTS[(run - 1) % len(MOMENTS)]}")

    def _check_between(self, bench: Bench, mode: Mode, run: int, moment: str) -> None:
        """Right after the kill: whole loads or none of them; a rebuilt table is the old one or the new one."""
        found = self._table(bench, mode)
        if mode == "replace":
            assert tables_equal(found, _expected(mode, run - 1 if moment != "after publish" else run), about=moment)
            return
        after = [f"after commit {n}" for n in range(1, LOADS + 1)]
        done = sum(MOMENTS.index(moment) >= MOMENTS.index(a) for a in after)
        assert tables_equal(found, _expected(mode, run - 1, partly=done), about=moment)

    def _table(self, bench: Bench, mode: Mode) -> pa.Table:
        target = bench.target(rows(1), mode=mode)
        session = bench.destination.open(bench.pipeline, schema=bench.schema, read_only=True)
        try:
            return data(session.read(target).read_all()).cast(rows(1).schema)
        finally:
            session.close()


def _wait_for(child: subprocess.Popen[str], moment: str) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        if line.strip() == moment:
            return
    raise AssertionError(f"the process ended with {child.wait()} before {moment}; its stderr says why")


def _expected(mode: Mode, runs: int, partly: int = 0) -> pa.Table:
    """The table after so many whole runs, and so many loads of the next."""
    loads = [rows(number, run) for run in range(1, runs + 1) for number in range(1, LOADS + 1)]
    loads += [rows(number, runs + 1) for number in range(1, partly + 1)]
    if mode == "replace":
        loads = loads[-LOADS:]
    together = pa.concat_tables([rows(1).slice(0, 0), *loads])
    if mode != "merge":
        return together
    last = dict(zip(together.column("id").to_pylist(), together.column("value").to_pylist(), strict=True))
    return pa.table({"id": pa.array(last.keys(), pa.int64()), "value": list(last.values())})
