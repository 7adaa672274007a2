"""Full reads: every row of one snapshot, or an error that says what the server said."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from wherry import (
    Batch,
    Mark,
    Run,
    Selection,
    Split,
    StreamError,
    TransientError,
    UsageError,
    WherryError,
)
from wherry_source_postgres.source import PostgresSource

Sources = Callable[..., PostgresSource]


@pytest.fixture
def database(postgres_database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def source(postgres_database: str, source_of: Sources) -> PostgresSource:
    return source_of(postgres_database)


def split_of(source: PostgresSource, path: str, **options: Any) -> Split:
    (stream,) = (stream for stream in source.discover() if stream.path == path)
    (plan,) = source.plan([Selection(stream=stream, **options)], {})
    return plan.splits[0]


def rows(source: PostgresSource, path: str, **options: Any) -> list[dict[str, Any]]:
    found = source.read(split_of(source, path, **options))
    return [row for item in found if isinstance(item, Batch) for row in item.data.to_pylist()]


def sessions(database: psycopg.Connection[Any]) -> int:
    found = database.execute(
        "select count(*) from pg_stat_activity where application_name = 'wherry' and datname = current_database()"
    ).fetchone()
    assert found is not None
    return int(found[0])


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


NAMES = ["a", "A", "a b", 'q"q', "'", '; drop table "a"; --', "ö😀", "{x}", "%s", "\\", "select", "a.b", "x" * 63, " "]


def test_hostile_names_of_schemas_tables_and_columns(database: psycopg.Connection[Any], source: PostgresSource) -> None:
    columns = psycopg.sql.SQL(", ").join(psycopg.sql.SQL("{} int").format(psycopg.sql.Identifier(n)) for n in NAMES)
    values = tuple(range(len(NAMES)))
    for number, name in enumerate(NAMES):
        schema = psycopg.sql.Identifier(name)
        table = psycopg.sql.Identifier(name, NAMES[number - 1])
        database.execute(psycopg.sql.SQL("create schema {}").format(schema))
        database.execute(psycopg.sql.SQL("create table {} ({})").format(table, columns))
        marks = psycopg.sql.SQL("insert into {} values ({})").format(
            table, psycopg.sql.SQL(", ").join(psycopg.sql.Literal(v + number) for v in values)
        )
        database.execute(marks)
    for number, name in enumerate(NAMES):
        path = f"{name}.{NAMES[number - 1]}"
        expected = dict(zip(NAMES, (v + number for v in values), strict=True))
        assert rows(source, path) == [expected]
        assert rows(source, path, mode="append", cursor=name, key=(NAMES[0],)) == [expected]


def test_null_and_empty_text_stay_apart_also_in_a_single_column(
    database: psycopg.Connection[Any], source: PostgresSource
) -> None:
    database.execute("create table t (v text)")
    database.execute("insert into t values (null), (''), (null), ('NULL'), ('\\N'), ('\\.'), (null)")
    assert [row["v"] for row in rows(source, "t")] == [None, "", None, "NULL", "\\N", "\\.", None]


def test_a_text_that_starts_with_a_byte_order_mark_keeps_it(
    database: psycopg.Connection[Any], source: PostgresSource
) -> None:
    database.execute("create table t (v text)")
    database.execute("insert into t values (%s)", ("\ufeffx",))
    assert rows(source, "t") == [{"v": "\ufeffx"}]


def test_views_partitions_and_materialized_views(database: psycopg.Connection[Any], source: PostgresSource) -> None:
    database.execute(
        """
        create table p (id int, at date not null) partition by range (at);
        create table p1 partition of p for values from ('2025-01-01') to ('2026-01-01');
        create table p2 partition of p default;
        insert into p values (1, '2025-05-05'), (2, '2026-05-05'), (3, '1999-01-01');
        create view v as select id * 2 as twice from p;
        create materialized view m as select count(*) as n from p;
        """
    )
    assert sorted(row["id"] for row in rows(source, "p")) == [1, 2, 3]
    assert sorted(row["twice"] for row in rows(source, "v")) == [2, 4, 6]
    assert rows(source, "m") == [{"n": 3}]


def test_columns_where_and_limit_are_left_to_the_server(
    database: psycopg.Connection[Any], source: PostgresSource
) -> None:
    database.execute("create table t (id int, a text, b text)")
    database.execute("insert into t select g, 'a' || g, 'b' from generate_series(1, 100) g")
    got = rows(source, "t", columns=("a", "id"), where="id > 90 or id = 1 -- the last ones")
    assert len(got) == 11
    assert got[0] == {"a": "a1", "id": 1}
    assert len(rows(source, "t", limit=7)) == 7
    assert rows(source, "t", where="b = 'x' or false") == []


def test_a_complete_read_says_so_and_a_sample_does_not(
    database: psycopg.Connection[Any], source: PostgresSource
) -> None:
    database.execute("create table t (id int)")
    assert list(source.read(split_of(source, "t"))) == [Mark(complete=("t",))]
    assert list(source.read(split_of(source, "t", limit=1))) == []


def test_a_wrong_filter_says_what_the_server_said(database: psycopg.Connection[Any], source: PostgresSource) -> None:
    database.execute("create table t (id int); create sequence s")
    with pytest.raises(UsageError, match='where: column "nope" does not exist') as caught:
        rows(source, "t", where="nope = 1")
    assert caught.value.key == "where"
    database.execute("insert into t values (1)")
    with pytest.raises(WherryError, match=r"cannot execute nextval\(\) in a read-only transaction"):
        rows(source, "t", where="nextval('s') > 0")


@pytest.mark.parametrize(
    "where",
    [
        "true); commit; drop table canary; --",
        "true)) to stdout; commit; drop table canary; copy (select (1",
        "true); drop table canary; select (true",
        "true /*",
        "true) -- ",
    ],
)
def test_a_filter_is_one_condition_and_no_second_statement(
    database: psycopg.Connection[Any], source: PostgresSource, where: str
) -> None:
    database.execute("create table t (id int); create table canary (id int); insert into t values (1)")
    with pytest.raises(UsageError, match="where: ") as caught:
        rows(source, "t", where=where)
    assert caught.value.key == "where"
    assert database.execute("select count(*) from canary").fetchone() == (0,)


def test_an_error_in_mid_copy_is_the_servers_and_shows_no_value(
    database: psycopg.Connection[Any], source: PostgresSource
) -> None:
    database.execute("create table t (id int, v text)")
    database.execute("insert into t select g, g::text from generate_series(1, 200000) g")
    database.execute("update t set v = 'S3CR3T' where id = 150000")
    database.execute("create view broken as select id, v::int as v from t")
    got: list[Batch | Mark] = []
    with pytest.raises(StreamError, match="broken: the server could not compute a value") as caught:
        got.extend(source.read(split_of(source, "broken")))
    assert all(isinstance(item, Batch) for item in got)  # no mark that all is there
    assert "S3CR3T" not in str(caught.value.to_json())
    assert "22P02" in caught.value.message
    assert len(rows(source, "t", limit=3)) == 3  # the same source goes on


def test_a_session_that_is_killed_in_mid_copy_is_transient(
    database: psycopg.Connection[Any], source: PostgresSource
) -> None:
    database.execute("create table t as select g as id, repeat('x', 500) as pad from generate_series(1, 100000) g")
    split = split_of(source, "t")
    reading = source.read(split)
    first = next(reading)
    assert isinstance(first, Batch)
    database.execute(
        """select pg_terminate_backend(pid) from pg_stat_activity
           where application_name = 'wherry' and datname = current_database()"""
    )
    with pytest.raises(TransientError, match=r"t: (lost the connection to )?127\.0\.0\.1:\d+"):
        list(reading)
    assert sum(item.data.num_rows for item in source.read(split) if isinstance(item, Batch)) == 100000


def test_closing_a_read_early_ends_its_thread_and_its_statement(
    database: psycopg.Connection[Any], source: PostgresSource
) -> None:
    database.execute("create table t as select g as id, repeat('x', 500) as pad from generate_series(1, 100000) g")
    before = threading.active_count()
    reading = source.read(split_of(source, "t"))
    next(reading)
    began = time.monotonic()
    reading.close()  # type: ignore[attr-defined]
    assert time.monotonic() - began < 5
    assert threading.active_count() == before
    assert wait_for(lambda: sessions(database) == 0)
    assert len(rows(source, "t", limit=3)) == 3


def test_a_server_that_thinks_first_leaves_the_host_time_and_can_be_stopped(
    database: psycopg.Connection[Any], source: PostgresSource
) -> None:
    database.execute("create view slow as select 1 as x from pg_sleep(600)")
    reading = source.read(split_of(source, "slow"))
    began = time.monotonic()
    assert next(reading) == Mark()
    assert time.monotonic() - began < 5
    reading.close()  # type: ignore[attr-defined]
    assert time.monotonic() - began < 10
    assert wait_for(lambda: sessions(database) == 0)


def test_batches_are_a_quarter_of_the_share_or_less(database: psycopg.Connection[Any], source: PostgresSource) -> None:
    database.execute(
        "create table t as select g as id, g::int8 * 1000000 as n, 'x' as v from generate_series(1, 300000) g"
    )
    source.run = Run(bytes=8 << 20)
    sizes = [item.data.nbytes for item in source.read(split_of(source, "t")) if isinstance(item, Batch)]
    assert len(sizes) > 5
    assert max(sizes) <= 2 << 20


@pytest.mark.parametrize("count", [0, 1, 600, 1_200, 90_000])
def test_a_reader_that_takes_its_time_gets_each_row_once(
    database: psycopg.Connection[Any], source: PostgresSource, count: int
) -> None:
    database.execute(
        f"create table t as select g as id, md5(g::text) || repeat('x', 80) as v from generate_series(1, {count}) g"
    )
    source.run = Run(bytes=1 << 20)
    found: list[int] = []
    for item in source.read(split_of(source, "t")):
        if isinstance(item, Batch):
            found += item.data["id"].to_pylist()
            time.sleep(0.02 if len(found) < 10_000 else 0)
    assert found == list(range(1, count + 1))


def test_a_row_larger_than_a_block_arrives_whole(database: psycopg.Connection[Any], source: PostgresSource) -> None:
    database.execute("create table t as select repeat('ä', 20000000) as v, 1 as id")
    source.run = Run(bytes=1 << 20)
    (row,) = rows(source, "t")
    assert len(row["v"]) == 20000000


def test_refusals_name_what_they_are_about(
    database: psycopg.Connection[Any], postgres_cluster: Any, source: PostgresSource, source_of: Sources
) -> None:
    database.execute("create table t (id int); create table empty_one ()")
    with pytest.raises(StreamError, match="empty_one has no columns to read"):
        rows(source, "empty_one")
    split = split_of(source, "t")
    database.execute("drop table t")
    with pytest.raises(UsageError, match=r't: relation "public\.t" does not exist'):
        list(source.read(split))
    name = database.info.dbname
    database.execute("create table mine (id int)")
    postgres_cluster.psql("create role stranger login")
    other = source_of(postgres_cluster.url(name, "stranger"))
    with pytest.raises(StreamError, match='mine: permission denied for table mine, for user "stranger"'):
        rows(other, "mine")
    with pytest.raises(StreamError, match="permission denied for table mine"):
        rows(other, "mine", mode="append", cursor="id")
    other.close()
    postgres_cluster.psql("drop role stranger")


def test_a_statement_that_takes_too_long_is_ended(
    database: psycopg.Connection[Any], postgres_database: str, source_of: Sources
) -> None:
    database.execute("create view slow as select 1 as x from pg_sleep(600)")
    source = source_of(postgres_database, statement_timeout=1)
    with pytest.raises(StreamError, match="slow: canceling statement due to statement timeout"):
        rows(source, "slow")


def test_all_streams_of_a_read_come_from_one_snapshot_of_settings(
    database: psycopg.Connection[Any], source: PostgresSource
) -> None:
    """Settings of the database do not reach what is read."""
    name = psycopg.sql.Identifier(database.info.dbname)
    for setting, value in {
        "bytea_output": "escape", "extra_float_digits": "-15", "datestyle": "German", "intervalstyle": "iso_8601",
        "standard_conforming_strings": "off", "timezone": "Asia/Kathmandu", "statement_timeout": "1ms",
    }.items():  # fmt: skip
        command = psycopg.sql.SQL("alter database {} set {} = {}")
        database.execute(command.format(name, psycopg.sql.Identifier(setting), psycopg.sql.Literal(value)))
    database.execute("create table t (f float8, b bytea, d date, i interval, z timestamptz, a bytea[], at text)")
    database.execute(
        r"""insert into t values (0.1::float8 + 0.2::float8, '\x00ff', '2026-12-31', '1 day', '2026-01-01 00:00+00',
            array['\x00'::bytea], 'a\''b')""".replace("'a\\''b'", "E'a\\\\\\'b'")
    )
    (row,) = rows(source, "t", mode="append", cursor="at")
    assert (row["f"], row["b"], str(row["d"]), row["i"]) == (0.1 + 0.2, b"\x00\xff", "2026-12-31", "1 day")
    assert (row["z"].isoformat(), row["a"], row["at"]) == ("2026-01-01T00:00:00+00:00", '["\\\\x00"]', "a\\'b")
