"""A TPC-H-like lineitem table, the same each time: in PostgreSQL, in files; and rows that changed in it.

Of a thousand comments one is NULL and one is ''.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

SELECT = """
select
    (i {div} 4 + 1)::bigint as l_orderkey,
    (i * 7919 % 200000)::bigint as l_partkey,
    (i * 104729 % 10000)::bigint as l_suppkey,
    (i % 7 + 1)::int as l_linenumber,
    (i * 31 % 5000 / 100.0 + {more})::numeric(15, 2) as l_quantity,
    (i * 6700417 % 10495000 / 100.0)::numeric(15, 2) as l_extendedprice,
    (i % 11 / 100.0)::numeric(15, 2) as l_discount,
    (i % 9 / 100.0)::numeric(15, 2) as l_tax,
    chr(65 + (i % 3)::int)::char(1) as l_returnflag,
    chr(70 + (i % 2)::int)::char(1) as l_linestatus,
    date '1992-01-01' + (i * 37 % 2526)::int as l_shipdate,
    date '1992-01-31' + (i * 41 % 2466)::int as l_commitdate,
    date '1992-01-02' + (i * 43 % 2554)::int as l_receiptdate,
    ({array}['DELIVER IN PERSON', 'COLLECT COD', 'NONE', 'TAKE BACK RETURN'])[i % 4 + 1]::char(25) as l_shipinstruct,
    ({array}['AIR', 'MAIL', 'SHIP', 'TRUCK', 'RAIL', 'FOB', 'REG AIR'])[i % 7 + 1]::char(10) as l_shipmode,
    case i % 1000 when 3 then null when 7 then ''
        else substr(md5(i::text) || md5((i * 7)::text), 1, 10 + (i % 34)::int) end::varchar(44) as l_comment
from ({numbers}) as numbers
"""
POSTGRES = {"div": "/", "array": "array"}
DUCKDB = {"div": "//", "array": ""}

COLUMNS = (
    "l_orderkey", "l_partkey", "l_suppkey", "l_linenumber", "l_quantity", "l_extendedprice", "l_discount", "l_tax",
    "l_returnflag", "l_linestatus", "l_shipdate", "l_commitdate", "l_receiptdate", "l_shipinstruct", "l_shipmode",
    "l_comment",
)  # fmt: skip
KEY = ("l_orderkey", "l_linenumber")
MONEY = ("l_quantity", "l_extendedprice", "l_discount", "l_tax")

SUMS = (
    "count(*), sum(l_orderkey), sum(l_quantity), sum(l_extendedprice), sum(l_discount), min(l_shipdate), "
    "max(l_receiptdate), count(distinct l_comment), sum(length(trim(l_comment))), count(l_comment), "
    "count(*) filter (where l_comment = '')"
)
"""Aggregates that both engines print alike: decimals exact, dates included, NULL against ''."""

SETTINGS = {
    "shared_buffers": "'2GB'",
    "max_wal_size": "'8GB'",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
}

FORMATS = {
    "csv": "format csv, header",
    "jsonl": "format json",
    "parquet": "format parquet, compression zstd, row_group_size 122880",
}
"""Suffix → how DuckDB writes it; "duckdb" is a table of a file."""


def changed(rows: int) -> tuple[int, int]:
    """How many rows of so many changed, and how many are new: four in a hundred together."""
    return rows * 3 // 100, rows // 100


def load(url: str, rows: int, name: str = "lineitem") -> None:
    """Make the table in the database."""
    _make(url, name, _all(rows), 0)


def load_changes(url: str, rows: int, name: str = "changes") -> None:
    """Make a table of what changed in a lineitem of so many rows: another quantity, and new rows at the end."""
    _make(url, name, _changes(rows), 1)


def _all(rows: int) -> str:
    return f"select i from generate_series(1::bigint, {rows}) as series(i)"


def _changes(rows: int) -> str:
    updated, new = changed(rows)
    return (
        f"select k * {rows // updated} as i from generate_series(1::bigint, {updated}) as series(k) union all "
        f"select k + {rows} from generate_series(1::bigint, {new}) as series(k)"
    )


def create_empty(url: str, name: str = "lineitem") -> None:
    """Make the table without rows."""
    _make(url, name, "select 1::bigint as i limit 0", 0)


def _make(url: str, name: str, numbers: str, more: int) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as db:
        db.execute(f"create table {name} as {SELECT.format(numbers=numbers, more=more, **POSTGRES)}".encode())
        db.execute(f"vacuum (analyze) {name}".encode())


def write_files(folder: Path, rows: int, kinds: Sequence[str] = tuple(FORMATS)) -> dict[str, Path]:
    """The same rows as files of these kinds."""
    import duckdb

    files = {kind: folder / f"lineitem.{kind}" for kind in kinds}
    with duckdb.connect(str(files.get("duckdb", ":memory:"))) as db:
        db.execute(f"create table lineitem as {SELECT.format(numbers=_all(rows), more=0, **DUCKDB)}")
        for kind in files.keys() & FORMATS.keys():
            db.execute(f"copy lineitem to '{files[kind]}' ({FORMATS[kind]})")
    return files


def write_changes(file: Path, rows: int) -> None:
    """What changed in a lineitem of so many rows, as Parquet."""
    import duckdb

    with duckdb.connect() as db:
        select = SELECT.format(numbers=_changes(rows), more=1, **DUCKDB)
        db.execute(f"copy ({select}) to '{file}' ({FORMATS['parquet']})")


def sums_in_postgres(url: str) -> tuple[Any, ...]:
    """The aggregates at the source."""
    return _row_of_postgres(url, f"select {SUMS} from lineitem")


def sums_in_duckdb(path: str, table: str) -> tuple[Any, ...]:
    """The aggregates of what arrived."""
    return _row_of_duckdb(path, f"select {SUMS} from {table}")


def digest_in_postgres(url: str, table: str = "lineitem", cast: bool = False) -> tuple[Any, ...]:
    """How many rows, and the sum of a hash of the text of each: every column counts, NULL is not ''.

    cast: numbers and dates may have arrived in other types; they are compared as what they mean.
    """
    return _row_of_postgres(url, f"select count(*), sum(('x' || {_hash(cast)})::bit(60)::bigint) from {table}")


def digest_in_duckdb(path: str, table: str, cast: bool = False) -> tuple[Any, ...]:
    """The same there."""
    return _row_of_duckdb(path, f"select count(*), sum(('0x' || {_hash(cast)})::bigint) from {table}")


TALLY = "count(*), sum(l_orderkey), sum(l_quantity), sum(l_extendedprice), count(l_comment)"
"""What is quick to compare."""


def tally_in_postgres(url: str, table: str) -> tuple[Any, ...]:
    """Of a table of a database."""
    return _row_of_postgres(url, f"select {TALLY} from {table}")


def tally_in_duckdb(path: str, table: str) -> tuple[Any, ...]:
    """The same there."""
    return _row_of_duckdb(path, f"select {TALLY} from {table}")


def _hash(cast: bool = False) -> str:
    types = dict.fromkeys(MONEY, "numeric(15, 2)") | {name: "date" for name in COLUMNS if name.endswith("date")}
    values = (f"{name}::{types[name]}" if cast and name in types else name for name in COLUMNS)
    parts = ", ".join(f"coalesce(rtrim(({value})::text), '\\N')" for value in values)
    return f"substr(md5(concat_ws('|', {parts})), 1, 15)"


def _row_of_postgres(url: str, sql: str) -> tuple[Any, ...]:
    import psycopg

    with psycopg.connect(url) as db:
        return tuple(map(str, db.execute(sql.encode()).fetchone() or ()))


def _row_of_duckdb(path: str, sql: str) -> tuple[Any, ...]:
    import duckdb

    with duckdb.connect(path, read_only=True) as db:
        return tuple(map(str, db.sql(sql).fetchall()[0]))
