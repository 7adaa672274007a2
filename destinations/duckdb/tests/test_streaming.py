"""Loads too large for one table: one INSERT takes batches as they come, and gives the connection back when needed."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from wherry import KIND, Counts, DataError, Entry, LeaseError


@pytest.fixture(autouse=True)
def _streaming(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = {thread.name for thread in threading.enumerate()}
    monkeypatch.setattr("wherry_destination_duckdb.load.BYTES", 1000)
    yield
    assert "wherry-insert" not in {thread.name for thread in threading.enumerate()} - before


def numbered(make: Any, start: int, count: int = 100) -> pa.RecordBatch:
    return make(*({"id": n, "note": str(n)} for n in range(start, start + count)))


@pytest.mark.parametrize("exclusive", [True, False])
def test_streams_of_one_load_take_turns(driver: Any, make: Any, exclusive: bool) -> None:
    one = driver.target(exclusive=exclusive)
    two = dataclasses.replace(one, stream="others", table="others")
    session, plan = driver.open(), driver.plan(one)
    session.start(plan)
    load = session.begin(plan, plan.splits[0])
    for target in (one, two):
        load.prepare(target)
    for start in range(0, 2000, 100):
        load.write("orders", numbered(make, start))
        if start % 300 == 0:
            load.write("others", numbered(make, start))
    counts = {"orders": Counts(mapped=2000), "others": Counts(mapped=700)}
    done = load.commit(Entry(done=True, counts=counts)).applied
    assert (done["orders"].inserted, done["others"].inserted) == (2000, 700)
    session.close()
    assert [row["id"] for row in driver.read(one)] == sorted(range(2000), key=str)
    assert len(driver.read(two)) == 700


@pytest.mark.parametrize("exclusive", [True, False])
def test_an_abort_leaves_nothing(driver: Any, make: Any, exclusive: bool) -> None:
    session, target = driver.open(), driver.target(exclusive=exclusive)
    plan = driver.plan(target)
    session.start(plan)
    load = driver.stage(session, plan, target, numbered(make, 0, 1000))
    load.write("orders", numbered(make, 1000))
    load.abort()
    load.abort()
    load = driver.stage(session, plan, target, numbered(make, 0, 50))
    load.commit(Entry(done=True, counts={"orders": Counts(mapped=50)}))
    session.close()
    assert len(driver.read(target)) == 50


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_bad_value_in_the_middle_stops_the_load(driver: Any, make: Any, exclusive: bool) -> None:
    schema = pa.schema([pa.field("id", pa.int64()), pa.field("note", pa.string(), metadata={KIND: b"uuid"})])
    session, target = driver.open(), driver.target(schema=schema, exclusive=exclusive)
    plan = driver.plan(target)
    session.start(plan)
    load = session.begin(plan, plan.splits[0])
    load.prepare(target)
    good = make(*({"id": n, "note": None} for n in range(200)), schema=schema)
    bad = make({"id": 1, "note": "S3CR3T"}, schema=schema)

    def work() -> None:
        for _ in range(50):
            load.write("orders", good)
            load.write("orders", bad)
        load.commit(Entry(done=True, counts={"orders": Counts(mapped=50 * 201)}))

    with pytest.raises(DataError) as caught:
        work()
    assert "S3CR3T" not in str(caught.value)
    load.abort()
    session.close()
    session = driver.open(read_only=True)
    assert session.schema(target) is None or session.read(target).read_all().num_rows == 0
    session.close()


def test_a_truncation_and_a_growth_in_the_middle(driver: Any, make: Any) -> None:
    target = driver.target()
    driver.run(target, numbered(make, 0))
    session, plan = driver.open(), driver.plan(target)
    session.start(plan)
    load = driver.stage(session, plan, target, numbered(make, 0, 1000))
    load.truncate("orders")
    load.write("orders", numbered(make, 5000, 500))
    grown = dataclasses.replace(target, schema=target.schema.append(pa.field("new", pa.int64())))
    load.prepare(grown)
    load.write("orders", make({"id": 1, "new": 2}, schema=grown.schema))
    done = load.commit(Entry(done=True, counts={"orders": Counts(mapped=501)})).applied["orders"]
    assert (done.inserted, done.deleted) == (501, 100)
    session.close()
    found = driver.read(grown)
    assert len(found) == 501
    assert {"id": 1, "note": None, "new": 2} in found


def test_lanes_side_by_side(driver: Any, make: Any) -> None:
    session = driver.open()

    def lane(number: int) -> None:
        target = driver.target(stream=f"s{number}", table=f"t{number}", mode="replace")
        driver.load(session, target, numbered(make, 0, 20_000))

    errors: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            lane(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    session.close()
    assert errors == []
    for number in range(6):
        assert driver.sql(f"select count(*), max(id) from shop.t{number}") == [(20_000, 19_999)]


def test_splits_of_one_stream_side_by_side(driver: Any, make: Any) -> None:
    """Keys apart, one table: each load stages for itself and applies under the table's lock."""
    target = driver.target(mode="merge", key=("id",), exclusive=False)
    session, plan = driver.open(), driver.plan(target, splits=4)
    session.start(plan)
    errors: list[BaseException] = []

    def lane(number: int) -> None:
        try:
            for turn in range(3):
                batch = numbered(make, number * 1000, 500)
                batch = batch.append_column("_wherry_pos", pa.array(range(500), pa.int64()))
                load = driver.stage(session, plan, target, batch, split=number)
                load.commit(Entry(bookmark=turn, done=turn == 2, counts={"orders": Counts(mapped=500)}))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=lane, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    session.publish(plan, [target], 1, Entry(bookmark="end"))
    session.close()
    assert len(driver.read(target)) == 2000


def test_a_take_over_is_a_lost_lease_for_rows_under_way(driver: Any, make: Any) -> None:
    old, target = driver.open(), driver.target()
    plan = driver.plan(target)
    old.start(plan)
    load = driver.stage(old, plan, target, numbered(make, 0, 1000))
    old.dialect._database.holders.clear()  # as if its process had died
    new = driver.open()
    load.write("orders", numbered(make, 1000))
    with pytest.raises(LeaseError):
        load.commit(Entry(bookmark=1, counts={"orders": Counts(mapped=1100)}))
    new.close()
    old.close()
    assert driver.read(target) == []


@pytest.mark.parametrize("how", ["another plan", "forgotten", "moved"])
def test_a_dropped_plan_is_a_lost_lease_for_rows_under_way(driver: Any, make: Any, how: str) -> None:
    session, target = driver.open(), driver.target()
    plan = driver.plan(target)
    session.start(plan)
    load = driver.stage(session, plan, target, numbered(make, 0, 1000))
    if how == "another plan":
        session.start(driver.plan(target))
    else:
        session.set("orders", None if how == "forgotten" else 5)
    with pytest.raises(LeaseError):
        load.commit(Entry(bookmark=1, counts={"orders": Counts(mapped=1000)}))
    session.close()
    assert driver.read(target) == []
