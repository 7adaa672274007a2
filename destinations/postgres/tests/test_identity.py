"""What hangs on a table survives a replace and a widening; readers never see it empty."""

from __future__ import annotations

import datetime
import threading
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from wherry import DestinationError, SchemaError

HANGING = """
    create role {user};
    create view shop.big as select id, note from shop.orders where id > 1;
    create view shop.bigger with (security_barrier) as select id from shop.big where id > 2;
    comment on view shop.big is 'more than ''one''';
    comment on column shop.big.note is 'what they said';
    comment on table shop.orders is 'all of them';
    comment on column shop.orders.note is 'free text';
    grant usage on schema shop to {user};
    grant select on shop.orders, shop.big to {user} with grant option;
    grant select (id), update (id) on shop.bigger to public;
    alter view shop.bigger owner to {user};
    create index by_note on shop.orders (note);
    alter table shop.orders enable row level security;
    create policy mine on shop.orders using (id > 0);
"""
RULED = (
    "create view shop.ruled as select note from shop.orders; "
    "create rule quiet as on insert to shop.ruled do instead nothing"
)
FACTS = """
    select 'oid', 'shop.orders'::regclass::oid::text, ''
    union all select 'index', indexdef, '' from pg_indexes where schemaname = 'shop' and tablename = 'orders'
    union all select 'policy', policyname::text, qual from pg_policies where schemaname = 'shop'
    union all select 'grant', c.relname::text, c.relacl::text from pg_class as c
              where relnamespace = 'shop'::regnamespace and relname in ('orders', 'big', 'bigger')
    union all select 'column grant', attrelid::regclass::text || '.' || attname, attacl::text from pg_attribute
              where attacl is not null and attrelid::regclass::text like 'shop.%'
    union all select 'owner', relname::text, relowner::regrole::text || coalesce(reloptions::text, '') from pg_class
              where relname in ('orders', 'big', 'bigger')
    union all select 'view', viewname::text, definition from pg_views where schemaname = 'shop'
    union all select 'comment', objoid::regclass::text || objsubid, description from pg_description
              where classoid = 'pg_class'::regclass and objoid in
              (select oid from pg_class where relnamespace = 'shop'::regnamespace)
    order by 1, 2, 3
"""


@pytest.fixture
def reader(shop: Any, postgres_cluster: Any) -> Any:
    name = f"reader_{shop.url.rpartition('_')[2]}"
    yield name
    postgres_cluster.psql(f"drop owned by {name}", shop.url.rpartition("/")[2])
    postgres_cluster.psql(f"drop role {name}")


def hang(shop: Any, user: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(shop.url) as connection:
        connection.execute(HANGING.format(user=user).encode())
    facts: list[tuple[Any, ...]] = shop.sql(FACTS)
    return facts


def test_everything_survives_a_replace(shop: Any, batch: Any, reader: str) -> None:
    session = shop.open()
    shop.replace(session, batch([1, 2]))
    before = hang(shop, reader)
    shop.replace(session, batch([3, 4, 5]))
    session.close()
    assert shop.sql(FACTS) == before
    assert {fact[0] for fact in before} == {
        "oid", "index", "policy", "grant", "column grant", "owner", "view", "comment"
    }  # fmt: skip
    assert shop.sql("select id from shop.bigger order by 1") == [(3,), (4,), (5,)]


def test_everything_survives_a_widening(shop: Any, reader: str) -> None:
    narrow = pa.schema([pa.field("id", pa.int32()), pa.field("note", pa.int16())])
    wide = pa.schema([pa.field("id", pa.int32()), pa.field("note", pa.utf8()), pa.field("more", pa.bool_())])
    session = shop.open()
    shop.load(session, shop.target(schema=narrow), pa.record_batch([[1, 2], [7, 8]], schema=narrow))
    before = hang(shop, reader)
    shop.load(session, shop.target(schema=wide), pa.record_batch([[3], ["nine"], [True]], schema=wide))
    session.close()
    assert shop.sql(FACTS) == before
    assert shop.sql("select * from shop.big order by 1") == [(2, "8"), (3, "nine")]
    assert shop.sql("select id from shop.bigger") == [(3,)]


@pytest.mark.parametrize(
    ("create", "name"),
    [
        ("create materialized view shop.frozen as select note from shop.orders", "materialized view shop.frozen"),
        (RULED, "view shop.ruled"),
    ],
)  # fmt: skip
def test_a_view_that_cannot_be_made_again_stops_the_widening(shop: Any, create: str, name: str) -> None:
    narrow, wide = (pa.schema([pa.field("note", kind)]) for kind in (pa.int16(), pa.int64()))
    session = shop.open()
    shop.load(session, shop.target(schema=narrow), pa.record_batch([[7]], schema=narrow))
    shop.sql(create.partition("; ")[0])
    if "; " in create:
        shop.sql(create.partition("; ")[2])
    with pytest.raises(SchemaError, match=name):
        shop.load(session, shop.target(schema=wide), pa.record_batch([[70_000]], schema=wide))
    session.close()
    assert shop.sql("select note from shop.orders") == [(7,)]
    assert shop.sql("select format_type(atttypid, null) from pg_attribute where attrelid = 'shop.orders'::regclass "
                    "and attname = 'note'") == [("smallint",)]  # fmt: skip


def test_a_view_that_cannot_show_the_wider_column_stops_the_widening(shop: Any) -> None:
    narrow, wide = (pa.schema([pa.field("note", kind)]) for kind in (pa.int16(), pa.utf8()))
    session = shop.open()
    shop.load(session, shop.target(schema=narrow), pa.record_batch([[7]], schema=narrow))
    shop.sql("create view shop.summed as select sum(note) as n from shop.orders")
    with pytest.raises(SchemaError, match=r"view shop\.summed"):
        shop.load(session, shop.target(schema=wide), pa.record_batch([["nine"]], schema=wide))
    session.close()
    assert shop.sql("select n from shop.summed") == [(7,)]


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [
        (pa.int32(), pa.date32(), datetime.date(2024, 1, 2)),
        (pa.timestamp("us"), pa.timestamp("us", "UTC"), datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC)),
        (pa.binary(), pa.bool_(), True),
    ],
    ids=["int to date", "timestamp to timestamptz", "binary to bool"],
)
def test_a_replaced_column_may_become_any_other_type(shop: Any, old: Any, new: Any, value: Any) -> None:
    before = pa.schema([pa.field("id", pa.int32()), pa.field("note", old)])
    after = pa.schema([pa.field("id", pa.int32()), pa.field("note", new)])
    session = shop.open()
    shop.replace(session, pa.record_batch([pa.array([1, 2], pa.int32()), pa.nulls(2, old)], schema=before))
    shop.sql("create view shop.seen as select note from shop.orders")
    shop.sql("create index by_note on shop.orders (note)")
    shop.replace(session, pa.record_batch([[3], [value]], schema=after))
    session.close()
    assert shop.sql("select id, note from shop.orders") == [(3, value)]
    assert shop.sql("select note from shop.seen") == [(value,)]
    assert shop.sql("select indexname from pg_indexes where tablename = 'orders'") == [("by_note",)]


def test_a_policy_on_the_column_stops_the_widening(shop: Any) -> None:
    narrow, wide = (pa.schema([pa.field("note", kind)]) for kind in (pa.int16(), pa.int64()))
    session = shop.open()
    shop.load(session, shop.target(schema=narrow), pa.record_batch([[7]], schema=narrow))
    shop.sql("create policy small on shop.orders using (note < 10)")
    with pytest.raises(SchemaError, match=r"note.*policy"):
        shop.load(session, shop.target(schema=wide), pa.record_batch([[70_000]], schema=wide))
    session.close()


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
def test_readers_never_see_an_empty_or_half_table(shop: Any, batch: Any, isolation: str) -> None:
    session = shop.open()
    shop.replace(session, batch(range(20_000)))
    seen: set[Any] = set()
    over, running = threading.Event(), threading.Event()

    def read() -> None:
        with psycopg.connect(shop.url) as connection:
            connection.execute(f"set session characteristics as transaction isolation level {isolation}".encode())
            connection.commit()
            while not over.is_set():
                for _ in range(5):  # several statements in one snapshot, or in one transaction
                    row = connection.execute("select count(*), min(id) from shop.orders").fetchone()
                    seen.add(row)
                    running.set()
                connection.commit()

    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in readers:
        thread.start()
    running.wait(30)
    for start in (100, 200, 300):
        shop.replace(session, batch(range(start, start + 20_000)))
    over.set()
    for thread in readers:
        thread.join()
    session.close()
    assert seen <= {(20_000, start) for start in (0, 100, 200, 300)}
    assert len(seen) > 1


def test_an_old_snapshot_sees_the_old_table_whole(shop: Any, batch: Any) -> None:
    session = shop.open()
    shop.replace(session, batch([1, 2, 3]))
    with psycopg.connect(shop.url) as old:
        old.execute("begin isolation level repeatable read")
        old.execute("select 1").fetchone()
        shop.replace(session, batch([7]))
        assert old.execute("select id from shop.orders order by 1").fetchall() == [(1,), (2,), (3,)]
        old.rollback()
        assert old.execute("select id from shop.orders").fetchall() == [(7,)]
    session.close()


def test_a_failed_replace_leaves_the_table_as_it_was(shop: Any, batch: Any) -> None:
    session = shop.open()
    shop.replace(session, batch([1, 2]))
    shop.sql("alter table shop.orders add constraint small check (id < 10)")
    with pytest.raises(Exception, match="small"):
        shop.replace(session, batch([3, 70]))
    session.close()
    assert shop.sql("select id from shop.orders order by 1") == [(1,), (2,)]
    shop.sql("alter table shop.orders drop constraint small")
    session = shop.open()
    shop.replace(session, batch([3, 70]))
    session.close()
    assert shop.sql("select id from shop.orders order by 1") == [(3,), (70,)]
    left = shop.sql("select tablename from pg_tables where schemaname = 'shop' and tablename like 'orders%'")
    assert left == [("orders",)]


def test_a_lock_that_is_held_too_long_is_named(shop: Any, batch: Any) -> None:
    session = shop.open(lock_timeout=0.5)
    shop.replace(session, batch([1]))
    with psycopg.connect(shop.url, application_name="nightly report") as other:
        other.execute("lock table shop.orders in access exclusive mode")
        with pytest.raises(DestinationError, match=f"pid {other.info.backend_pid}.*nightly report"):
            shop.replace(session, batch([2]))
    session.close()
    assert shop.sql("select id from shop.orders") == [(1,)]
