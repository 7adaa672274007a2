"""A scripted run in a process of its own, for the suite to kill: `python -m wherry.testing.child`, orders on stdin.

Orders (one JSON line): connector "module:Class", config, mode, moment. The process prints each moment as it reaches
it, waits at the given one until it is killed, and prints `over` when the whole run is committed.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pyarrow as pa

from wherry.contracts.destination import Destination
from wherry.contracts.loading import Entry
from wherry.contracts.values import Mode
from wherry.testing.bench import Bench, write

LOADS, ROWS = 2, 500


def rows(number: int, run: int = 1) -> pa.Table:
    """What the number-th load of a run brings, counting from 1; half of its ids were in the load before."""
    ids = range((number - 1) * ROWS // 2, (number + 1) * ROWS // 2)
    values = [f"run {run} load {number} row {id}" for id in ids]
    return pa.table({"id": pa.array(ids, pa.int64()), "value": values})


def scripted(destination: Destination, mode: Mode, run: int, at: Callable[[str], None]) -> None:
    """One run of `LOADS` loads and a publication, begun or resumed; `at` is called at each moment."""
    bench = Bench(destination)
    bench._session = destination.open(bench.pipeline, schema=bench.schema, wait=90)
    at("opened")
    key = ("id",) if mode in ("merge", "history") else ()
    target = bench.target(rows(1), mode=mode, key=key)
    known = bench.progress()
    if known.bookmark == {"run": run}:
        bench.close()
        return
    plan = known.open or bench.plan(target, bookmark={"load": 0})
    generation = bench.session.start(plan)
    at("started")
    if mode == "replace":
        target = dataclasses.replace(target, generation=generation)
    reached = (plan.splits[0].bookmark or {})["load"]
    for number in range(reached + 1, LOADS + 1):
        load = bench.begin(plan)
        load.prepare(target)
        count = write(load, target, rows(number, run))
        at(f"before commit {number}")
        load.commit(bench.entry({"t": count}, bookmark={"load": number}, done=number == LOADS))
        at(f"after commit {number}")
    at("before publish")
    bench.session.publish(plan, [target], generation, Entry(bookmark={"run": run}, done=True))
    at("after publish")
    bench.close()


def main() -> None:
    """Follow the orders."""
    orders: dict[str, Any] = json.loads(sys.stdin.readline())
    module, _, name = orders["connector"].partition(":")
    kind: type[Destination] = getattr(import_module(module), name)

    def at(moment: str) -> None:
        print(moment, flush=True)  # noqa: T201
        if moment == orders["moment"]:
            time.sleep(600)

    scripted(kind(kind.Config.model_validate(orders["config"])), orders["mode"], orders["run"], at)
    print("over", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
