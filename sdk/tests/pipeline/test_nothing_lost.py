"""Ways in which rows could be lost, doubled, changed or published half, each tried out."""

import threading
import time

import pyarrow as pa
import pytest
from wherry import Batch, Mark, Progress, ReadPlan, Split, StateError, Stream, TransientError
from wherry.pipeline import boundary
from wherry.pipeline.lane import CommitEvery
from wherry.pipeline.rejects import MaxRejects
from wherry.pipeline.select import Wish, Wishes
from wherry.pipeline.work import Work
from wherry.testing import MemoryStream

EVERY_BOOKMARK = CommitEvery(rows=1)
ROWS = pa.table({"id": [1, 2, 3, 4], "v": ["a", "b", "c", "d"], "at": [10, 20, 20, 30]})
KEYED = Stream(name="orders", schema=ROWS.schema, primary_key=("id",))


def orders(*tables, **options):
    given = {"name": "orders", "key": ("id",), "cursor": "at", "ordered": True, "batch": 1} | options
    return MemoryStream(tables=tables or (ROWS,), **given)


def as_rows(table):
    return sorted(table.to_pylist(), key=str)


# --- keys


@pytest.mark.parametrize("mode", ["merge", "history"])
@pytest.mark.parametrize("type", [pa.decimal128(38, 9), pa.float64()])
def test_a_key_of_fractions_never_becomes_text(world, mode, type):
    """As text, 1 is 1.000000000 in the table, and no row that comes later."""
    first = pa.table({"id": pa.array([1, 2], pa.int64()).cast(type), "v": ["a", "b"]})
    later = pa.table({"id": ["1", "x"], "v": ["c", "d"]})
    assert world.run(orders(first, cursor=None), wish=Wish(mode=mode)).exit_code == 0
    outcome = world.run(orders(later, cursor=None), wish=Wish(mode=mode))
    assert outcome.exit_code == 6
    assert "part of the key" in outcome.streams[0].error.message
    assert [row["id"] for row in world.rows()] == [1, 2]


# --- several splits


def test_a_split_of_a_history_stream_does_not_close_the_keys_of_the_others(world):
    stream = orders(cursor=None, ordered=False, splits=4)
    for _ in range(2):
        assert world.run(stream, wish=Wish(mode="history")).exit_code == 0
        assert world.live() == as_rows(ROWS)


@pytest.mark.parametrize("ordered", [False, True])
def test_a_plan_is_not_published_when_one_of_its_splits_was_stopped(world, splitting, ordered, monkeypatch):
    """The stop comes while one split's rows are all read but not committed: it ends done, the other does not."""
    ended, real = [], Work.ended
    monkeypatch.setattr(Work, "ended", lambda work, split, done: (real(work, split, done), ended.append(split.key))[0])
    stop, whole_read = threading.Event(), threading.Event()

    def read(source, split):
        if split.key == "whole":
            yield Batch(stream="orders", data=ROWS.slice(0, 2))
            return
        yield Batch(stream="orders", data=ROWS.slice(2, 1))
        whole_read.wait(0 if ordered else 5)
        stop.set()
        yield Batch(stream="orders", data=ROWS.slice(3))

    def linger(_):
        """Until the stopped split has ended, so that this one is the last."""
        whole_read.set()
        deadline = time.monotonic() + 5
        while ended != ["half"] and time.monotonic() < deadline:
            time.sleep(0.01)

    world.faults.arm("before commit", linger)
    world.script([KEYED], read, splitting("half", "whole", ordered=ordered), stop=stop, workers=2)
    assert ("memory", "orders") not in world.store.now.tables
    world.script([KEYED], read, splitting("half", "whole", ordered=ordered), workers=2)
    assert world.rows() == as_rows(ROWS)


@pytest.mark.parametrize("workers", [1, 3])  # with one, the split that sees x is over before another makes a commit
def test_a_split_that_saw_nothing_does_not_count_the_boundary_twice(world, workers):
    x, y = {"v": "x", "at": 30}, {"v": "y", "at": 30}
    keyless = {"key": (), "ordered": False, "batch": 10}
    world.run(orders(pa.Table.from_pylist([x]), **keyless), wish=Wish(mode="append"))
    world.run(orders(pa.Table.from_pylist([x, y]), splits=3, **keyless), wish=Wish(mode="append"), workers=workers)
    assert world.rows() == [x, y]
    world.run(orders(pa.Table.from_pylist([x, y, x]), **keyless), wish=Wish(mode="append"))
    assert world.rows() == [x, x, y]


def test_a_look_back_over_ranges_knows_the_rows_of_all_of_them(world):
    wish = Wish(mode="append", lookback=15)
    ranges = orders(splits=4, ordered=False)
    for _ in range(2):
        assert world.run(ranges, wish=wish).exit_code == 0
    assert world.rows() == as_rows(ROWS)


def test_a_table_half_appended_by_a_plan_that_was_given_up_is_made_anew_until_that_is_done(world):
    """Given up a second time, while it is made anew aside: the rows of the first plan are still in the table."""

    def plan(selected, progress):
        return [ReadPlan(key="orders", splits=(Split(key="s", streams=tuple(selected)),))]

    def read(source, split):
        for n in range(4):
            if n == stuck_at:
                raise KeyError("gone")
            yield Batch(stream="orders", data=ROWS.slice(n, 1), bookmark={"n": n + 1})

    stream = Stream(name="orders", schema=ROWS.schema, cursor="at", ordered=True)
    for item in (2, 1, None):
        stuck_at = item
        world.script([stream], read, plan, commit_every=EVERY_BOOKMARK)
    assert world.rows() == as_rows(ROWS)


# --- a tie in the middle of which a load committed


@pytest.mark.parametrize("lookback", [0, 15])
def test_rows_of_the_boundary_that_come_after_a_commit_are_still_known(world, lookback):
    x, y, z = ({"id": n, "v": v, "at": 30} for n, v in enumerate("xyz"))
    wish = Wish(mode="append", key=("id",), lookback=lookback)
    world.run(orders(pa.Table.from_pylist([x, y])), wish=wish)
    world.source_faults.arm("read", TransientError("reset"), at=3)
    changed = orders(pa.Table.from_pylist([x, z, y]))
    assert world.run(changed, wish=wish, commit_every=EVERY_BOOKMARK).exit_code == 0
    assert world.rows() == [x, y, z]


def test_a_stop_inside_a_tie_too_large_to_remember_commits_nothing_of_it(world, monkeypatch):
    monkeypatch.setattr(boundary, "LIMIT", 2)
    tie = pa.table({"v": [*"abcdef"], "at": [1, 2, 2, 2, 2, 3]})
    stream, stop = orders(tie, key=()), threading.Event()
    world.source_faults.arm("read", lambda _: stop.set(), at=5)
    world.run(stream, wish=Wish(mode="append"), stop=stop)
    assert world.run(stream, wish=Wish(mode="append")).exit_code == 0
    assert world.rows() == as_rows(tie)


# --- many streams in one plan


def log(n, rows):
    ops = pa.table({"id": rows, "v": [f"{n}{r}" for r in rows], "_wherry_op": pa.array([0] * len(rows), pa.int8())})
    return MemoryStream(name=n, tables=(ops,), key=("id",), changes=True, batch=1)


def test_a_full_refresh_of_a_log_reads_it_from_its_beginning(world):
    world.run(log("a", [1, 2]), log("b", [1, 2]), log=True)
    longer = (log("a", [1, 2, 3]), log("b", [1, 2, 3]))
    assert world.run(*longer, log=True, wishes=Wishes(full_refresh=True)).exit_code == 0
    assert [r["id"] for r in world.rows("a")] == [1, 2, 3]
    assert [r["id"] for r in world.rows("b")] == [1, 2, 3]


def test_a_table_of_a_log_that_the_user_dropped_is_whole_again(world):
    world.run(log("a", [1, 2]), log("b", [1, 2]), log=True)
    world.store.drop("memory", "a")
    world.run(log("a", [1, 2, 3]), log("b", [1, 2, 3]), log=True)
    assert [r["id"] for r in world.rows("a")] == [1, 2, 3]
    assert [r["id"] for r in world.rows("b")] == [1, 2, 3]


def test_a_stream_that_joins_a_log_later_is_whole(world):
    world.run(log("a", [1, 2]), log=True)
    joined = (log("a", [1, 2, 3]), log("b", [1, 2, 3]))
    with pytest.raises(StateError, match="stream b is new in log, whose bookmark stands for a") as caught:
        world.run(*joined, log=True)
    assert "--full-refresh" in caught.value.next
    assert world.run(*joined, log=True, wishes=Wishes(exclude=("b",))).exit_code == 0
    assert world.run(*joined, log=True, wishes=Wishes(full_refresh=True)).exit_code == 0
    assert [r["id"] for r in world.rows("a")] == [1, 2, 3]
    assert [r["id"] for r in world.rows("b")] == [1, 2, 3]


def test_a_stream_left_out_of_a_log_for_one_run_misses_nothing(world):
    world.run(log("a", [1]), log("b", [1]), log=True)
    world.run(log("a", [1, 2]), log("b", [1, 2]), log=True, wishes=Wishes(only=("a",)))
    with pytest.raises(StateError, match="stream b is new in log"):
        world.run(log("a", [1, 2, 3]), log("b", [1, 2, 3]), log=True)
    world.run(log("a", [1, 2, 3]), log("b", [1, 2, 3]), log=True, wishes=Wishes(full_refresh=True))
    assert [r["id"] for r in world.rows("a")] == [1, 2, 3]
    assert [r["id"] for r in world.rows("b")] == [1, 2, 3]


# --- what was begun and not ended


def test_a_dropped_table_whose_rebuild_was_interrupted_is_whole_although_the_source_starts_anew(world):
    """The second plan cannot be resumed, and the old bookmark speaks of rows that are gone."""

    def fresh(selected, progress):
        known = progress.get("orders", Progress())
        split = Split(key=f"s{len(world.store.now.runs)}", streams=tuple(selected), bookmark=known.bookmark)
        return [ReadPlan(key="orders", splits=(split,))]

    def read(source, split):
        start = 0 if split.bookmark is None else split.bookmark["n"]
        for n in range(start, 4):
            if n == 2 and broken:
                raise TransientError("gone")
            yield Batch(stream="orders", data=ROWS.slice(n, 1), bookmark={"n": n + 1})

    stream, broken = Stream(name="orders", schema=ROWS.schema, primary_key=("id",), cursor="at", ordered=True), []
    settings = {"commit_every": EVERY_BOOKMARK}
    world.script([stream], read, fresh, **settings)
    world.store.drop("memory", "orders")
    broken.append(True)
    assert world.script([stream], read, fresh, **settings).exit_code == 3
    broken.clear()
    assert world.script([stream], read, fresh, **settings).exit_code == 0
    assert world.rows() == as_rows(ROWS)


@pytest.mark.parametrize(("point", "code"), [("before publish", 4), ("after publish", 0)])
def test_a_full_refresh_interrupted_at_its_publication_ends_without_the_flag(world, point, code):
    world.run(orders())
    later = orders(ROWS.slice(1))
    world.faults.arm(point, TransientError("gone"), times=100)
    assert world.run(later, wishes=Wishes(full_refresh=True)).exit_code == code
    world.faults._armed.clear()
    assert world.run(later).exit_code == 0
    assert world.rows() == as_rows(ROWS.slice(1))
    schema = world.store.now.targets[("memory", "memory-memory"), "orders"].schema
    assert schema.names == ["id", "v", "at"]


def test_a_rebuild_that_goes_on_knows_the_columns_it_has(world):
    world.run(orders())
    parts = [pa.table({"id": [n], "v": [v], "at": [n]}) for n, v in enumerate(["x", "y", "7"])]
    mixed = orders(*parts[:2], pa.table({"id": [9], "v": [7], "at": [9]}))
    world.source_faults.arm("read", TransientError("gone"), at=3, times=100)
    wishes = Wishes(full_refresh=True)
    assert world.run(mixed, wishes=wishes, commit_every=EVERY_BOOKMARK).exit_code == 3
    world.source_faults._armed.clear()
    assert world.run(mixed, commit_every=EVERY_BOOKMARK).exit_code == 0
    assert [r["v"] for r in world.rows()] == ["x", "y", "7"]


def test_a_complete_mark_after_a_resumed_read_ends_no_key_of_the_first_half(world):
    """The second attempt's load holds the second half alone."""

    def read(source, split):
        start = 0 if split.bookmark is None else split.bookmark["n"]
        for n in range(start, 4):
            if n == 2 and not failed:
                failed.append(n)
                raise TransientError("gone")
            yield Batch(stream="orders", data=ROWS.slice(n, 1), bookmark={"n": n + 1} if n < 2 else None)
        yield Mark(complete=("orders",))

    failed = []
    stream = Stream(name="orders", schema=ROWS.schema, primary_key=("id",), cursor="at", ordered=True)
    wish = Wish(mode="history")
    assert world.script([stream], read, commit_every=EVERY_BOOKMARK, wish=wish).exit_code == 0
    assert world.live() == as_rows(ROWS)


def test_a_plan_that_comes_again_after_a_rebuild_adds_to_it(world):
    def plan(selected, progress):
        known = progress.get("orders", Progress())
        split = Split(key="s", streams=tuple(selected), bookmark=known.bookmark)
        return [ReadPlan(key="orders", splits=(split,), again=known.bookmark is None)]

    def read(source, split):
        start = 0 if split.bookmark is None else split.bookmark["n"]
        yield Batch(stream="orders", data=ROWS.slice(start, 2), bookmark={"n": min(start + 2, 4)})

    stream = Stream(name="orders", schema=ROWS.schema, primary_key=("id",), cursor="at")
    for wishes in (Wishes(), Wishes(full_refresh=True)):
        assert world.script([stream], read, plan, wishes=wishes).exit_code == 0
        assert world.rows() == as_rows(ROWS)


def test_rejects_of_an_attempt_that_failed_count_once(world):
    rows = pa.table({"id": [1, 2, 3], "v": ["1", "x", "3"], "at": [1, 2, 3]})
    world.faults.arm("before commit", TransientError("gone"))
    outcome = world.run(orders(rows), wish=Wish(types={"v": "bigint"}), max_rejects=MaxRejects(rows=1))
    assert outcome.exit_code == 0
    assert [r["v"] for r in world.rows()] == [1, 3]
    assert len(world.rows("orders__rejected")) == 1


def test_an_end_bound_does_not_move_the_bookmark_past_it(world):
    world.run(orders(), wish=Wish(end="20"))
    world.run(orders())
    assert world.rows() == as_rows(ROWS)


def test_a_sample_is_not_acknowledged(world):
    world.run(log("a", [1, 2]), log=True, wishes=Wishes(limit=5))
    assert len(world.rows("a__sample")) == 2
    assert world.acknowledged == []


# --- streams and columns that change in mid-read


@pytest.mark.parametrize("mode", ["replace", "append"])
def test_a_stream_that_appears_in_mid_read_is_loaded(world, mode):
    def read(source, split):
        yield Batch(stream="orders", data=ROWS.slice(0, 2))
        yield Mark(stream=Stream(name="late", schema=ROWS.schema))
        yield Batch(stream="late", data=ROWS.slice(2), bookmark={"n": 1})

    outcome = world.script([KEYED], read, wish=Wish(mode=mode))
    assert outcome.exit_code == 0
    assert world.rows() == as_rows(ROWS.slice(0, 2))
    assert world.rows("late") == as_rows(ROWS.slice(2))
    assert {s.stream: s.counts["inserted"] for s in outcome.streams} == {"orders": 2, "late": 2}


def test_a_stream_that_appears_in_mid_read_but_is_not_wanted_is_left_out(world):
    def read(source, split):
        yield Mark(stream=Stream(name="late", schema=ROWS.schema))
        yield Batch(stream="late", data=ROWS.slice(2))
        yield Batch(stream="orders", data=ROWS)

    assert world.script([KEYED], read, wishes=Wishes(exclude=("late",))).exit_code == 0
    assert world.rows() == as_rows(ROWS)
    assert ("memory", "late") not in world.store.now.tables


def partial(unset=None, **columns):
    """One partial update."""
    given = {n: pa.array(v) for n, v in columns.items()} | {"_wherry_op": pa.array([2], pa.int8())}
    if unset is not None:
        given["_wherry_unset"] = pa.array([unset], pa.list_(pa.int16()))
    return pa.table(given)


FIRST = pa.table({"id": [1], "a": ["a"], "b": ["b"]})
PLAIN = Stream(name="orders", schema=FIRST.schema, primary_key=("id",), changes=True)


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        (partial([2], id=[1], a=["A"], b=[None]), ("A", "b")),
        (partial([1], id=[1], a=[None], b=["B"]), ("a", "B")),
        (partial([], id=[1], a=["A"], b=[None]), ("A", None)),
        (partial([], id=[1], a=["A"]), ("A", "b")),
        (partial(id=[1], a=["A"]), ("A", "b")),
        (partial(id=[1], b=["B"]), ("a", "B")),
    ],
)
def test_a_partial_update_leaves_alone_what_it_says(world, update, expected):
    def read(source, split):
        yield Batch(stream="orders", data=FIRST)
        yield Batch(stream="orders", data=update, bookmark={"n": 2})

    assert world.script([PLAIN], read).exit_code == 0
    assert world.rows() == [{"id": 1, "a": expected[0], "b": expected[1]}]


def test_positions_of_a_partial_update_follow_the_stream_when_its_schema_changes(world):
    def read(source, split):
        yield Batch(stream="orders", data=FIRST)
        yield Mark(stream=Stream(name="orders", schema=wide, primary_key=("id",), changes=True))
        yield Batch(stream="orders", data=pa.table({"new": ["n"], "id": [1], "a": ["a"], "b": ["b"]}))
        yield Batch(stream="orders", data=partial([0, 3], new=["x"], id=[1], a=["A"], b=["x"]), bookmark={"n": 2})

    wide = pa.schema([("new", pa.utf8()), *FIRST.schema])
    assert world.script([PLAIN], read).exit_code == 0
    assert world.rows() == [{"id": 1, "a": "A", "b": "b", "new": "n"}]


def test_a_truncation_after_rejected_rows_keeps_count(world):
    def read(source, split):
        yield Batch(stream="orders", data=pa.table({"id": [1], "v": ["x"]}))
        yield Mark(truncate=("orders",))
        yield Batch(stream="orders", data=pa.table({"id": [2], "v": ["2"]}), bookmark={"n": 1})

    stream = Stream(name="orders", schema=pa.schema([("id", pa.int64()), ("v", pa.utf8())]))
    wish = Wish(types={"v": "bigint"}, mode="append")
    assert world.script([stream], read, wish=wish, max_rejects=MaxRejects(rows=5)).exit_code == 0
    assert world.rows() == [{"id": 2, "v": 2}]
    assert len(world.rows("orders__rejected")) == 1


@pytest.mark.parametrize("resumable", [True, False])
def test_rows_of_an_unfinished_plan_that_the_source_gave_up_are_not_appended_twice(world, resumable):
    """The first load of a table, half of it committed: read from the beginning again it is made anew."""

    def plan(selected, progress):
        known = progress.get("orders", Progress())
        if known.open is not None and resumable:
            return [known.open]
        return [ReadPlan(key="orders", splits=(Split(key="s", streams=tuple(selected), bookmark=known.bookmark),))]

    def read(source, split):
        for n in range(0 if split.bookmark is None else split.bookmark["n"], 4):
            if n == stuck_at:
                raise TransientError("gone")
            yield Batch(stream="orders", data=ROWS.slice(n, 1), bookmark={"n": n + 1})

    stream = Stream(name="orders", schema=ROWS.schema, cursor="at", ordered=True)
    stuck_at = 2
    assert world.script([stream], read, plan, commit_every=EVERY_BOOKMARK).exit_code == 3
    stuck_at = None
    assert world.script([stream], read, plan, commit_every=EVERY_BOOKMARK).exit_code == 0
    assert world.rows() == as_rows(ROWS)


def test_an_append_that_can_neither_go_on_nor_begin_anew_says_so(world):
    def plan(selected, progress):
        known = progress.get("orders", Progress())
        return [ReadPlan(key="orders", splits=(Split(key="s", streams=tuple(selected), bookmark=known.bookmark),))]

    def read(source, split):
        for n in range(0 if split.bookmark is None else split.bookmark["n"], end):
            if n == stuck_at:
                raise TransientError("gone")
            yield Batch(stream="orders", data=ROWS.slice(n, 1), bookmark={"n": n + 1})

    stream = Stream(name="orders", schema=ROWS.schema, cursor="at", ordered=True)
    end, stuck_at = 2, None
    world.script([stream], read, plan, commit_every=EVERY_BOOKMARK)
    end, stuck_at = 4, 3
    assert world.script([stream], read, plan, commit_every=EVERY_BOOKMARK).exit_code == 3
    stuck_at = None
    with pytest.raises(StateError, match="an unfinished run loaded rows of orders"):
        world.script([stream], read, plan)
    assert world.script([stream], read, plan, wishes=Wishes(full_refresh=True)).exit_code == 0
    assert world.rows() == as_rows(ROWS)


def test_a_whole_read_without_rows_ends_every_key_of_a_history(world):
    stream = {"cursor": None, "ordered": False}
    world.run(orders(**stream), wish=Wish(mode="history"))
    world.run(orders(ROWS.slice(0, 0), **stream), wish=Wish(mode="history"))
    assert world.live() == []


def test_rows_beyond_the_bookmark_are_not_forgotten_by_a_full_refresh_that_did_not_end(world):
    """An append plan is given up, then its rebuild: going on from the old bookmark would load rows twice."""

    def plan(selected, progress):
        known = progress.get("orders", Progress())
        return [ReadPlan(key="orders", splits=(Split(key="s", streams=tuple(selected), bookmark=known.bookmark),))]

    def read(source, split):
        for n in range(0 if split.bookmark is None else split.bookmark["n"], end):
            if n == stuck_at:
                raise KeyError("gone")
            yield Batch(stream="orders", data=ROWS.slice(n, 1), bookmark={"n": n + 1})

    def run(**wishes):
        return world.script([stream], read, plan, commit_every=EVERY_BOOKMARK, wishes=Wishes(**wishes))

    stream = Stream(name="orders", schema=ROWS.schema, cursor="at", ordered=True)
    end, stuck_at = 2, None
    assert run().exit_code == 0
    end, stuck_at = 4, 3
    assert run().exit_code == 3
    stuck_at = 1
    assert run(full_refresh=True).exit_code == 3
    stuck_at = None
    with pytest.raises(StateError, match="an unfinished run loaded rows of orders"):
        run()
    assert run(full_refresh=True).exit_code == 0
    assert world.rows() == as_rows(ROWS)
    assert run().exit_code == 0
    assert world.rows() == as_rows(ROWS)
