"""Each mode, the fence and the counts, on a real file that another client reads afterwards."""

from __future__ import annotations

import dataclasses
import itertools
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from wherry import Counts, DataError, DestinationError, Entry, LeaseError, StateError, TransientError

KEYED = pa.schema([("id", pa.int64()), ("note", pa.string()), ("at", pa.timestamp("us", "UTC"))])


def day(number: int) -> datetime:
    return datetime(2026, 1, number, tzinfo=UTC)


def test_append_adds_and_keeps_the_load_id(driver: Any, make: Any) -> None:
    first = driver.run(driver.target(), make({"id": 1, "note": "a"}))
    second = driver.run(driver.target(), make({"id": 1, "note": "a"}))
    assert second.load_id > first.load_id
    assert driver.sql("select id, note, _wherry_load_id from shop.orders order by 3") == [
        (1, "a", first.load_id), (1, "a", second.load_id),
    ]  # fmt: skip


def test_rows_and_bookmark_are_recorded_together(driver: Any, make: Any) -> None:
    receipt = driver.run(driver.target(), make({"id": 1}, {"id": 2}), bookmark={"at": "2026", "covers": "abc"})
    assert driver.sql(
        "select stream, staged_rows, inserted_rows, load_id from shop._wherry_loads where stream <> ''"
    ) == [("orders", 2, 2, receipt.load_id)]
    with_session = driver.open(read_only=True)
    progress = with_session.progress["orders"]
    with_session.close()
    assert (progress.bookmark, progress.covers) == ({"at": "2026", "covers": "abc"}, "abc")
    assert (progress.open, progress.missing) == (None, frozenset())


@pytest.mark.parametrize("counted", [0, 1, 3])
@pytest.mark.parametrize("exclusive", [True, False])
def test_counts_that_differ_leave_no_trace(driver: Any, make: Any, counted: int, exclusive: bool) -> None:
    session, target = driver.open(), driver.target(exclusive=exclusive)
    plan = driver.plan(target)
    session.start(plan)
    load = driver.stage(session, plan, target, make({"id": 1}, {"id": 2}))
    with pytest.raises(DestinationError, match="2 rows staged"):
        load.commit(Entry(done=True, bookmark=7, counts={"orders": Counts(read=counted, mapped=counted)}))
    assert session.progress["orders"].open.splits[0].bookmark is None
    assert session.progress["orders"].done == frozenset()
    session.close()
    if exclusive:
        assert driver.sql("select * from shop.orders") == []
    assert driver.sql("select * from shop._wherry_loads") == []


def test_uncounted_streams_are_refused(driver: Any, make: Any) -> None:
    session, target = driver.open(), driver.target()
    plan = driver.plan(target)
    session.start(plan)
    load = driver.stage(session, plan, target, make({"id": 1}))
    with pytest.raises(DestinationError):
        load.commit(Entry(done=True))
    session.close()


def test_two_loads_of_one_split_cannot_both_commit(driver: Any, make: Any) -> None:
    session, target = driver.open(), driver.target(exclusive=False)
    plan = driver.plan(target)
    session.start(plan)
    loads = [driver.stage(session, plan, target, make({"id": n})) for n in range(2)]
    counted = Entry(bookmark=1, counts={"orders": Counts(mapped=1)})
    assert loads[0].commit(counted).seq == 1
    with pytest.raises(TransientError):
        loads[1].commit(counted)
    session.close()
    assert driver.read(target) == [{"id": 0, "note": None}]


def test_a_run_that_was_taken_over_cannot_commit(driver: Any, make: Any) -> None:
    old, target = driver.open(), driver.target()
    plan = driver.plan(target)
    old.start(plan)
    load = driver.stage(old, plan, target, make({"id": 1}))
    old.dialect._database.holders.clear()  # as if its process had died
    new = driver.open()
    assert new.lease.epoch == old.lease.epoch + 1
    with pytest.raises(LeaseError):
        load.commit(Entry(bookmark=1, counts={"orders": Counts(mapped=1)}))
    assert driver.load(new, target, make({"id": 2})).applied["orders"].inserted == 1
    new.close()
    old.close()
    assert driver.read(target) == [{"id": 2, "note": None}]


def test_a_split_goes_on_at_its_bookmark(driver: Any, make: Any) -> None:
    target = driver.target()
    session, plan = driver.open(), driver.plan(target, splits=2)
    generation = session.start(plan)
    for number in range(2):
        load = driver.stage(session, plan, target, make({"id": number}))
        load.commit(Entry(bookmark={"n": number}, done=number == 1, counts={"orders": Counts(mapped=1)}))
    assert session.start(plan) == generation
    session.close("stopped")

    session = driver.open()
    progress = session.progress["orders"]
    assert [split.bookmark for split in progress.open.splits] == [{"n": 1}, None]
    assert progress.done == {"part 0"}
    assert progress.bookmark is None
    plan = progress.open
    load = driver.stage(session, plan, target, make({"id": 2}), split=1)
    load.commit(Entry(bookmark={"n": 9}, done=True, counts={"orders": Counts(mapped=1)}))
    receipt = session.publish(plan, [target], generation, Entry(bookmark={"n": 9}))
    assert session.publish(plan, [target], generation, Entry(bookmark={"n": 9})) == receipt
    assert session.progress["orders"].bookmark == {"n": 9}
    assert session.progress["orders"].open is None
    session.close()
    assert [row["id"] for row in driver.read(target)] == [0, 1, 2]


def test_another_plan_drops_the_open_one(driver: Any, make: Any) -> None:
    session, target = driver.open(), driver.target(mode="replace")
    first, second = driver.plan(target), driver.plan(target)
    building = dataclasses.replace(target, generation=session.start(first))
    driver.stage(session, first, building, make({"id": 1})).commit(Entry(counts={"orders": Counts(mapped=1)}))
    assert session.schema(building) is not None
    generation = session.start(second)
    assert generation > building.generation
    assert session.schema(building) is None
    with pytest.raises(StateError):
        session.begin(first, first.splits[0])
    session.close()


def test_replace_builds_aside_and_publishes_whole(driver: Any, make: Any) -> None:
    target = driver.target(mode="replace")
    driver.run(target, make({"id": 1, "note": "old"}, {"id": 2, "note": "old"}))
    session, plan = driver.open(), driver.plan(target)
    generation = session.start(plan)
    building = dataclasses.replace(target, generation=generation)
    driver.stage(session, plan, building, make({"id": 3, "note": "new"})).commit(
        Entry(done=True, counts={"orders": Counts(mapped=1)})
    )
    assert session.read(target).read_all()["id"].to_pylist() == [1, 2]
    assert session.read(building).read_all()["id"].to_pylist() == [3]
    session.publish(plan, [building], generation, Entry(bookmark=1))
    assert session.read(target).read_all()["id"].to_pylist() == [3]
    session.close()
    assert driver.sql("select table_name from duckdb_tables() where table_name not like '\\_wherry%' escape '\\'") == [
        ("orders",)
    ]


def test_an_empty_generation_is_published_as_empty(driver: Any, make: Any) -> None:
    target = driver.target(mode="replace")
    driver.run(target, make({"id": 1}))
    driver.run(target, make())
    assert driver.read(target) == []


def test_views_indexes_and_comments_survive_replace(driver: Any, make: Any) -> None:
    target = driver.target(mode="replace")
    driver.run(target, make({"id": 1, "note": "old"}))
    driver.sql("create view shop.notes as select note from shop.orders")
    driver.run(target, make({"id": 2, "note": "newer"}))
    assert driver.sql("select * from shop.notes") == [("newer",)]
    driver.sql("create unique index by_id on shop.orders (id); comment on table shop.orders is 'mine'")
    driver.sql("comment on column shop.orders.note is 'words'")
    driver.run(target, make({"id": 2, "note": "newest"}))
    assert driver.sql("select * from shop.notes") == [("newest",)]
    assert driver.sql("select index_name from duckdb_indexes()") == [("by_id",)]
    assert driver.sql("select comment from duckdb_tables() where table_name = 'orders'") == [("mine",)]
    assert driver.sql("select comment from duckdb_columns() where comment is not null") == [("words",)]


def test_merge_counts_what_it_did(driver: Any, make: Any) -> None:
    target = driver.target(mode="merge", key=("id",))
    driver.run(target, make({"id": 1, "note": "a"}, {"id": 2, "note": "b"}, positions=True))
    done = driver.run(
        target, make({"id": 2, "note": "x"}, {"id": 3, "note": "c"}, {"id": 2, "note": "y"}, positions=True)
    ).applied["orders"]
    assert (done.staged, done.inserted, done.updated, done.deleted) == (3, 1, 1, 0)
    assert driver.read(target) == [
        {"id": 1, "note": "a"}, {"id": 2, "note": "y"}, {"id": 3, "note": "c"},
    ]  # fmt: skip


@pytest.mark.parametrize("mode", ["merge", "history"])
def test_a_null_key_is_refused(driver: Any, make: Any, mode: str) -> None:
    target = driver.target(mode=mode, key=("id",))
    with pytest.raises(DataError) as caught:
        driver.run(target, make({"id": 1}, {"note": "secret"}, positions=True))
    assert caught.value.column == "id"
    assert caught.value.row == 1
    assert "secret" not in str(caught.value)
    assert driver.read(target) == []


def test_a_changed_part_replaces_its_own_rows(driver: Any, make: Any) -> None:
    target = driver.target(part="note")
    driver.run(target, make({"id": 1, "note": "x.csv"}, {"id": 2, "note": "y's.csv"}))
    done = driver.run(target, make({"id": 3, "note": "y's.csv"}), parts={"orders": ("y's.csv",)})
    assert done.applied["orders"].deleted == 1
    assert driver.read(target) == [{"id": 1, "note": "x.csv"}, {"id": 3, "note": "y's.csv"}]


def test_history_over_five_runs_reproduces_each_state(driver: Any, make: Any) -> None:
    target = driver.target(mode="history", key=("id",), schema=KEYED, cursor="at")
    states = [
        {1: "a", 2: "b"},  # two keys
        {1: "a2", 2: "b", 3: "c"},  # one changes, one is new
        {2: "b", 3: "c"},  # one is deleted
        {2: "b3", 3: "c"},  # another changes
        {1: "back", 2: "b3", 3: "c"},  # the deleted one returns
    ]
    changed: dict[tuple[int, str], int] = {}
    for number, state in enumerate(states, start=1):
        for key, note in state.items():
            changed.setdefault((key, note), number)
        batch = [{"id": key, "note": note, "at": day(changed[key, note])} for key, note in state.items()]
        driver.run(target, make(*batch, schema=KEYED, positions=True), complete=("orders",))
    found = driver.sql(
        "select id, note, epoch_us(_wherry_valid_from), epoch_us(_wherry_valid_to) from shop.orders order by 1, 3"
    )
    assert [(row[0], row[1]) for row in found] == [
        (1, "a"), (1, "a2"), (1, "back"), (2, "b"), (2, "b3"), (3, "c"),
    ]  # fmt: skip
    for one, other in itertools.pairwise(found):
        if one[0] == other[0]:
            assert one[3] is not None
            assert one[3] <= other[2] if one[1] == "a2" else one[3] == other[2]
    for number in (1, 2, 4):
        at = int(day(number).timestamp() * 1_000_000)
        seen = {id: note for id, note, start, end in found if start <= at and (end is None or at < end)}
        expected = states[number - 1] if number < 3 else {1: "a2", 2: "b3", 3: "c"}
        assert seen == expected, number
    assert {id: note for id, note, _, end in found if end is None} == states[-1]


def test_history_keeps_unchanged_rows_and_all_versions_of_a_load(driver: Any, make: Any) -> None:
    target = driver.target(mode="history", key=("id",))
    for _ in range(2):
        driver.run(target, make({"id": 1, "note": "a"}, {"id": 1, "note": "a"}, {"id": 1, "note": "b"}, positions=True))
    notes = driver.sql("select note from shop.orders order by _wherry_valid_from")
    assert notes == [("a",), ("b",), ("a",), ("b",)]
    driver.run(target, make({"id": 1, "note": "b"}, positions=True))
    gaps = driver.sql(
        "select count(*), count(*) filter (_wherry_valid_to is null), "
        "count(*) filter (_wherry_valid_to <> following) from (select *, lead(_wherry_valid_from) over "
        "(order by _wherry_valid_from) as following from shop.orders)"
    )
    assert gaps == [(4, 1, 0)]


def test_set_moves_and_forgets_a_bookmark(driver: Any, make: Any) -> None:
    driver.run(driver.target(), make({"id": 1}), bookmark=1)
    session = driver.open()
    session.set("orders", {"at": 5})
    assert session.progress["orders"].bookmark == {"at": 5}
    driver.load(session, driver.target(), make({"id": 2}), bookmark=6)
    assert session.progress["orders"].bookmark == 6
    session.set("orders", None)
    assert "orders" not in session.progress
    session.close()


def test_runs_are_remembered(driver: Any, make: Any) -> None:
    driver.run(driver.target(), make({"id": 1}, {"id": 2}))
    other = driver.open("other")
    other.close("failed")
    session = driver.open(read_only=True)
    runs = session.runs()
    session.close()
    assert [(run.pipeline, run.run, run.outcome, run.inserted) for run in runs] == [
        ("other", 1, "failed", 0), ("shop", 1, "ok", 2),
    ]  # fmt: skip


def test_load_ids_rise_within_a_schema(driver: Any, make: Any) -> None:
    sessions = [driver.open(name) for name in ("one", "two")]
    ids = []
    for number in range(6):
        session, target = sessions[number % 2], driver.target(table=f"t{number % 2}", stream=f"s{number % 2}")
        ids.append(driver.load(session, target, make({"id": number})).load_id)
    for session in sessions:
        session.close()
    assert ids == sorted(set(ids))
    assert abs(ids[-1] / 1e6 - datetime.now(UTC).timestamp()) < 60
