"""What changes under a snapshot without being versions of rows: splits before and after it do not make one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from wherry import Progress, ReadPlan, Selection, StreamError
from wherry_source_postgres.source import PostgresSource

MADE = """
create table t (id int8 primary key, at timestamptz not null, v text);
insert into t select g, '2026-01-01 00:00+00'::timestamptz + g * interval '1 s', repeat('v', 50)
from generate_series(1, 4000) g;
create unique index upside_down on t ((-id));
analyze t
"""
PARTS = """
create table t (id int8, part int, at timestamptz not null default now(), v text, primary key (id, part))
    partition by list (part);
create table t0 partition of t for values in (0);
create table t1 partition of t for values in (1);
insert into t select g, g % 2, '2026-01-01', repeat('v', 50) from generate_series(1, 4000) g;
create table apart (like t including all);
insert into apart select g, 2, '2026-01-01', 'x' from generate_series(5001, 5100) g;
analyze t
"""
REFILL = "insert into t select g, '2026-01-01', 'w' from generate_series(1, 4000) g"
MERGE = {"mode": "merge", "cursor": "at", "key": ("id",)}
CHANGES = {
    "truncated": (MADE, f"truncate t; {REFILL}"),
    "vacuumed": (MADE, "delete from t where id % 3 = 0; vacuum full t"),
    "clustered": (MADE, "cluster t using upside_down"),
    "altered": (MADE, "alter table t alter id type int4"),
    "renamed": (MADE, f"alter table t rename to was; create table t (like was including all); {REFILL}"),
    "dropped": (PARTS, "drop table t1"),
    "detached": (PARTS, "alter table t detach partition t1"),
    "attached": (PARTS, "alter table t attach partition apart for values in (2)"),
}


def execute(url: str, sql: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in sql.split(";"):
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def planned(source: PostgresSource, **options: Any) -> ReadPlan:
    (stream,) = source.discover(["t"])
    (plan,) = source.plan([Selection(stream=stream, **{"mode": "replace", **options})], {"t": Progress()})
    return plan


def keys(source: PostgresSource, plan: ReadPlan) -> list[int]:
    batches = [item.data for split in plan.splits for item in source.read(split) if hasattr(item, "data")]
    return sorted(id for batch in batches for id in batch.column("id").to_pylist())


@pytest.mark.parametrize("options", [{}, MERGE], ids=["by block", "by key"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_table_that_is_another_one_by_now_is_refused(
    postgres_database: str, source_of: Callable[..., PostgresSource], change: str, options: dict[str, Any]
) -> None:
    made, sql = CHANGES[change]
    execute(postgres_database, made)
    plan = planned(source_of(postgres_database, splits=4), **options)
    assert len(plan.splits) == 4
    reader = source_of(postgres_database)
    list(reader.read(plan.splits[0]))
    execute(postgres_database, sql)
    with pytest.raises(StreamError, match="truncated, rewritten or given other partitions"):
        list(reader.read(plan.splits[1]))


@pytest.mark.parametrize("options", [{}, MERGE], ids=["by block", "by key"])
def test_what_rows_and_new_partitions_go_through_is_no_matter(
    postgres_database: str, source_of: Callable[..., PostgresSource], options: dict[str, Any]
) -> None:
    execute(postgres_database, PARTS)
    plan = planned(source_of(postgres_database, splits=4), **options)
    execute(
        postgres_database,
        "create table t3 partition of t for values in (3);"
        "insert into t select 9000 + g, 3 from generate_series(1, 9) g; "
        "delete from t where id < 500; update t set v = 'x'; vacuum t; analyze t; create index on t (v); "
        "alter table t add w int",
    )
    assert keys(source_of(postgres_database), plan) == list(range(1, 4001))


def test_children_of_a_table_are_looked_at_too(
    postgres_database: str, source_of: Callable[..., PostgresSource]
) -> None:
    execute(postgres_database, f"{MADE}; create table child () inherits (t); {REFILL.replace('into t', 'into child')}")
    plan = planned(source_of(postgres_database, splits=4))
    reader = source_of(postgres_database)
    assert len(keys(reader, plan)) == 8000
    execute(postgres_database, "truncate child")
    with pytest.raises(StreamError, match="truncated"):
        list(reader.read(plan.splits[0]))


@pytest.mark.parametrize("mode", ["append", "history", "merge"])
def test_without_a_cursor_only_what_is_replaced_is_cut(
    postgres_database: str, source_of: Callable[..., PostgresSource], mode: str
) -> None:
    execute(postgres_database, MADE)
    assert len(planned(source_of(postgres_database, splits=4), mode=mode, key=("id",)).splits) == 1


def test_a_table_that_may_not_be_read_fails_alone(
    postgres_database: str, source_of: Callable[..., PostgresSource]
) -> None:
    execute(postgres_database, f"{MADE}; create table other (id int); create role nobody login")
    try:
        execute(postgres_database, "grant select on other to nobody")
        source = source_of(postgres_database, splits=4, user="nobody")
        selections = [Selection(stream=s, mode="replace") for s in source.discover()]
        plans = {plan.key: plan for plan in source.plan(selections, {})}
        assert {"t", "other"} <= plans.keys()
        with pytest.raises(StreamError, match="permission denied"):
            list(source.read(plans["t"].splits[0]))
    finally:
        execute(postgres_database, "drop owned by nobody; drop role nobody")
