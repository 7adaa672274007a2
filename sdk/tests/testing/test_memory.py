"""Fault switches of the reference connectors, and a store that several sessions share."""

from __future__ import annotations

import dataclasses
import threading
import time
from typing import Any

import pyarrow as pa
import pytest
from wherry.contracts.values import Split
from wherry.errors import LeaseError, TransientError, WherryError
from wherry.testing import Faults, MemoryDestination, MemorySource, MemoryStream, Store, hang, slow, tables_equal
from wherry.testing.bench import Bench, write
from wherry.testing.reading import items, select

ROWS = pa.table({"id": pa.array(range(10), pa.int64())})
STREAM = MemoryStream(name="s", tables=(ROWS,), batch=2)


def reading(faults: Faults) -> Any:
    source = MemorySource.of(STREAM, faults=faults)
    return items(source, Split(key="s", streams=tuple(select(source)))), source


def test_a_source_fails_at_the_item_it_is_told_to() -> None:
    read, _ = reading(Faults().arm("read", TransientError("gone"), at=3, times=2))
    assert [next(read).rows.num_rows for _ in range(2)] == [2, 2]
    with pytest.raises(TransientError, match="gone"):
        next(read)


def test_the_count_goes_on_over_instances_and_ends() -> None:
    faults = Faults().arm("read", TransientError("gone"), at=2)
    read, _ = reading(faults)
    with pytest.raises(TransientError):
        list(read)
    again, _ = reading(faults)
    assert len(list(again)) == 6
    assert faults.seen["read"] == 8


def test_a_source_hangs_until_it_is_stopped() -> None:
    read, source = reading(Faults().arm("read", hang, at=2))
    next(read)
    threading.Timer(0.1, source.run.stop.set).start()
    assert list(read) == []
    assert source.run.stop.is_set(), "it did not end before"


def test_a_source_takes_its_time() -> None:
    read, _ = reading(Faults().arm("read", slow(0.1), at=1))
    started = time.monotonic()
    list(read)
    assert time.monotonic() - started >= 0.1


def test_acknowledged_bookmarks_are_noted() -> None:
    noted: list[Any] = []
    stream = dataclasses.replace(STREAM, key=("id",), cursor="id", ordered=True)
    source = MemorySource.of(stream, acknowledged=noted)
    list(items(source, Split(key="s", streams=tuple(select(source)))))
    assert noted == [("s", {"cursor": str(n)}) for n in (1, 3, 5, 7, 9, 9)]


@pytest.mark.parametrize("point", ["open", "start", "prepare", "write", "before commit", "before publish"])
def test_a_destination_fails_before_anything_happened(point: str) -> None:
    store, faults = Store(), Faults().arm(point, WherryError("no"))
    bench = Bench(MemoryDestination.of(store, faults=faults))
    target = bench.target(ROWS)

    def run() -> None:
        plan = bench.started(target)
        bench.put(target, ROWS, plan, done=True)
        bench.publish(plan, target)

    with pytest.raises(WherryError, match="no"):
        run()
    if point != "before publish":
        assert store.now.tables == {}
        run()
    assert tables_equal(store.table("kit", "t"), ROWS)


def test_a_commit_in_doubt_has_happened() -> None:
    store, faults = Store(), Faults().arm("after commit", TransientError("no answer"))
    bench = Bench(MemoryDestination.of(store, faults=faults))
    target = bench.target(ROWS)
    plan = bench.started(target)
    load = bench.begin(plan)
    load.prepare(target)
    entry = bench.entry({"t": write(load, target, ROWS)}, bookmark={"at": 1})
    with pytest.raises(TransientError, match="no answer"):
        load.commit(entry)
    assert tables_equal(store.table("kit", "t"), ROWS)
    with pytest.raises(TransientError, match="has moved"):
        bench.put(target, ROWS, plan)
    opened = bench.session.resume(plan).open
    assert opened is not None
    assert opened.splits[0].bookmark == {"at": 1}
    bench.put(target, ROWS, plan)
    assert store.table("kit", "t").num_rows == 20


def test_a_silent_run_is_taken_over_and_fenced() -> None:
    now = [1_000_000]
    store = Store(clock=lambda: now[0])
    first, second = (Bench(MemoryDestination.of(store, lease=60)) for _ in range(2))
    target = first.target(ROWS)
    plan = first.started(target)
    load = first.begin(plan)
    load.prepare(target)
    count = write(load, target, ROWS)
    now[0] += 59_000_000
    with pytest.raises(LeaseError, match="in the hands of"):
        assert second.session
    now[0] += 2_000_000
    assert second.session.lease.epoch == 2
    with pytest.raises(LeaseError, match="taken over"):
        load.commit(first.entry({"t": count}))
    assert store.now.tables == {}
    first.close()
    assert [run.outcome for run in second.session.runs()] == [None, "died"]
