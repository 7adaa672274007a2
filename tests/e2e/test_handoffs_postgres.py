"""Hand-overs from PostgreSQL to PostgreSQL: the same table as through Arrow, or none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from wherry.testing import HandOffRun, Wish, handed_and_read, handoff_differences, run_sync
from wherry_cluster import Cluster
from wherry_destination_postgres.destination import PostgresDestination
from wherry_handoffs import same
from wherry_source_postgres.source import PostgresSource

FORM = "pg-copy-binary"
Both = Callable[..., tuple[HandOffRun, HandOffRun]]

EVERY = """
create table things (
    id bigint primary key, "sm""all" int2, i int4, yes bool, r real, d double precision, n numeric(15, 2),
    wide numeric(38, 10), whole numeric(5, 0), t text, v varchar(20), c char(7), b bytea, day date, clock time,
    at timestamp, zoned timestamptz, u uuid, j json, "select; drop" int, odd numeric(3, 5)
);
insert into things values
(1, -32768, 2147483647, true, '-0', '5e-324', -9999999999999.99, 1234567890123456789012345678.0123456789, 12345,
 E'a,"b"\\n\\\\N\\t', '', 'x', '\\x00ff', '0001-01-01', '23:59:59.999999', '9999-12-31 23:59:59.999999',
 '0001-01-01 00:00:00+00', '00000000-0000-0000-0000-0000000000ff', '{"a": [1,  null], "a": 2e400}', 1, 0.00999),
(-9223372036854775808, 0, 0, false, 'NaN', 'Infinity', 0, 0, 0, 'NULL', E'\\\\N', 'AIR ', '', '1970-01-01', '0:0',
 '1969-12-31 23:59:59.999999', '2024-03-31 01:30:00+01', '12345678-1234-5678-1234-567812345678', '"x"', 0, 0);
insert into things (id) values (2);
insert into things select g, g % 32768, -g, g % 2 = 0, g / 7.0, g / 7.0, g / 7.0, g / 7.0, g % 99999, 'é😀' || g, g, g,
    decode(md5(g::text), 'hex'), date '2000-01-01' + g % 9999, time '0:0' + g * interval '1 us',
    timestamp '2000-01-01' + g * interval '1.000001 s', timestamptz '2000-01-01' + g * interval '1 h',
    md5(g::text)::uuid, json_build_object('g', g), g, 0.0001 from generate_series(10, 5009) as g;
"""


@pytest.fixture
def run(postgres_cluster: Cluster, postgres_database: str) -> Iterator[Both]:
    """Both ways into databases of their own, the second time into the same ones."""
    made: dict[str, str] = {}

    def place(name: str) -> PostgresDestination:
        url = made.setdefault(name, postgres_cluster.create_database())
        return PostgresDestination(PostgresDestination.Config(url=url))

    def both(sql: str = "", **wish: Any) -> tuple[HandOffRun, HandOffRun]:
        with psycopg.connect(postgres_database) as connection:
            connection.execute(sql or "select 1")
        config = PostgresSource.Config(url=postgres_database)
        return handed_and_read(lambda: PostgresSource(config), place, wish=Wish(**wish), connector="postgres")

    both.places = made  # type: ignore[attr-defined]
    yield both
    for url in made.values():
        postgres_cluster.drop_database(url)


def test_a_table_is_handed_over_and_the_table_is_the_same(run: Both) -> None:
    found = same(run(EVERY), FORM)
    assert found.outcome.streams[0].counts["inserted"] == 5003
    (url, _) = run.places.values()  # type: ignore[attr-defined]
    with psycopg.connect(url) as connection:
        defaults = "select count(*), count(column_default) from information_schema.columns where table_name = 'things'"
        assert connection.execute(defaults).fetchone() == (22, 0)
    again = same(run("delete from things where id > 20; update things set t = 'new'", where="id <> 11"), FORM)
    assert again.outcome.streams[0].counts["inserted"] == 13


def test_columns_are_chosen(run: Both) -> None:
    same(run(EVERY, columns=("*", "!j", "!n")), FORM)


def test_an_empty_table(run: Both) -> None:
    same(run("create table things (id int, at timestamptz)"), FORM)


UNFIT = {
    "a_date": ("date", "infinity"), "a_timestamp": ("timestamp", "-infinity"), "a_zoned": ("timestamptz", "infinity"),
    "a_time": ("time", "24:00:00"), "a_number": ("numeric(5,2)", "NaN"), "before": ("timestamp", "0001-12-31 BC"),
    "after": ("date", "10000-01-01"),
}  # fmt: skip
OTHER = ("numeric", "jsonb", "interval", "int[]", "inet", "oid", "name", "money", "xml", "bit(3)", '"char"')


def test_values_and_types_that_are_not_what_they_seem_are_read(run: Both) -> None:
    tables = [
        f"create table {name} (id int, x {type}); insert into {name} values (1, null), (2, '{value}')"
        for name, (type, value) in UNFIT.items()
    ]
    tables += [
        f"create table other_{number} (id int, x {type}); insert into other_{number} values (1)"
        for number, type in enumerate(OTHER)
    ]
    found = same(run("; ".join(tables)), None)
    for name in UNFIT:
        assert found.tables[name].schema.field("x").type == "string"
        assert any(line.startswith(f"{name}: not handed over as {FORM}") for line in found.said), found.said
    again = run("; ".join(f"delete from {name} where id = 2" for name in UNFIT))
    assert not handoff_differences(*again)
    for name in UNFIT:  # the table keeps its text
        assert f"{name}: not handed over as {FORM}, but read: column 'x' is" in " ".join(again[0].said)


@pytest.mark.parametrize(("rows", "form"), [(20_000, FORM), (500, None)])
def test_large_tables_are_handed_over_without_being_asked(
    postgres_cluster: Cluster, postgres_database: str, rows: int, form: str | None
) -> None:
    with psycopg.connect(postgres_database) as connection:
        connection.execute(
            "create table things as select n, repeat(md5(n::text), 56) as t from generate_series(1, %s) n", (rows,)
        )
    source, url = PostgresSource.Config(url=postgres_database), postgres_cluster.create_database()
    try:
        destination = PostgresDestination(PostgresDestination.Config(url=url))
        outcome = run_sync(lambda: PostgresSource(source), destination, wish=Wish(mode="replace"), connector="postgres")
        (stream,) = outcome.streams
        assert (stream.outcome, stream.handed, stream.counts["mapped"]) == ("committed", form, rows)
        with psycopg.connect(url) as connection:
            (schema,) = connection.execute("select schemaname from pg_tables where tablename = 'things'").fetchone()
            found = f"select count(*), md5(string_agg(t, '' order by n)) from \"{schema}\".things"
            there = connection.execute(found).fetchone()
        with psycopg.connect(postgres_database) as connection:
            assert there == connection.execute(found.replace(f'"{schema}".', "")).fetchone()
    finally:
        postgres_cluster.drop_database(url)
