"""What the contract means, rule by rule, over the reference connectors. The engines' share: tests/e2e."""

import threading
import time
from collections import Counter
from decimal import Decimal

import pyarrow as pa
import pytest
from wherry import (
    Batch,
    Capabilities,
    DestinationError,
    LeaseError,
    Mark,
    Progress,
    ReadPlan,
    Split,
    StateError,
    Stream,
    TransientError,
    UsageError,
    hookimpl,
)
from wherry.host.hooks import observer
from wherry.pipeline import boundary, lane, reader
from wherry.pipeline.budget import Budget
from wherry.pipeline.lane import CommitEvery
from wherry.pipeline.rejects import MaxRejects
from wherry.pipeline.select import Wish
from wherry.testing import MemoryDestination, MemorySource, MemoryStream, Store
from wherry.testing.bench import Bench, write
from wherry.testing.memory.load import MemoryLoad

ROWS = pa.table({"id": [1, 2, 3, 4], "v": ["a", "b", "c", "d"], "at": [10, 20, 20, 30]})
CURSOR = Stream(name="orders", schema=ROWS.schema, primary_key=("id",), cursor="at", ordered=True)
EVERY_BOOKMARK = CommitEvery(rows=1)


def orders(table=ROWS, **options):
    given = {"name": "orders", "key": ("id",), "cursor": "at", "ordered": True, "batch": 1} | options
    return MemoryStream(tables=(table,), **given)


def as_rows(table):
    return sorted(table.to_pylist(), key=str)


def state(world, key="orders"):
    return world.store.now.state[("memory", "memory-memory"), key, ""].bookmark


# --- what flows


class Stranger:
    """Another library's data, known by the PyCapsule interface alone."""

    def __init__(self, data):
        self._data = data

    def __arrow_c_stream__(self, requested_schema=None):
        return self._data.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize(
    "form", [pa.Table.to_batches, lambda t: [t], lambda t: [Stranger(t)], lambda t: [t.to_pylist()], pa.Table.to_pylist]
)
def test_what_flows_is_arrow(world, form):
    def read(source, split):
        for data in form(ROWS):
            yield Batch(stream="orders", data=data)

    assert world.script([CURSOR], read, wish=Wish(mode="replace")).exit_code == 0
    assert world.rows() == as_rows(ROWS)
    assert world.table().schema.equals(ROWS.schema)


def test_dicts_become_batches_once_in_bulk(world, monkeypatch):
    made, real = [], reader.batches
    monkeypatch.setattr(reader, "batches", lambda data: made.append(type(data)) or real(data))
    many = [{"id": n, "v": str(n)} for n in range(5000)]
    world.script([CURSOR], lambda source, split: iter([Batch(stream="orders", data=many)]), wish=Wish(mode="replace"))
    assert made == [list]
    assert world.table().num_rows == 5000


def test_schemas_may_change_in_mid_read_and_a_missing_column_means_null(world):
    def read(source, split):
        yield Batch(stream="orders", data=[{"id": 1, "n": 1}])
        yield Batch(stream="orders", data=[{"id": 2, "new": "x"}])
        yield Batch(stream="orders", data=[{"id": 3, "n": Decimal("0.5")}])

    bare = Stream(name="orders", schema=pa.schema([]))
    assert world.script([bare], read).exit_code == 0
    got = {r["id"]: (r["n"], r["new"]) for r in world.rows()}
    assert got == {1: (1, None), 2: (None, "x"), 3: (Decimal("0.5"), None)}


# --- loads


def test_a_load_commits_only_at_a_bookmark_or_at_the_end_of_its_split(world, monkeypatch):
    """Bookmarks after the 2nd and 5th of six batches; the limit is one row, so every bookmark is taken."""
    staged = []
    real = MemoryLoad.commit

    def commit(load, entry):
        staged.append(sum(rows.num_rows for s in load.staged.values() for rows in s.rows))
        return real(load, entry)

    def read(source, split):
        for n in range(6):
            path = ("a", "b")[n % 2]
            yield Batch(stream=path, data=[{"id": n}], bookmark={"n": n} if n in (1, 4) else None)

    def together(selected, progress):
        return [ReadPlan(key="log", splits=(Split(key="log", streams=tuple(selected)),))]

    monkeypatch.setattr(MemoryLoad, "commit", commit)
    streams = [Stream(name=n, schema=pa.schema([("id", pa.int64())])) for n in "ab"]
    world.script(streams, read, together, commit_every=EVERY_BOOKMARK, wish=Wish(mode="append"))
    assert staged == [2, 3, 1]


@pytest.mark.parametrize(
    ("limit", "commits"),
    [(CommitEvery(rows=3), 2), (CommitEvery(rows=100), 1), (CommitEvery(bytes=1), 4), (CommitEvery(seconds=0), 4)],
)
def test_limits_choose_which_bookmark(world, limit, commits):
    def read(source, split):
        for n in range(4):
            yield Batch(stream="orders", data=ROWS.slice(n, 1), bookmark={"n": n})
        yield Mark(bookmark={"n": 4})

    world.script([CURSOR], read, commit_every=limit, wish=Wish(mode="append"))
    loads = {key[0] for key in world.store.now.loads}
    assert len(loads) - 1 <= commits <= len(loads)
    assert world.rows() == as_rows(ROWS)


def test_a_load_rows_and_bookmark_of_all_streams_appear_together_or_not_at_all(world):
    """At every moment somebody looks, the bookmark counts exactly the rows that are there."""
    seen = []

    def look(_):
        now = world.store.now
        there = sum(now.tables["memory", n].num_rows for n in ("a", "b") if ("memory", n) in now.tables)
        rows = [row.bookmark for (_, _, split), row in now.state.items() if split == "log" and row.bookmark]
        position = rows[0]["source"]["position"] if rows and rows[0]["source"] else 0
        seen.append((there, position))

    log = pa.table({"id": [1, 2, 3], "_wherry_op": pa.array([0, 0, 0], pa.int8())})
    streams = [MemoryStream(name=n, tables=(log,), key=("id",), changes=True, batch=1) for n in "ab"]
    for point in ("write", "before commit", "after commit"):
        world.faults.arm(point, look, times=100)
    world.run(*streams, log=True, commit_every=EVERY_BOOKMARK)
    assert len({there for there, _ in seen}) > 3
    assert all(there == position for there, position in seen)


def test_write_fills_staging_that_only_this_load_sees():
    bench = Bench(MemoryDestination.of(Store()))
    target = bench.target(ROWS, mode="append")
    plan = bench.started(target, splits=("a", "b"))
    one, other = bench.begin(plan, "a"), bench.begin(plan, "b")
    for load in (one, other):
        load.prepare(target)
        write(load, target, ROWS)
    assert bench.session.schema(target) is None
    one.commit(bench.entry({"t": 4}))
    assert bench.read(target).num_rows == 4
    other.abort()
    assert bench.read(target).num_rows == 4


# --- the fence


def test_the_fence_is_a_compare_and_swap():
    """Two loads that began from one bookmark: the second to commit finds that the row moved, and leaves no trace."""
    bench = Bench(MemoryDestination.of(Store()))
    target = bench.target(ROWS, mode="append")
    plan = bench.started(target)
    loads = [bench.begin(plan), bench.begin(plan)]
    for load in loads:
        load.prepare(target)
        write(load, target, ROWS)
    loads[0].commit(bench.entry({"t": 4}, bookmark={"first": 1}))
    with pytest.raises(TransientError, match="has moved"):
        loads[1].commit(bench.entry({"t": 4}))
    assert bench.read(target).num_rows == 4
    assert bench.progress().open.splits[0].bookmark == {"first": 1}


def test_a_take_over_fences_every_older_load():
    moments = [0]
    store = Store(clock=lambda: moments[0])
    old, new = (Bench(MemoryDestination.of(store)) for _ in range(2))
    target = old.target(ROWS, mode="append")
    load = old.begin(old.started(target))
    load.prepare(target)
    write(load, target, ROWS)
    with pytest.raises(LeaseError):
        _ = new.session
    moments[0] = 61_000_000
    assert new.session.lease.epoch == old.session.lease.epoch + 1
    with pytest.raises(LeaseError):
        load.commit(old.entry({"t": 4}))
    assert store.now.tables == {}


@pytest.mark.parametrize("mode", ["append", "merge", "history", "replace"])
def test_an_in_doubt_commit_is_settled_by_the_next_swap(world, mode):
    """The rows are in, the answer is lost; the next attempt goes on from the bookmark that is there."""
    world.faults.arm("after commit", TransientError("no answer"), at=1)
    outcome = world.run(orders(), wish=Wish(mode=mode), commit_every=EVERY_BOOKMARK)
    assert outcome.exit_code == 0
    assert [{k: r[k] for k in ("id", "v", "at")} for r in world.rows()] == as_rows(ROWS)


# --- resume


def test_resume_returns_the_open_plan_with_the_bookmarks_reached_and_what_is_done(world):
    seen = []

    def plan(selected, progress):
        known = progress.get("orders", Progress())
        seen.append(known)
        if known.open is not None:
            return [known.open]
        splits = tuple(Split(key=k, streams=tuple(selected), detail=n) for n, k in enumerate(("low", "high")))
        return [ReadPlan(key="orders", splits=splits, after={"n": 9})]

    def read(source, split):
        yield Batch(stream="orders", data=ROWS.slice(split.detail * 2, 1), bookmark={"n": 1})
        if split.key == "high" and len(seen) == 1:
            raise KeyError("dies")
        yield Batch(stream="orders", data=ROWS.slice(split.detail * 2 + 1, 1), bookmark={"n": 2})

    wish = Wish(mode="append")
    world.script([CURSOR], read, plan, commit_every=EVERY_BOOKMARK, workers=1, wish=wish)
    world.script([CURSOR], lambda source, split: iter(()), plan, workers=1, wish=wish)
    first, second = seen
    assert first.open is None
    assert second.done == {"low"}
    assert {s.key: s.bookmark for s in second.open.splits} == {"low": {"n": 2}, "high": {"n": 1}}
    assert [s.detail for s in second.open.splits] == [0, 1]
    assert state(world)["source"] == {"n": 9}


def test_a_new_plan_drops_the_old_generation(world):
    def half(source, split):
        yield Batch(stream="orders", data=ROWS.slice(0, 2))
        yield Mark(bookmark={"n": 1})
        raise KeyError("dies")

    def other(source, split):
        yield Batch(stream="orders", data=ROWS.slice(2))

    stream = Stream(name="orders", schema=ROWS.schema)
    world.script([stream], half, commit_every=EVERY_BOOKMARK)
    assert len(world.store.now.rebuilds) == 1
    world.script([stream], other)
    assert world.rows() == as_rows(ROWS.slice(2))
    assert world.store.now.rebuilds == {}


def test_a_generation_is_published_only_after_a_normal_end_of_read(world):
    world.run(orders(cursor=None, ordered=False))

    def broken(source, split):
        yield Batch(stream="orders", data=ROWS.slice(0, 1))
        raise KeyError("dies")

    world.script([Stream(name="orders", schema=ROWS.schema, primary_key=("id",))], broken)
    assert world.rows() == as_rows(ROWS)


# --- what a bookmark covers


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"cursor": "id"}, UsageError),
        ({"mode": "append"}, UsageError),
        ({"key": ("id", "at")}, UsageError),
        ({"columns": ("id", "at")}, StateError),
        ({"start": "20"}, StateError),
    ],
)
def test_a_bookmark_knows_what_it_covers(world, change, error):
    world.run(orders(), wish=Wish())
    before = state(world)
    with pytest.raises(error, match=next(iter(change))) as caught:
        world.run(orders(), wish=Wish(**change))
    assert "--full-refresh" in caught.value.next
    assert "state reset" in caught.value.next
    assert caught.value.exit_code == (2 if error is UsageError else 8)
    assert state(world) == before


def test_covers_is_a_hash_of_stream_cursor_columns_filter_and_incarnation():
    from dataclasses import replace

    from wherry import Selection
    from wherry.pipeline.envelope import covers

    base = Selection(stream=CURSOR, mode="merge", key=("id",), cursor="at")
    others = [
        replace(base, cursor="id"), replace(base, columns=("id",)), replace(base, where="x"), replace(base, start="1"),
        replace(base, mode="append"), replace(base, key=("at",)), replace(base, stream=replace(CURSOR, name="x")),
        replace(base, stream=replace(CURSOR, incarnation="2")),
    ]  # fmt: skip
    assert len({covers([s], "here") for s in (base, *others)} | {covers([base], "there")}) == len(others) + 2
    assert covers([base], "here") == covers([replace(base)], "here")


def test_every_table_has_one_owning_pipeline(world):
    world.run(orders(), pipeline="mine")
    outcome = world.run(orders(ROWS.slice(1)), pipeline="theirs", schema="memory")
    assert outcome.exit_code == 2
    assert "adopt" in outcome.streams[0].error.next
    assert world.rows() == as_rows(ROWS)


# --- boundaries


def test_boundaries_the_bound_is_the_highest_cursor_of_the_snapshot_and_never_now(world):
    times = pa.table({"id": [1], "at": pa.array([1_000_000], pa.timestamp("us", "UTC"))})
    world.run(orders(times))
    assert state(world)["source"] == {"cursor": "1970-01-01 00:00:01.000000Z"}


@pytest.mark.parametrize("mode", ["append", "merge", "history"])
def test_boundaries_rows_are_read_again_and_dropped_by_a_multiset(world, mode):
    keyed = mode != "append"
    tick = {"v": ["x", "x", "y"], "at": [1, 1, 1]} | ({"id": [1, 2, 3]} if keyed else {})
    late = {"v": ["x", "x", "y", "x"], "at": [1, 1, 1, 1]} | ({"id": [1, 2, 3, 4]} if keyed else {})
    key = ("id",) if keyed else ()
    world.run(orders(pa.table(tick), key=key, batch=10), wish=Wish(mode=mode))
    envelope = state(world)
    assert sorted(envelope["boundary"]["orders"]["rows"].values()) == ([1, 1, 1] if keyed else [1, 2])
    assert {"v", "source", "covers", "boundary"} <= set(envelope)
    second = world.run(orders(pa.table(late), key=key, batch=10), wish=Wish(mode=mode))
    assert {n: second.streams[0].counts[n] for n in ("read", "boundary", "inserted")} == {
        "read": 4, "boundary": 3, "inserted": 1
    }  # fmt: skip
    assert Counter(r["v"] for r in world.rows()) == {"x": 3, "y": 1}


def test_boundaries_the_multiset_is_bounded(world, monkeypatch):
    monkeypatch.setattr(boundary, "LIMIT", 2)
    tie = pa.table({"id": [1, 2, 3], "at": [1, 1, 1]})
    assert world.run(orders(tie, name="merged")).exit_code == 0
    assert "rows" not in state(world, "merged")["boundary"]["merged"]
    again = world.run(orders(tie, name="merged"))
    assert world.rows("merged") == as_rows(tie)
    assert again.streams[0].counts["updated"] == 3
    refused = world.run(orders(tie, name="appended"), wish=Wish(mode="append"))
    assert "cursor 'at'" in refused.streams[0].error.message


def test_boundaries_append_with_a_look_back_needs_a_key(world):
    with pytest.raises(UsageError, match="needs a key") as caught:
        world.run(orders(key=()), wish=Wish(mode="append", lookback=5))
    assert caught.value.exit_code == 2
    for _ in range(2):
        assert world.run(orders(), wish=Wish(mode="append", lookback=15)).exit_code == 0
        assert world.rows() == as_rows(ROWS)


# --- order


def changes(*rows):
    """(op, id, v) as a log's table."""
    ops, ids, values = zip(*rows, strict=True)
    return pa.table({"id": ids, "v": values, "_wherry_op": pa.array(ops, pa.int8())})


def test_order_the_last_version_of_a_key_wins_and_a_key_change_is_delete_and_upsert(world):
    log = changes((0, 1, "a"), (0, 2, "x"), (0, 1, "b"), (1, 2, None), (0, 3, "x"), (0, 1, "c"))
    assert world.run(orders(log, changes=True, cursor=None, ordered=False)).exit_code == 0
    assert world.rows() == [{"id": 1, "v": "c"}, {"id": 3, "v": "x"}]


def test_order_history_keeps_every_version_in_order(world):
    log = changes((0, 1, "b"), (0, 1, "a"), (0, 1, "b"))
    world.run(orders(log, changes=True, cursor=None, ordered=False), wish=Wish(mode="history"))
    rows = sorted(world.store.now.tables["memory", "orders"].to_pylist(), key=lambda r: r["_wherry_valid_from"])
    assert [r["v"] for r in rows] == ["b", "a", "b"]
    assert [r["_wherry_valid_to"] for r in rows] == [rows[1]["_wherry_valid_from"], rows[2]["_wherry_valid_from"], None]


def test_order_splits_of_an_ordered_plan_are_read_and_applied_one_after_the_other(world, splitting):
    """They hold the same key; the first is slow, so that side by side it would win."""
    reading = []

    def read(source, split):
        reading.append(split.key)
        if split.key == "one":
            time.sleep(0.2)
        yield Batch(stream="orders", data=[{"id": 1, "v": split.key, "at": 1}])
        reading.append("end of " + split.key)

    world.script([CURSOR], read, splitting("one", "two", ordered=True), workers=2)
    assert reading == ["one", "end of one", "two", "end of two"]
    assert [r["v"] for r in world.rows()] == ["two"]


@pytest.mark.parametrize("known", [True, False])
def test_order_valid_from_is_the_sources_change_time_if_known_else_the_loads(world, known):
    rows = pa.table({"id": [1], "at": pa.array([5_000_000], pa.timestamp("us", "UTC"))})
    stream = orders(rows) if known else orders(rows, cursor=None, ordered=False)
    before = time.time()
    world.run(stream, wish=Wish(mode="history"))
    (row,) = world.store.now.tables["memory", "orders"].to_pylist()
    since = row["_wherry_valid_from"].timestamp()
    assert since == 5 if known else before <= since <= time.time()


# --- a lane


def test_a_lane_reads_counts_conforms_writes_and_commits_in_this_order(world, monkeypatch):
    done = []

    def note(place, name, word):
        real = getattr(place, name)
        monkeypatch.setattr(place, name, lambda self, *a, **k: (done.append(word), real(self, *a, **k))[1])

    note(boundary.Boundary, "filter", "boundary")
    note(lane.Conformer, "conform", "conform")
    for name in ("prepare", "write", "commit"):
        note(MemoryLoad, name, name)
    world.run(orders(ROWS.slice(0, 2)))
    assert done[:4] == ["boundary", "conform", "prepare", "write"]
    assert done[4:7] == ["boundary", "conform", "write"]
    assert done[-1] == "commit"
    assert done.count("commit") == 1


def test_a_lane_splits_rejects_off_into_one_more_target(world):
    rows = pa.table({"id": [1, 2, 3], "v": ["1", "x", "3"], "at": [1, 2, 3]})
    wish = Wish(types={"v": "bigint"})
    outcome = world.run(orders(rows, batch=10), wish=wish, max_rejects=MaxRejects(rows=1))
    counts = outcome.streams[0].counts
    assert (counts["read"], counts["mapped"], counts["rejected"], counts["staged"]) == (3, 3, 1, 2)
    assert [r["v"] for r in world.rows()] == [1, 3]
    assert [r["row"] for r in world.rows("orders__rejected")] == [2]
    ids = {world.store.now.tables["memory", n]["_wherry_load_id"][0] for n in ("orders", "orders__rejected")}
    assert len(ids) == 1


def test_a_lane_whose_counts_differ_aborts_before_the_swap(world, monkeypatch):
    """A batch that got lost on the way is noticed, and nothing of the load is kept."""
    real = MemoryLoad.write

    def lose_one(load, stream, rows):
        real(load, stream, rows.slice(1) if rows.num_rows > 1 else rows)

    monkeypatch.setattr(MemoryLoad, "write", lose_one)
    outcome = world.run(orders(batch=2))
    assert outcome.exit_code == DestinationError.exit_code
    assert "2 rows staged, 4 expected" in outcome.streams[0].error.message
    assert world.store.now.tables == {}
    assert state(world) is None


def test_a_lane_takes_its_destination_slot_before_its_first_byte(world, monkeypatch):
    """With one slot the second read does not begin before the first load is committed."""
    seen = []

    def read(source, split):
        seen.append(len(world.store.now.loads))
        yield Batch(stream=split.key, data=ROWS)

    monkeypatch.setattr(MemoryDestination, "capabilities", Capabilities(loads=1, sql=False))
    streams = [Stream(name=n, schema=ROWS.schema) for n in "abc"]
    assert world.script(streams, read, workers=3).exit_code == 0
    assert seen == [0, 1, 2]


def test_a_lane_owns_a_minimum_share_of_the_byte_budget():
    budget, greedy, modest = Budget(100, 2), object(), object()
    stop = threading.Event()
    assert budget.acquire(greedy, 100, stop)
    assert budget.acquire(modest, 10, stop)
    assert budget.acquire(modest, 15, stop)  # the budget is used up, and 25 are its own
    stop.set()
    assert not budget.acquire(modest, 1, stop)
    assert not budget.acquire(greedy, 1, stop)


def test_a_lane_counts_bytes_by_what_a_batch_pins(monkeypatch):
    held = []
    whole = pa.record_batch({"v": ["x" * 1000] * 100})
    small = whole.slice(0, 1)
    source = MemorySource.of()
    monkeypatch.setattr(source, "read", lambda split: iter([Batch(stream="s", data=small)]))
    reading = reader.Reader(source, Split(key="s", streams=()), Budget(1 << 20, 1), threading.Event())
    for item in reading.items(idle=lambda: None):
        if isinstance(item, reader.Rows):
            held.append(item.size)
            reading.done(item)
    reading.close()
    assert held == [whole.get_total_buffer_size()]
    assert held[0] > 100_000


# --- hooks


class Watcher:
    """A stranger's plugin."""

    def __init__(self):
        self.calls = Counter()
        self.loads = []

    @hookimpl
    def run_started(self, run, streams):
        self.calls["run_started"] += 1

    @hookimpl
    def batch_loaded(self, rows):
        self.calls["rows"] += rows

    @hookimpl
    def load_committed(self, load_id, counts, bookmark):
        self.loads.append((load_id, counts["staged"], bookmark))

    @hookimpl
    def stream_finished(self, stream, outcome):
        self.calls[f"{stream} {outcome}"] += 1

    @hookimpl
    def run_finished(self, exit_code):
        self.calls[f"exit {exit_code}"] += 1


class Hostile:
    """Raises at each batch, and sleeps at the end."""

    @hookimpl
    def batch_loaded(self):
        raise RuntimeError("no")

    @hookimpl
    def run_finished(self):
        time.sleep(60)


def test_pluggy_carries_the_hooks(world):
    watcher = Watcher()
    began = time.monotonic()
    observers = (observer(watcher, "watcher", builtin=True), observer(Hostile(), "hostile"))
    outcome = world.run(orders(), observers=observers, commit_every=EVERY_BOOKMARK)
    assert outcome.exit_code == 0
    assert time.monotonic() - began < 20
    assert watcher.calls == {"run_started": 1, "rows": 4, "orders committed": 1, "exit 0": 1}
    assert sum(staged for _, staged, _ in watcher.loads) == 4
    assert watcher.loads[-1][2] == {"cursor": "30"}
    assert world.rows() == as_rows(ROWS)
