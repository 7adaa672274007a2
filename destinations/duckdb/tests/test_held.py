"""Staged rows are read where they are, in memory or in a file, or from a table of the engine's, with one result."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from wherry import KIND, Counts, Entry, ResourceError
from wherry_destination_duckdb import held
from wherry_destination_duckdb.held import Held, Spilled, StagedRows

KINDS = pa.schema([
    pa.field("id", pa.utf8(), metadata={KIND: b"uuid"}), pa.field("said", pa.utf8(), metadata={KIND: b"json"}),
    pa.field("price", pa.decimal128(15, 2)), pa.field("at", pa.timestamp("us", "UTC")),
    pa.field("tags", pa.list_(pa.utf8())),
])  # fmt: skip
ONE, TWO = "8b4de4c0-0000-4000-8000-000000000001", "8b4de4c0-0000-4000-8000-000000000002"


@pytest.fixture(params=["in memory", "in a file", "in a table", "from a file into a table"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Where the rows are when the load is committed."""
    if "file" in request.param:
        monkeypatch.setattr("wherry_destination_duckdb.load.BYTES", 1)  # nothing fits into memory
        monkeypatch.setattr(held, "PIECE", 4096)
    if "table" in request.param:
        monkeypatch.setattr(StagedRows, "show", lambda self: None)
    return request.param


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """From where statements read rows."""
    seen: set[str] = set()

    def watched(kind: Any, place: str) -> None:
        stream = kind.__arrow_c_stream__

        def counted(self: Any, requested_schema: object = None) -> object:
            seen.add(place)
            return stream(self, requested_schema)

        monkeypatch.setattr(kind, "__arrow_c_stream__", counted)

    watched(Held, "in memory")
    watched(Spilled, "in a file")
    return seen


def numbered(make: Any, start: int, stop: int, note: str) -> pa.RecordBatch:
    rows = [{"id": n, "note": f"{note} {n}"} for n in range(start, stop)]
    return make(*rows).append_column("_wherry_pos", pa.array(range(start, stop), pa.int64()))


@pytest.mark.parametrize("mode", ["merge", "history", "append"])
def test_the_same_rows_and_counts(driver: Any, make: Any, mode: str, way: str, scans: set[str]) -> None:
    key = () if mode == "append" else ("id",)
    target = driver.target(mode=mode, key=key, exclusive=False)
    first = driver.run(target, numbered(make, 0, 3000, "old"))
    later = numbered(make, 2000, 4000, "new")
    again = later.slice(0, 500).set_column(2, "_wherry_pos", pa.array(range(9000, 9500), pa.int64()))
    again = again.set_column(1, "note", pa.array([f"last {n}" for n in range(2000, 2500)]))
    twice = pa.Table.from_batches([again, later]).combine_chunks().to_batches()[0]
    second = driver.run(target, twice)
    assert scans == ({way} if "table" not in way else set())
    applied = [receipt.applied["orders"] for receipt in (first, second)]
    assert [done.staged for done in applied] == [3000, 2500]
    if mode == "append":
        assert len(driver.read(target)) == 5500
        return
    live = "where _wherry_valid_to is null" if mode == "history" else ""
    found = dict(driver.sql(f"select id, note from shop.orders {live}"))
    old, last, new = ({n: f"{word} {n}" for n in range(4000)} for word in ("old", "last", "new"))
    assert found == {n: (old if n < 2000 else last if n < 2500 else new)[n] for n in range(4000)}
    if mode == "merge":
        assert (applied[1].inserted, applied[1].updated) == (1000, 1000)


def test_types_that_arrow_does_not_name_are_kept(driver: Any, way: str) -> None:
    """A key that is a UUID matches in whatever way it is written."""
    target = driver.target(schema=KINDS, mode="merge", key=("id",))

    def rows(said: str, *ids: str) -> pa.RecordBatch:
        made = [{"id": id, "said": said, "price": None, "at": None, "tags": [said]} for id in ids]
        places = pa.array(range(len(ids)), pa.int64())
        return pa.RecordBatch.from_pylist(made, schema=KINDS).append_column("_wherry_pos", places)

    driver.run(target, rows('{"a": 1.10}', ONE, TWO))
    done = driver.run(target, rows('{"b":2}', TWO.upper())).applied["orders"]
    assert (done.inserted, done.updated) == (0, 1)
    assert driver.sql("select id::varchar, said::varchar, tags, typeof(id) from shop.orders order by id") == [
        (ONE, '{"a": 1.10}', ['{"a": 1.10}'], "UUID"), (TWO, '{"b":2}', ['{"b":2}'], "UUID"),
    ]  # fmt: skip


def test_a_truncation_and_a_grown_schema_in_the_middle(driver: Any, make: Any, way: str) -> None:
    target = driver.target(mode="merge", key=("id",))
    wide = driver.target(mode="merge", key=("id",), schema=target.schema.append(pa.field("more", pa.int64())))
    driver.run(target, numbered(make, 0, 10, "old"))
    session, plan = driver.open(), driver.plan(target)
    session.start(plan)
    load = driver.stage(session, plan, target, numbered(make, 0, 5, "gone"))
    load.truncate("orders")
    load.write("orders", numbered(make, 2, 4, "new"))
    load.prepare(wide)
    grown = numbered(make, 3, 6, "wide").append_column("more", pa.array([1, 2, 3], pa.int64()))
    load.write("orders", grown.set_column(2, "_wherry_pos", pa.array([10, 11, 12], pa.int64())))
    done = load.commit(Entry(done=True, counts={"orders": Counts(mapped=5)})).applied["orders"]
    session.close()
    assert (done.staged, done.inserted, done.deleted) == (5, 4, 10)
    assert driver.sql("select id, note, more from shop.orders order by id") == [
        (2, "new 2", None), (3, "wide 3", 1), (4, "wide 4", 2), (5, "wide 5", 3),
    ]  # fmt: skip


def test_what_is_in_a_file_leaves_nothing_behind(driver: Any, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wherry_destination_duckdb.load.BYTES", 1)
    target = driver.target(mode="merge", key=("id",))
    session, plan = driver.open(), driver.plan(target)
    session.start(plan)
    folder = Path(session.dialect._database.path).parent
    before = sorted(folder.iterdir())
    load = driver.stage(session, plan, target, numbered(make, 0, 100, "new"))
    assert sorted(folder.iterdir()) == before
    load.abort()
    session.close()
    assert [path.suffix for path in folder.iterdir()] == [".duckdb"]


def test_a_disk_that_is_full(driver: Any, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    target = driver.target(mode="merge", key=("id",))
    driver.run(target, numbered(make, 0, 10, "old"))
    monkeypatch.setattr("wherry_destination_duckdb.load.BYTES", 1)
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "TemporaryFile", lambda **_: open("/dev/full", "r+b", buffering=0))  # noqa: SIM115
        session, plan = driver.open(), driver.plan(target)
        session.start(plan)
        load = session.begin(plan, plan.splits[0])
        load.prepare(target)
        with pytest.raises(ResourceError, match=f"the disk of {driver.path.parent} is full"):
            load.write("orders", numbered(make, 0, 1000, "new"))
        load.abort()
        session.close()
    assert dict(driver.sql("select id, note from shop.orders")) == {n: f"old {n}" for n in range(10)}
    driver.run(target, numbered(make, 5, 1000, "new"))
    found = dict(driver.sql("select id, note from shop.orders"))
    assert found == {n: f"{'old' if n < 5 else 'new'} {n}" for n in range(1000)}
