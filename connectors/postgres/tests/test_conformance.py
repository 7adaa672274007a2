"""The conformance suite of sources: whole tables, and tables whose author vouches for a cursor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from wherry import Stream
from wherry.testing import SourceSuite
from wherry_source_postgres.source import PostgresSource

SCHEMA = pa.schema(
    [
        ("id", pa.int64()), ("at", pa.timestamp("us", "UTC")), ("amount", pa.decimal128(12, 2)), ("note", pa.string()),
        ("raw", pa.binary()), ("doc", pa.string()), ("day", pa.date32()),
    ]
)  # fmt: skip
TABLES = """
create table orders (id int8 primary key, at timestamptz not null, amount numeric(12,2), note text, raw bytea,
                     doc jsonb, day date);
create index on orders (at);
insert into orders
select g, '2026-01-01'::timestamptz + (g / 3) * interval '1 us', g / 7.0,
       case g % 3 when 0 then 'n' || g when 1 then '' end,
       decode(lpad(to_hex(g), 8, '0'), 'hex'), jsonb_build_object('g', g), '2026-01-01'::date + g % 400
from generate_series(1, 3000) g;
create schema side;
create table side."Odd ""names"" " (id int8 primary key, at timestamptz not null, amount numeric(12,2), note text,
                                   raw bytea, doc jsonb, day date);
insert into side."Odd ""names"" " select * from orders where id < 50;
create index on side."Odd ""names"" " (at);
"""
CHANGES = """
update orders set at = '2026-02-01', note = 'changed' where id % 100 = 0;
insert into orders values (100000, '2026-02-01 00:00:00.000001', 1, 'new', null, '{}', null);
"""


class TestTables(SourceSuite):
    connector = PostgresSource
    promises = Path(__file__).with_name("promises.json")
    where = {"orders": ("id <= 10 or note = 'n300'", 11)}

    @pytest.fixture
    def config(self, postgres_database: str) -> dict[str, Any]:
        with psycopg.connect(postgres_database) as connection:
            connection.execute(TABLES)
        with psycopg.connect(postgres_database, autocommit=True) as connection:
            connection.execute("analyze orders")
            connection.execute('analyze side."Odd ""names"" "')
        return {"url": postgres_database}

    @pytest.fixture
    def broken(self, postgres_cluster: Any) -> dict[str, Any]:
        return {"url": postgres_cluster.url("is_not_there")}

    def expected(self, config: dict[str, Any], stream: str) -> pa.Table:
        namespace, _, name = stream.rpartition(".")
        table = psycopg.sql.Identifier(namespace or "public", name)
        select = psycopg.sql.SQL("select id, at, amount, note, raw, doc::text, day from {}").format(table)
        with psycopg.connect(config["url"]) as connection:
            columns = zip(*connection.execute(select).fetchall(), strict=True)
        return pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)

    def mutate(self, config: dict[str, Any]) -> None:
        with psycopg.connect(config["url"]) as connection:
            connection.execute(CHANGES)


class VouchedSource(PostgresSource):
    """As if the user had named a cursor for every table."""

    def discover(self, only: Sequence[str] = ("*",)) -> Iterable[Stream]:
        return [replace(stream, cursor="at", ordered=True) for stream in super().discover(only)]


class TestCursors(TestTables):
    connector = VouchedSource
    promises = Path(__file__).with_name("promises-cursors.json")
