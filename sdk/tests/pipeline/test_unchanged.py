"""A source may say in the middle of a read that nothing is new: then nothing is written, in any mode."""

import pyarrow as pa
import pytest
from wherry import Batch, Mark, ReadPlan, Split, Stream, TransientError
from wherry.pipeline.lane import CommitEvery
from wherry.pipeline.select import Wish

ROWS = pa.table({"id": [1, 2]})
ORDERS = Stream(name="orders", schema=ROWS.schema, primary_key=("id",))
NEWS = [Batch(stream="orders", data=ROWS), Mark(bookmark="all")]
NONE = [Mark(unchanged=True)]


def anew(selected, progress):
    """A plan without a bookmark."""
    return [ReadPlan(key="orders", splits=(Split(key="orders", streams=tuple(selected)),))]


def in_two(selected, progress):
    """A plan of two splits."""
    return [ReadPlan(key="orders", splits=tuple(Split(key=key, streams=tuple(selected)) for key in "ab"))]


def run(world, items, plan=anew, **settings):
    """One run of a source that yields these."""
    return world.script([ORDERS], lambda source, split: iter(items), plan, **settings)


@pytest.mark.parametrize("mode", ["append", "merge", "replace", "history"])
def test_a_table_stays_as_it_is(world, mode):
    assert run(world, NEWS, wish=Wish(mode=mode)).exit_code == 0
    before = world.store.now
    (found,) = run(world, NONE).streams
    assert (found.outcome, found.counts["read"]) == ("unchanged", 0)
    after = world.store.now
    assert (after.tables, after.loads, after.plans) == (before.tables, before.loads, before.plans)
    assert len(world.rows()) == 2


@pytest.mark.parametrize("mode", ["append", "merge", "replace", "history"])
def test_it_may_turn_out_when_a_load_has_failed(world, mode):
    """What the load began is dropped, and not published."""
    run(world, NEWS, wish=Wish(mode=mode))
    world.faults.arm("before commit", TransientError("gone"))
    said = [[Batch(stream="orders", data=pa.table({"id": [3]})), Mark(bookmark="more")], NONE, NEWS]
    found = world.script([ORDERS], lambda source, split: iter(said.pop(0)), anew)
    assert (found.exit_code, found.streams[0].outcome) == (0, "unchanged")
    assert [row["id"] for row in world.rows()] == [1, 2]
    assert run(world, [Batch(stream="orders", data=pa.table({"id": [4]}))]).exit_code == 0
    assert [row["id"] for row in world.rows()] == ([4] if mode == "replace" else [1, 2, 4])


@pytest.mark.parametrize(
    ("items", "settings"),
    [
        ([*NEWS, *NONE], {}),
        ([*NEWS, *NONE], {"commit_every": CommitEvery(rows=1)}),
        ([*NONE, Batch(stream="orders", data=ROWS)], {}),
        ([Mark(unchanged=True, bookmark="other")], {}),
        (NONE, {"plan": in_two}),
        (NONE, {"full_refresh": True}),
    ],
)
def test_it_is_refused_where_it_cannot_be(world, items, settings):
    run(world, NEWS)
    found = run(world, items, **settings)
    assert found.exit_code == 3
    assert "the source calls" in found.streams[0].error.message
    assert [row["id"] for row in world.rows()] == [1, 2]


def test_the_first_read_of_a_stream_cannot_be_of_nothing_new(world):
    assert run(world, NONE).exit_code == 3
    assert world.store.now.tables == {}
