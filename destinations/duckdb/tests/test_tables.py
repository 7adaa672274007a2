"""Who owns a table, how its columns grow, and names that no one would choose."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import pyarrow as pa
import pytest
from wherry import KIND, Counts, DataError, Entry, SchemaError, UsageError

HOSTILE = [
    'say "hi"', "it's", "select", '"; drop table shop.orders; --', "naïve 🛶", "a.b", "{column}", "%s", "back\\slash",
    "x" * 255, " ", "new\nline", "_wherry", "$1", "?",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("mode", ["merge", "replace", "history"])
def test_hostile_names_are_only_names(driver: Any, make: Any, name: str, mode: str) -> None:
    driver.schema = name[:100]
    schema = pa.schema([(name, pa.int64()), ("note", pa.string())])
    target = driver.target(table=name, schema=schema, mode=mode, key=(name,) if mode != "replace" else ())
    for number in range(2):
        driver.run(target, make({name: 7, "note": name + str(number)}, schema=schema, positions=mode != "replace"))
    notes = {row["note"] for row in driver.read(target)}
    assert notes == ({name + "0", name + "1"} if mode == "history" else {name + "1"})


def test_a_name_with_nul_is_refused(driver: Any, make: Any) -> None:
    with pytest.raises(DataError, match="NUL"):
        driver.run(driver.target(table="a\0b"), make({"id": 1}))


def test_a_table_made_by_hand_is_refused_until_adopted(driver: Any, make: Any) -> None:
    driver.sql("create schema shop; create table shop.orders (id bigint); insert into shop.orders values (9)")
    with pytest.raises(UsageError, match="made by hand") as caught:
        driver.run(driver.target(), make({"id": 1}))
    assert f"wherry state adopt {driver.path} orders --pipeline shop" in str(caught.value.next)
    assert driver.sql("select * from shop.orders") == [(9,)]
    session = driver.open()
    session.adopt("orders")
    session.close()
    driver.run(driver.target(), make({"id": 1, "note": "n"}))
    assert driver.read(driver.target()) == [{"id": 1, "note": "n"}, {"id": 9, "note": None}]


def test_another_pipelines_table_is_refused_until_adopted(driver: Any, make: Any) -> None:
    driver.run(driver.target(), make({"id": 1}))
    session = driver.open("thief")
    with pytest.raises(UsageError, match="belongs to pipeline shop"):
        driver.load(session, driver.target(), make({"id": 2}))
    with pytest.raises(UsageError, match="there is no table"):
        session.adopt("nothing")
    session.adopt("orders")
    driver.load(session, driver.target(), make({"id": 2}))
    session.close()
    with pytest.raises(UsageError, match="belongs to pipeline thief"):
        driver.run(driver.target(), make({"id": 3}))
    assert [row["id"] for row in driver.read(driver.target())] == [1, 2]


def test_two_streams_cannot_share_a_table(driver: Any, make: Any) -> None:
    driver.run(driver.target(), make({"id": 1}))
    with pytest.raises(UsageError, match="already takes stream orders"):
        driver.run(driver.target(stream="others"), make({"id": 1}))


def test_a_table_that_is_gone_is_missing_and_made_anew(driver: Any, make: Any) -> None:
    driver.run(driver.target(), make({"id": 1}))
    driver.sql("drop table shop.orders")
    session = driver.open()
    assert session.progress["orders"].missing == {"orders"}
    assert session.schema(driver.target()) is None
    driver.load(session, driver.target(), make({"id": 2}))
    assert session.progress["orders"].missing == frozenset()
    session.close()
    assert driver.read(driver.target()) == [{"id": 2, "note": None}]


def test_a_lost_generation_is_not_resumed(driver: Any, make: Any) -> None:
    target = driver.target(mode="replace")
    session, plan = driver.open(), driver.plan(target)
    building = dataclasses.replace(target, generation=session.start(plan))
    driver.stage(session, plan, building, make({"id": 1})).commit(Entry(done=True, counts={"orders": Counts(mapped=1)}))
    session.close()
    driver.sql("drop table shop.orders__gen1")
    session = driver.open()
    assert session.progress["orders"].open is None
    session.close()


def test_names_tell_what_the_source_calls_them(driver: Any, make: Any) -> None:
    schema = pa.schema(
        [pa.field("id", pa.int64()), pa.field("n_te", pa.string(), metadata={b"wherry:source": b"n te"})]
    )
    driver.run(driver.target(schema=schema), make({"id": 1}, schema=schema))
    session = driver.open(read_only=True)
    assert dict(session.names) == {("orders", ""): "orders", ("orders", "id"): "id", ("orders", "n te"): "n_te"}
    session.close()


WIDER = [
    (pa.int32(), pa.int64(), 2**53 + 1),
    (pa.int64(), pa.decimal128(38, 0), 2**100),
    (pa.int64(), pa.string(), "many"),
    (pa.decimal128(5, 2), pa.string(), "1e99"),
    (pa.list_(pa.int32()), pa.list_(pa.int64()), [2**40]),
    (pa.struct([("x", pa.int32())]), pa.struct([("x", pa.int64()), ("y", pa.string())]), {"x": 2**40, "y": "z"}),
]


@pytest.mark.parametrize(("old", "new", "value"), WIDER, ids=lambda value: str(value)[:30])
@pytest.mark.parametrize("mode", ["append", "merge", "history", "replace"])
def test_columns_widen_between_runs_under_views_and_indexes(
    driver: Any, make: Any, old: pa.DataType, new: pa.DataType, value: Any, mode: str
) -> None:
    before = pa.schema([("id", pa.int64()), ("v", old)])
    after = pa.schema([("id", pa.int64()), ("v", new), ("extra", pa.date32())])
    target = driver.target(schema=before, mode=mode, key=("id",) if mode in ("merge", "history") else ())
    seven: Any = {"list": [7], "stru": {"x": 7}}.get(str(old)[:4], 7)
    positions = mode in ("merge", "history")
    driver.run(target, make({"id": 1, "v": seven}, schema=before, positions=positions))
    driver.sql("create view shop.seen as select * from shop.orders; create index by_id on shop.orders (id)")
    target = dataclasses.replace(target, schema=after)
    driver.run(target, make({"id": 2, "v": value}, schema=after, positions=positions))
    found = {row["id"]: row["v"] for row in driver.read(target)}
    assert found[2] == value
    if mode != "replace":
        assert str(found[1]) in ("7", "7.00", "[7]", "{'x': 7, 'y': None}")
    assert len(driver.sql("select id, v from shop.seen")) == len(found)
    assert driver.sql("select index_name from duckdb_indexes()") == [("by_id",)]
    session = driver.open(read_only=True)
    assert session.schema(target).field("v").type == new
    session.close()


@pytest.mark.parametrize("kind", [None, {KIND: b"json"}], ids=["text", "json"])
def test_objects_and_lists_become_json_texts(driver: Any, make: Any, kind: dict[bytes, bytes] | None) -> None:
    """Where later values have another shape; a cast would write them as no JSON parser reads them."""
    before = pa.schema([("id", pa.int64()), ("v", pa.struct([("x", pa.int64()), ("y", pa.string())]))])
    after = pa.schema([pa.field("id", pa.int64()), pa.field("v", pa.string(), metadata=kind)])
    target = driver.target(schema=before, mode="merge", key=("id",))
    rows = ({"id": 1, "v": {"x": 7, "y": "it's"}}, {"id": 2, "v": None})
    driver.run(target, make(*rows, schema=before, positions=True))
    later = make({"id": 3, "v": "[1]"}, schema=after, positions=True)
    driver.run(dataclasses.replace(target, schema=after), later)
    found = {row["id"]: row["v"] for row in driver.read(target)}
    assert found == {1: '{"x":7,"y":"it\'s"}', 2: None, 3: "[1]"}


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize(
    ("old", "new", "value"),
    [
        (pa.int32(), pa.date32(), datetime.date(2024, 1, 2)),
        (pa.decimal128(10, 2), pa.float64(), 0.1),
        (pa.binary(), pa.list_(pa.int64()), [1, 2]),
    ],
    ids=["int to date", "decimal to double", "binary to list"],
)
def test_a_replaced_column_may_become_any_other_type(
    driver: Any, make: Any, old: pa.DataType, new: pa.DataType, value: Any, indexed: bool
) -> None:
    before, after = (pa.schema([("id", pa.int64()), ("v", kind)]) for kind in (old, new))
    target = driver.target(schema=before, mode="replace")
    driver.run(target, make({"id": 1}, {"id": 2}, schema=before))
    driver.sql("create view shop.seen as select v from shop.orders; create index by_id on shop.orders (id)")
    if indexed and not pa.types.is_list(new):
        driver.sql("create index by_v on shop.orders (v)")
    target = dataclasses.replace(target, schema=after)
    driver.run(target, make({"id": 3, "v": value}, schema=after))
    assert driver.read(target) == [{"id": 3, "v": value}]
    assert driver.sql("select v from shop.seen") == [(value,)]
    found = [name for (name,) in driver.sql("select index_name from duckdb_indexes() order by 1")]
    assert found == ["by_id", *(["by_v"] if indexed and not pa.types.is_list(new) else [])]


def test_an_indexed_column_widens_and_keeps_index_and_comments(driver: Any, make: Any) -> None:
    target = driver.target(mode="merge", key=("id",))
    driver.run(target, make({"id": 1, "note": "a"}, positions=True))
    driver.sql("create unique index by_id on shop.orders (id); comment on column shop.orders.note is 'words'")
    driver.sql("create view shop.seen as select * from shop.orders")
    wide = pa.schema([("id", pa.string()), ("note", pa.string())])
    driver.run(dataclasses.replace(target, schema=wide), make({"id": "x", "note": "b"}, schema=wide, positions=True))
    assert driver.sql("select id, note from shop.seen order by 1") == [("1", "a"), ("x", "b")]
    assert driver.sql("select index_name, is_unique from duckdb_indexes()") == [("by_id", True)]
    assert driver.sql("select comment from duckdb_columns() where comment is not null") == [("words",)]


def test_a_constraint_that_forbids_widening_is_named(driver: Any, make: Any) -> None:
    driver.sql("create schema shop; create table shop.orders (id bigint primary key, note varchar)")
    session = driver.open()
    session.adopt("orders")
    wide = pa.schema([("id", pa.string()), ("note", pa.string())])
    with pytest.raises(SchemaError, match="id of table orders"):
        driver.load(session, driver.target(schema=wide), make({"id": "1"}, schema=wide))
    session.close()


def test_a_column_that_fits_neither_way_is_refused(driver: Any, make: Any) -> None:
    schema = pa.schema([("id", pa.int64()), ("note", pa.date32())])
    driver.run(driver.target(schema=schema), make({"id": 1}, schema=schema))
    other = pa.schema([("id", pa.int64()), ("note", pa.binary())])
    with pytest.raises(SchemaError, match="column note of table orders is date32"):
        driver.run(driver.target(schema=other), make({"id": 1}, schema=other))


@pytest.mark.parametrize("mode", ["append", "merge", "history", "replace"])
@pytest.mark.parametrize("exclusive", [True, False])
def test_a_schema_grows_in_the_middle_of_a_load(driver: Any, make: Any, mode: str, exclusive: bool) -> None:
    keyed = mode in ("merge", "history")
    target = driver.target(mode=mode, key=("id",) if keyed else (), exclusive=exclusive)
    driver.run(target, make({"id": 0, "note": "z"}, positions=keyed))
    session, plan = driver.open(), driver.plan(target)
    generation = session.start(plan)
    target = dataclasses.replace(target, generation=generation if mode == "replace" else None)
    load = driver.stage(session, plan, target, make({"id": 1, "note": "a"}, positions=keyed))
    grown = pa.schema([("id", pa.string()), ("note", pa.string()), ("new", pa.float64())])
    target = dataclasses.replace(target, schema=grown)
    load.prepare(target)
    late = make({"id": "two", "note": "b", "new": 0.5}, schema=grown)
    if keyed:
        late = late.append_column("_wherry_pos", pa.array([1], pa.int64()))
    load.write("orders", late)
    load.commit(Entry(done=True, counts={"orders": Counts(mapped=2)}))
    session.publish(plan, [target], generation, Entry(bookmark=1))
    session.close()
    expected = [{"id": "1", "note": "a", "new": None}, {"id": "two", "note": "b", "new": 0.5}]
    if mode != "replace":
        expected.insert(0, {"id": "0", "note": "z", "new": None})
    assert driver.read(dataclasses.replace(target, generation=None)) == expected


def test_columns_written_over_time_are_recorded(driver: Any, make: Any) -> None:
    driver.run(driver.target(), make({"id": 1}))
    driver.run(driver.target(), make({"id": 1}))
    wide = pa.schema(
        [("id", pa.int64()), pa.field("note", pa.string()), pa.field("j", pa.string(), metadata={KIND: b"json"})]
    )
    driver.run(driver.target(schema=wide), make({"id": 1, "j": "{}"}, schema=wide))
    found = driver.sql("select version, columns from shop._wherry_schemas order by version")
    assert [version for version, _ in found] == [1, 2]
    assert '["j","json","j"]' in found[1][1]


def test_another_namespace_of_the_destination(driver: Any, make: Any) -> None:
    target = driver.target(namespace="shop__audit")
    driver.run(target, make({"id": 1}))
    assert driver.sql("select id from shop__audit.orders") == [(1,)]
    driver.run(driver.target(stream="public"), make({"id": 2}))
    assert driver.sql("select id from shop.orders") == [(2,)]


def test_names_that_differ_only_by_case_are_one_table(driver: Any, make: Any) -> None:
    driver.run(driver.target(), make({"id": 1}))
    with pytest.raises(UsageError, match=r"shop\.Orders"):
        driver.run(driver.target(stream="other", table="Orders"), make({"id": 2}))
    assert driver.read(driver.target()) == [{"id": 1, "note": None}]
