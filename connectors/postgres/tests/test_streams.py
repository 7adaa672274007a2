"""Discovery: what is offered, under which name, with which key, types, comments, indexes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from wherry import Stream, from_json, to_json
from wherry_source_postgres.source import PostgresSource

Sources = Callable[..., PostgresSource]

SHOP = """
create table orders (
    id int8 primary key, updated_at timestamptz not null, amount numeric(10,2), note text, placed timestamp(3),
    code varchar(5), flag boolean not null default false, tags text[]
);
create index on orders (updated_at, id);
create index on orders (amount) where amount > 0;
create index on orders (lower(note));
create index on orders using hash (code);
comment on table orders is 'What customers bought';
comment on column orders.note is 'free text';
create table lines (line int, order_id int8, price money, primary key (order_id, line));
create table coded (code text not null unique, other int unique, payload jsonb);
create table bare (x int);
create view open_orders as select id, amount from orders;
create materialized view totals as select 1 as one;
create table events (id int, at timestamptz not null) partition by range (at);
create table events_2026 partition of events for values from ('2026-01-01') to ('2027-01-01');
create schema "Sales";
create table "Sales"."Big Table" ("Id" uuid primary key);
create table "Sales".orders (id int primary key);
create schema pgx;
create table pgx.t (x int);
create foreign data wrapper nowhere;
create server elsewhere foreign data wrapper nowhere;
create foreign table remote (id int not null, v text) server elsewhere;
create temporary table scratch (x int);
create table "dotted.name" (x int);
"""


@pytest.fixture
def shop(postgres_database: str) -> str:
    with psycopg.connect(postgres_database) as connection:
        connection.execute(SHOP)
        connection.execute("insert into bare select generate_series(1, 1000)")
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute("analyze bare")
    return postgres_database


def described(stream: Stream) -> dict[str, Any]:
    """A stream as plain text, so that a change of what is promised shows as a difference."""
    columns = {}
    for field in stream.schema:
        metadata = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        shown = [str(field.type), "" if field.nullable else "not null", metadata.get("wherry:type", "")]
        shown += [f"kind={metadata['wherry:kind']}"] if "wherry:kind" in metadata else []
        shown += ["indexed"] if metadata.get("wherry:index") == "1" else []
        shown += [metadata["description"]] if "description" in metadata else []
        columns[field.name] = ", ".join(part for part in shown if part)
    return {"key": stream.primary_key, "columns": columns}


def test_what_a_database_offers(shop: str, source_of: Sources) -> None:
    streams = {stream.path: stream for stream in source_of(shop).discover()}
    assert {path: described(stream) for path, stream in streams.items()} == {
        "bare": {"key": (), "columns": {"x": "int32, int4"}},
        "coded": {
            "key": ("code",),
            "columns": {
                "code": "string, not null, text, indexed",
                "other": "int32, int4, indexed",
                "payload": "string, jsonb, kind=json",
            },
        },
        "events": {
            "key": (),
            "columns": {"id": "int32, int4", "at": "timestamp[us, tz=UTC], not null, timestamptz"},
        },
        "lines": {
            "key": ("order_id", "line"),
            "columns": {
                "line": "int32, not null, int4",
                "order_id": "int64, not null, int8, indexed",
                "price": "string, money",
            },
        },
        "open_orders": {"key": (), "columns": {"id": "int64, int8", "amount": "decimal128(10, 2), numeric(10,2)"}},
        "orders": {
            "key": ("id",),
            "columns": {
                "id": "int64, not null, int8, indexed",
                "updated_at": "timestamp[us, tz=UTC], not null, timestamptz, indexed",
                "amount": "decimal128(10, 2), numeric(10,2)",
                "note": "string, text, free text",
                "placed": "timestamp[us], timestamp(3)",
                "code": "string, varchar(5)",
                "flag": "bool, not null, bool",
                "tags": "string, text[], kind=json",
            },
        },
        "pgx.t": {"key": (), "columns": {"x": "int32, int4"}},
        "public.dotted.name": {"key": (), "columns": {"x": "int32, int4"}},
        "remote": {"key": (), "columns": {"id": "int32, not null, int4", "v": "string, text"}},
        "totals": {"key": (), "columns": {"one": "int32, int4"}},
        "Sales.Big Table": {"key": ("Id",), "columns": {"Id": "string, not null, uuid, kind=uuid, indexed"}},
        "Sales.orders": {"key": ("id",), "columns": {"id": "int32, not null, int4, indexed"}},
    }
    assert streams["orders"].description == "What customers bought"
    assert streams["orders"].namespace is None
    assert (streams["Sales.orders"].namespace, streams["Sales.orders"].name) == ("Sales", "orders")
    assert streams["bare"].row_estimate == 1000
    assert streams["open_orders"].row_estimate is None
    assert {stream.cursors for stream in streams.values()} == {()}


def test_globs_choose(shop: str, source_of: Sources) -> None:
    source = source_of(shop)
    assert [s.path for s in source.discover(["orders", "Sales.*"])] == ["orders", "Sales.Big Table", "Sales.orders"]
    assert list(source.discover(["ORDERS"])) == []


def test_streams_travel_as_json(shop: str, source_of: Sources) -> None:
    for stream in source_of(shop).discover():
        assert from_json(Stream, to_json(stream)) == stream
        assert from_json(Stream, to_json(stream)).schema.equals(stream.schema, check_metadata=True)


def test_the_incarnation_changes_when_a_table_is_made_anew_and_only_then(shop: str, source_of: Sources) -> None:
    def incarnations() -> dict[str, str]:
        return {stream.path: stream.incarnation for stream in source_of(shop).discover()}

    first = incarnations()
    assert all(first.values())
    with psycopg.connect(shop) as connection:
        connection.execute("truncate bare; alter table bare add y int")
        connection.execute("drop table coded; create table coded (code text)")
        connection.execute("drop view open_orders; create view open_orders as select id from orders")
    second = incarnations()
    assert {path for path in first if first[path] != second[path]} == {"coded"}


def test_another_database_is_another_incarnation(postgres_cluster: Any, source_of: Sources) -> None:
    urls = [postgres_cluster.create_database() for _ in range(2)]
    seen = set()
    for url in urls:
        with psycopg.connect(url) as connection:
            connection.execute("create view v as select 1 as x")
        seen |= {stream.incarnation for stream in source_of(url).discover()}
    assert len(seen) == 2


def test_an_empty_database_offers_nothing(postgres_database: str, source_of: Sources) -> None:
    assert list(source_of(postgres_database).discover()) == []


def test_tables_that_the_user_may_not_read_are_offered_with_a_note(
    shop: str, postgres_cluster: Any, source_of: Sources
) -> None:
    postgres_cluster.psql("create role reader login")
    database = shop.rpartition("/")[2]
    postgres_cluster.psql("grant select on bare to reader", database)
    notes = {s.path: s.notes for s in source_of(postgres_cluster.url(database, "reader")).discover()}
    assert notes["bare"] == ()
    assert notes["orders"] == ("orders: this user may not select from it",)
    postgres_cluster.psql("drop owned by reader", database)
    postgres_cluster.psql("drop role reader")


def test_the_books_of_a_loader_are_no_streams(postgres_database: str, source_of: Sources) -> None:
    with psycopg.connect(postgres_database, autocommit=True) as db:
        db.execute("create table _wherry_state (id int); create table wherry_state (id int)")
    assert [stream.name for stream in source_of(postgres_database).discover()] == ["wherry_state"]
