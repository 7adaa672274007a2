"""A TPC-H-like lineitem table in PostgreSQL, the same each time."""

from __future__ import annotations

from typing import Any

DDL = """
create table lineitem as
select
    (i / 4 + 1)::bigint as l_orderkey,
    (i * 7919 % 200000)::bigint as l_partkey,
    (i * 104729 % 10000)::bigint as l_suppkey,
    (i % 7 + 1)::int as l_linenumber,
    (i * 31 % 5000 / 100.0)::numeric(15, 2) as l_quantity,
    (i * 6700417 % 10495000 / 100.0)::numeric(15, 2) as l_extendedprice,
    (i % 11 / 100.0)::numeric(15, 2) as l_discount,
    (i % 9 / 100.0)::numeric(15, 2) as l_tax,
    chr(65 + (i % 3)::int)::char(1) as l_returnflag,
    chr(70 + (i % 2)::int)::char(1) as l_linestatus,
    date '1992-01-01' + (i * 37 % 2526)::int as l_shipdate,
    date '1992-01-31' + (i * 41 % 2466)::int as l_commitdate,
    date '1992-01-02' + (i * 43 % 2554)::int as l_receiptdate,
    (array['DELIVER IN PERSON', 'COLLECT COD', 'NONE', 'TAKE BACK RETURN'])[i % 4 + 1]::char(25) as l_shipinstruct,
    (array['AIR', 'MAIL', 'SHIP', 'TRUCK', 'RAIL', 'FOB', 'REG AIR'])[i % 7 + 1]::char(10) as l_shipmode,
    substr(md5(i::text) || md5((i * 7)::text), 1, 10 + (i % 34)::int)::varchar(44) as l_comment
from generate_series(1::bigint, {rows}) as i
"""

SUMS = (
    "count(*), sum(l_orderkey), sum(l_quantity), sum(l_extendedprice), sum(l_discount), min(l_shipdate), "
    "max(l_receiptdate), count(distinct l_comment), sum(length(trim(l_comment)))"
)
"""Aggregates that both engines print alike: decimals exact, dates included."""

SETTINGS = {
    "shared_buffers": "'2GB'",
    "max_wal_size": "'8GB'",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
}


def load(url: str, rows: int) -> None:
    """Make the table in the database."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as db:
        db.execute(DDL.format(rows=rows))
        db.execute("vacuum (analyze) lineitem")


def sums_in_postgres(url: str) -> tuple[Any, ...]:
    """The aggregates at the source."""
    import psycopg

    with psycopg.connect(url) as db:
        return tuple(map(str, db.execute(f"select {SUMS} from lineitem").fetchone() or ()))


def sums_in_duckdb(path: str, table: str) -> tuple[Any, ...]:
    """The aggregates of what arrived."""
    import duckdb

    with duckdb.connect(path, read_only=True) as db:
        return tuple(map(str, db.sql(f"select {SUMS} from {table}").fetchall()[0]))
