"""Append, merge, history and replace on a real server: what is in the tables afterwards."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from wherry import DataError


def test_append_adds_with_load_id_and_bookmark(shop: Any, batch: Any) -> None:
    with_session = shop.open()
    target = shop.target()
    first = shop.load(with_session, target, batch([1, 2]), {"at": 1})
    second = shop.load(with_session, target, batch([2]), {"at": 2})
    assert with_session.progress["orders"].bookmark == {"at": 2}
    with_session.close()
    rows = shop.sql("select id, note, _wherry_load_id from shop.orders order by 1, 3")
    assert rows == [(1, "note 1", first.load_id), (2, "note 2", first.load_id), (2, "note 2", second.load_id)]


@pytest.mark.parametrize("exclusive", [False, True])
def test_rows_arrive_once_whichever_way_they_take(shop: Any, batch: Any, exclusive: bool) -> None:
    session = shop.open()
    receipt = shop.load(session, shop.target(exclusive=exclusive), batch(range(1000)))
    session.close()
    assert receipt.applied["orders"].inserted == 1000
    assert shop.sql("select count(*), count(distinct id), sum(id) from shop.orders") == [(1000, 1000, 499500)]


def test_merge_updates_inserts_and_deletes_by_key(shop: Any, batch: Any) -> None:
    session = shop.open()
    shop.merge(session, batch([1, 2, 3]))
    second = shop.merge(session, batch([2, 4, 2], ["old", "new", "two"]))
    ops = pa.record_batch(
        {"id": [1, 4, 5], "note": [None, "four", "five"], "_wherry_op": pa.array([1, 0, 0], pa.int8())}
    )
    third = shop.merge(session, ops, changes=True)
    session.close()
    assert shop.sql("select id, note from shop.orders order by 1") == [
        (2, "two"), (3, "note 3"), (4, "four"), (5, "five"),
    ]  # fmt: skip
    applied = second.applied["orders"]
    assert (applied.staged, applied.inserted, applied.updated) == (3, 1, 1)
    applied = third.applied["orders"]
    assert (applied.inserted, applied.updated, applied.deleted) == (1, 1, 1)


def test_a_merged_table_gets_one_unique_index_over_its_key(shop: Any, batch: Any) -> None:
    session = shop.open()
    for _ in range(3):
        shop.merge(session, batch([1, 2]))
    session.close()
    found = shop.sql("select indexdef from pg_indexes where schemaname = 'shop' and tablename = 'orders'")
    assert [row[0].partition(" USING ")[2] for row in found] == ["btree (id)"]


def test_rows_of_a_merged_table_change_where_they_are(shop: Any, batch: Any) -> None:
    """A few rows of each page: every new version is in the page of the one before, so that no index hears of it."""
    pages = "select id, (ctid::text::point)[0]::int from shop.orders where id % 40 = 0 order by id"
    session = shop.open()
    shop.merge(session, batch(range(5000)))
    before = shop.sql(pages)
    some = range(0, 5000, 40)
    done = shop.merge(session, batch(some, [f"new  {n}" for n in some])).applied["orders"]
    session.close()
    assert (done.inserted, done.updated) == (0, 125)
    assert shop.sql("select count(*) from shop.orders where note like 'new %'") == [(125,)]
    assert shop.sql(pages) == before
    assert len({page for _, page in before}) > 10


def test_a_user_who_may_no_longer_create_still_merges(
    shop: Any, batch: Any, postgres_cluster: Any, postgres_password_user: str
) -> None:
    database = postgres_password_user.rpartition("/")[2]
    postgres_cluster.psql("create schema shop", database)
    postgres_cluster.psql("grant usage, create on schema shop to wherry_password", database)
    session = shop.open(url=postgres_password_user)
    shop.merge(session, batch([1, 2]))
    postgres_cluster.psql("revoke create on schema shop from wherry_password", database)
    receipt = shop.merge(session, batch([2, 3], ["two", "three"]))
    session.close()
    assert shop.sql("select id, note from shop.orders order by 1") == [(1, "note 1"), (2, "two"), (3, "three")]
    assert (receipt.applied["orders"].inserted, receipt.applied["orders"].updated) == (1, 1)


def test_keys_too_long_for_an_index_are_merged_without_one(shop: Any) -> None:
    import random

    digits = random.Random(1)
    keys = ["".join(chr(digits.randrange(0x4E00, 0x9000)) for _ in range(4000)) for _ in range(2)]
    schema = pa.schema([pa.field("id", pa.utf8()), pa.field("note", pa.utf8())])
    session = shop.open()
    shop.merge(session, pa.record_batch([keys, ["a", "b"]], schema=schema))
    shop.merge(session, pa.record_batch([[keys[1], "short"], ["c", "d"]], schema=schema))
    session.close()
    assert shop.sql("select note from shop.orders order by 1") == [("a",), ("c",), ("d",)]
    assert shop.sql("select count(*) from pg_indexes where schemaname = 'shop' and tablename = 'orders'") == [(0,)]


def test_a_partial_update_leaves_the_other_columns_alone(shop: Any) -> None:
    session = shop.open()
    schema = pa.schema([pa.field("id", pa.int64()), pa.field("note", pa.utf8()), pa.field("price", pa.int32())])
    shop.merge(session, pa.record_batch([[1, 2], ["a", "b"], [10, 20]], schema=schema))
    target = shop.target(mode="merge", key=("id",), schema=schema, changes=True)
    rows = pa.record_batch(
        {
            "id": [1, 2], "note": [None, "B"], "price": pa.array([11, None], pa.int32()),
            "_wherry_op": pa.array([2, 2], pa.int8()),
            "_wherry_unset": pa.array([[1], [2]], pa.list_(pa.int16())),
            "_wherry_pos": pa.array([0, 1], pa.int64()),
        }
    )  # fmt: skip
    shop.load(session, target, rows)
    session.close()
    assert shop.sql("select id, note, price from shop.orders order by 1") == [(1, "a", 11), (2, "B", 20)]


def test_history_keeps_versions_that_meet(shop: Any) -> None:
    schema = pa.schema(
        [pa.field("id", pa.int64()), pa.field("doc", pa.utf8(), metadata={b"wherry:kind": b"json"}),
         pa.field("at", pa.timestamp("us", "UTC"))]
    )  # fmt: skip
    session = shop.open()
    target = shop.target(mode="history", key=("id",), cursor="at", schema=schema)
    for ids, docs, times in (
        ([1, 2], ['{"a":1}', "[]"], [10, 10]),
        ([1, 2, 1], ['{"a":2}', "[]", "null"], [20, 20, 30]),
    ):
        rows = pa.record_batch([ids, docs, pa.array(times, pa.timestamp("us", "UTC"))], schema=schema)
        rows = rows.append_column("_wherry_pos", pa.array(range(len(ids)), pa.int64()))
        shop.load(session, target, rows)
    session.close()
    micros = "(extract(epoch from {}) * 1000000)::int"
    found = shop.sql(
        f"select id, doc::text, {micros.format('_wherry_valid_from')}, {micros.format('_wherry_valid_to')} "
        "from shop.orders order by 1, 3"
    )
    assert found[:3] == [(1, '{"a":1}', 10, 20), (1, '{"a":2}', 20, 30), (1, "null", 30, None)]
    assert [row[1] for row in found[3:] if row[3] is None] == ["[]"]


def test_replace_is_whole_and_counts(shop: Any, batch: Any) -> None:
    session = shop.open()
    shop.replace(session, batch(range(10)))
    shop.replace(session, batch(range(5, 8)))
    session.close()
    assert shop.sql("select id from shop.orders order by 1") == [(5,), (6,), (7,)]
    tables = shop.sql("select tablename from pg_tables where schemaname = 'shop' and tablename not like '\\_wherry%'")
    assert tables == [("orders",)]


def test_a_refused_value_names_column_and_row_and_leaves_nothing(shop: Any) -> None:
    field = pa.field("doc", pa.utf8(), metadata={b"wherry:kind": b"json"})
    rows = pa.record_batch([["{}", "[1]", "{secret"]], schema=pa.schema([field]))
    session = shop.open()
    with pytest.raises(DataError) as caught:
        shop.load(session, shop.target(schema=rows.schema), rows)
    session.close()
    assert (caught.value.column, caught.value.row) == ("doc", 2)
    assert "secret" not in str(caught.value.to_json())
    assert shop.sql("select tablename from pg_tables where schemaname = 'shop' and tablename = 'orders'") == []
    assert shop.sql("select count(*) from shop._wherry_loads") == [(0,)]


def test_two_streams_of_one_load_share_its_transaction(shop: Any, batch: Any, entry: Any) -> None:
    from wherry import Counts

    session = shop.open()
    orders, items = shop.target("orders", exclusive=True), shop.target("items", exclusive=True)
    plan = shop.plan(orders)
    session.start(plan)
    load = session.begin(plan, plan.splits[0])
    for target in (orders, items):
        load.prepare(target)
    for n in range(5):  # in turn: one COPY has to end before the next begins
        load.write("orders", batch([n]))
        load.write("items", batch([n, n + 10]))
    assert shop.sql("select to_regclass('shop.orders') is not null") == [(True,)]
    assert shop.sql("select count(*) from shop.orders") == [(0,)]
    counts = {"orders": Counts(read=5, mapped=5), "items": Counts(read=10, mapped=10)}
    load.commit(entry(orders, batch([]), counts=counts))
    session.close()
    assert shop.sql("select (select count(*) from shop.orders), (select sum(id) from shop.items)") == [(5, 70)]
