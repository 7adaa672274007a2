"""A run ends, says so, and leaves nothing running, whatever a connector does."""

import _thread
import threading
import time

import pyarrow as pa
import pytest
from wherry import Batch, Mark, Stream, TransientError
from wherry.pipeline.budget import Budget
from wherry.pipeline.lane import CommitEvery
from wherry.testing import MemoryDestination

ROWS = pa.table({"id": [1, 2, 3, 4], "v": ["a", "b", "c", "d"]})
ORDERS = Stream(name="orders", schema=ROWS.schema, primary_key=("id",))

pytestmark = [pytest.mark.usefixtures("threads_end"), pytest.mark.timeout(30)]


class Cancelled(BaseException):
    """As asyncio's: not an `Exception`."""


@pytest.mark.parametrize("error", [SystemExit(0), Cancelled(), GeneratorExit(), MemoryError(), RecursionError()])
@pytest.mark.parametrize("streams", [1, 3])
def test_nothing_that_a_source_raises_looks_like_success(world, error, streams):
    def read(source, split):
        yield Batch(stream=split.key, data=ROWS)
        raise error

    offered = [Stream(name=f"s{n}", schema=ROWS.schema) for n in range(streams)]
    outcome = world.script(offered, read)
    assert [s.outcome for s in outcome.streams] == ["failed"] * streams
    assert outcome.exit_code not in (0, 5)
    assert world.store.now.tables == {}


@pytest.mark.parametrize("error", [SystemExit(0), KeyError("x")])
def test_nothing_that_a_destination_raises_looks_like_success(world, error):
    def fail(_):
        raise error

    world.faults.arm("before commit", fail)
    outcome = world.script([ORDERS], lambda source, split: iter([Batch(stream="orders", data=ROWS)]))
    assert outcome.exit_code not in (0, 5)


def test_a_read_that_fails_before_its_first_item_ends(world):
    def read(source, split):
        raise KeyError("no generator: raised by the call itself")

    outcome = world.script([ORDERS], read)
    assert outcome.exit_code == 3
    assert "KeyError" in outcome.streams[0].error.message


def test_a_source_that_fails_keeps_what_its_last_bookmark_covers(world):
    def read(source, split):
        if split.bookmark is None:
            yield Batch(stream="orders", data=ROWS.slice(0, 2), bookmark=2)
        yield Batch(stream="orders", data=ROWS.slice(2), bookmark=None if split.bookmark is None else 4)
        if split.bookmark is None:
            raise KeyError("after rows that no bookmark covers")

    def later(source, split):
        yield Batch(stream="orders", data=ROWS.slice(0, 2), bookmark=2)
        raise KeyError("after a bookmark")

    keyed = Stream(name="orders", schema=ROWS.schema, primary_key=("id",), cursor="id", ordered=True)
    assert world.script([keyed], read).exit_code == 3
    assert world.store.now.tables == {}
    assert world.script([keyed], later).exit_code == 3
    assert [row["id"] for row in world.rows()] == [1, 2]
    assert world.script([keyed], read).exit_code == 0
    assert [row["id"] for row in world.rows()] == [1, 2, 3, 4]


def test_a_read_that_returns_nothing_ends(world):
    assert world.script([ORDERS], lambda source, split: None).exit_code == 3


def test_a_source_whose_close_fails_changes_nothing(world):
    def close():
        raise OSError("the child is gone already")

    def read(source, split):
        yield Batch(stream="orders", data=ROWS)

    assert world.script([ORDERS], read, closed=close).exit_code == 0
    assert len(world.rows()) == 4
    assert [held.record.outcome for held in world.store.now.runs.values()] == ["ok"]


def test_rejects_without_rows_pass(world):
    from wherry.pipeline.rejects import MaxRejects

    bad = pa.RecordBatch.from_pylist([{"reason": "no number", "column": "v", "row": 7, "raw": "x"}])

    def read(source, split):
        yield Batch(stream="orders", data=ROWS.slice(0, 0), rejected=bad)
        yield Batch(stream="orders", data=ROWS)

    assert world.script([ORDERS], read, max_rejects=MaxRejects(rows=1)).exit_code == 0
    assert [row["row"] for row in world.rows("orders__rejected")] == [7]


@pytest.mark.parametrize(("number", "told", "row"), [(7, "stream orders, row 7", 6), (None, "stream orders", None)])
def test_a_row_that_the_source_rejected_is_told_by_its_number(world, number, told, row):
    schema = pa.schema([("reason", pa.utf8()), ("column", pa.utf8()), ("row", pa.int64()), ("raw", pa.utf8())])
    bad = {"reason": "no number", "column": "v", "row": number, "raw": "x"}

    def read(source, split):
        yield Batch(stream="orders", data=ROWS, rejected=pa.RecordBatch.from_pylist([bad], schema=schema))

    error = world.script([ORDERS], read).streams[0].error
    assert error.message == f"{told}, column 'v': no number"
    assert error.row == row


def test_a_source_of_marks_alone_waits_for_the_writer(world):
    """The bookmarks that wait in memory are few, though the destination crawls."""
    emitted, open_commits = [], threading.Event()

    def read(source, split):
        yield Batch(stream="orders", data=ROWS, bookmark=0)
        for n in range(1, 50_000):
            emitted.append(n)
            yield Mark(bookmark=n)

    def crawl(_):
        if not open_commits.is_set():
            open_commits.set()
            time.sleep(0.5)
            waiting.append(len(emitted))

    waiting = []
    world.faults.arm("before commit", crawl)
    every = CommitEvery(rows=1)
    stream = Stream(name="orders", schema=ROWS.schema, primary_key=("id",), changes=True)
    assert world.script([stream], read, commit_every=every).exit_code == 0
    assert waiting[0] < 5_000
    state = world.store.now.state[("memory", "memory-memory"), "orders", ""]
    assert state.bookmark["source"] == 49_999


def test_batches_larger_than_the_budget_pass_side_by_side(world):
    wide = pa.table({"id": range(64), "v": ["x" * 4096] * 64})

    def read(source, split):
        for _ in range(5):
            yield Batch(stream=split.key, data=wide)

    streams = [Stream(name=f"s{n}", schema=wide.schema) for n in range(6)]
    assert world.script(streams, read, memory=64 << 10, workers=4).exit_code == 0
    assert {n: world.table(f"s{n}").num_rows for n in range(6)} == dict.fromkeys(range(6), 320)


def test_lanes_are_never_more_than_the_loads_a_destination_takes(world, monkeypatch):
    open_now, most, lock = [0], [0], threading.Lock()

    def read(source, split):
        with lock:
            open_now[0] += 1
            most[0] = max(most[0], open_now[0])
        time.sleep(0.02)
        yield Batch(stream=split.key, data=ROWS)
        with lock:
            open_now[0] -= 1

    one = MemoryDestination.capabilities.__class__(loads=1, sql=False)
    monkeypatch.setattr(MemoryDestination, "capabilities", one)
    streams = [Stream(name=f"s{n}", schema=ROWS.schema) for n in range(5)]
    assert world.script(streams, read, workers=4).exit_code == 0
    assert most == [1]


def test_a_budget_forgets_lanes_that_hold_nothing():
    budget = Budget(100, 2)
    lane = object()
    for size in (10, 0, 200):
        assert budget.acquire(lane, size, threading.Event())
        budget.release(lane, size)
    budget.release(object(), 0)
    assert budget._held == {}
    assert budget._free == 100


def test_an_interrupt_of_the_calling_thread_stops_the_lanes(world):
    """As Control-C does in a notebook, where nobody made a signal handler."""
    stop = threading.Event()

    def read(source, split):
        _thread.interrupt_main()
        while not source.run.stop.wait(0.01):
            yield Mark()

    with pytest.raises(KeyboardInterrupt):
        world.script([ORDERS], read, stop=stop)
    assert stop.is_set()


def test_the_side_that_failed_is_named_when_a_table_cannot_be_looked_at(world, monkeypatch):
    from wherry.testing.memory.session import MemorySession

    def schema(self, target):
        raise TransientError("the line broke")

    monkeypatch.setattr(MemorySession, "schema", schema)
    outcome = world.script([ORDERS], lambda source, split: iter([Batch(stream="orders", data=ROWS)]))
    assert outcome.exit_code == 4
