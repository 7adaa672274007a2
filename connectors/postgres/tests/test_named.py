"""Queries of the configuration as streams: typed by the server, read-only, one SELECT each."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from wherry import Batch, Selection, UsageError
from wherry.testing import MemoryDestination, Store, Wish, run_sync
from wherry_source_postgres.config import PostgresConfig
from wherry_source_postgres.source import PostgresSource

Sources = Callable[..., PostgresSource]
BIG = (
    "select id, at, upper(v) as v, n * 1.5 as n, array[id] as ids, 'a;b' as t -- big ones; all\n from t where id > 90;"
)


@pytest.fixture
def database(postgres_database: str) -> str:
    execute(
        postgres_database,
        "create table t (id int8 primary key, at timestamptz not null, v text, n numeric(9,2));"
        "insert into t select g, '2026-01-01 00:00+00'::timestamptz + g * interval '1 s', 'v' || g, g"
        " from generate_series(1, 100) g",
    )
    return postgres_database


def execute(url: str, sql: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


def rows(source: PostgresSource, name: str, **options: Any) -> list[dict[str, Any]]:
    (stream,) = source.discover([name])
    (plan,) = source.plan([Selection(stream=stream, **options)], {})
    found = source.read(plan.splits[0])
    return [row for item in found if isinstance(item, Batch) for row in item.data.to_pylist()]


def test_a_query_is_a_stream_with_the_types_of_the_server(database: str, source_of: Sources) -> None:
    source = source_of(database, queries={"big": BIG, "one": "select 1 as x"})
    assert [s.path for s in source.discover()] == ["t", "big", "one"]
    (big,) = source.discover(["b*"])
    assert dict(zip(big.schema.names, big.schema.types, strict=True)) == {
        "id": pa.int64(), "at": pa.timestamp("us", "UTC"), "v": pa.string(), "n": pa.decimal128(38, 9),
        "ids": pa.string(), "t": pa.string(),
    }  # fmt: skip
    found = rows(source, "big")
    assert len(found) == 10
    assert found[0] == {"id": 91, "at": found[0]["at"], "v": "V91", "n": Decimal("136.5"), "ids": "[91]", "t": "a;b"}


def test_columns_filter_and_limit_reach_the_server(database: str, source_of: Sources) -> None:
    source = source_of(database, queries={"big": BIG})
    assert rows(source, "big", columns=("v",), where="id in (91, 100) or v = 'V95'") == [
        {"v": "V91"}, {"v": "V95"}, {"v": "V100"}
    ]  # fmt: skip
    assert len(rows(source, "big", limit=3)) == 3
    assert rows(source, "big", where="false") == []


@pytest.mark.parametrize(
    "text",
    [
        "select 1; drop table t", "select 1) as q; drop table t; select * from (select 1", "delete from t",
        "with gone as (delete from t returning *) select * from gone", "create table x ()", "copy t to stdout",
        "insert into t values (0, now(), '', 1) returning id", "select", "", "selec 1", "select * from nowhere",
        "select 1 as a, 2 as a", "drop table t", "begin; select 1", "select $1::int", "select 1 as q; --",
        "/* select 1",
    ],
)  # fmt: skip
def test_what_is_not_one_select_is_refused_and_nothing_is_done(database: str, source_of: Sources, text: str) -> None:
    source = source_of(database, queries={"mine": text})
    with pytest.raises(UsageError, match=r"queries: mine (is not one SELECT|gives column a twice)") as raised:
        rows(source, "mine")
    assert raised.value.key == "queries"
    assert execute(database, "select count(*) from t") == [(100,)]
    assert len(rows(source, "t")) == 100


def test_a_function_that_writes_is_stopped_by_the_server(database: str, source_of: Sources) -> None:
    execute(
        database,
        "create function w() returns int language sql as $$ insert into t values (0, now(), '', 1) returning 1 $$",
    )
    with pytest.raises(Exception, match="read-only transaction"):
        rows(source_of(database, queries={"mine": "select w() as w"}), "mine")
    assert execute(database, "select count(*) from t") == [(100,)]


def test_the_name_of_a_table_is_taken(database: str, source_of: Sources) -> None:
    source = source_of(database, queries={"t": "select 1 as x"})
    with pytest.raises(UsageError, match="queries: t is the name of a table"):
        list(source.discover())


def test_a_query_with_a_cursor_moves_what_is_new(database: str) -> None:
    config = PostgresConfig.model_validate({"url": database, "queries": {"big": BIG}})
    store = Store()

    def sync() -> Any:
        outcome = run_sync(
            lambda: PostgresSource(config), MemoryDestination.of(store), connector="postgres",
            wish=Wish(cursor="at", key=("id",), mode="merge"),
        )  # fmt: skip
        (found,) = (s for s in outcome.streams if s.stream == "big")
        assert found.error is None
        return found.counts

    assert sync()["inserted"] == 10
    execute(database, "update t set v = 'newer', at = '2027-01-01' where id = 95")
    counts = sync()
    assert (counts["updated"], counts["inserted"]) == (1, 0)
    assert sync()["updated"] == 0


def test_another_text_under_the_same_name_is_another_stream(database: str, source_of: Sources) -> None:
    (one,) = source_of(database, queries={"q": "select 1 as x"}).discover(["q"])
    (two,) = source_of(database, queries={"q": "select 2 as x"}).discover(["q"])
    assert one.incarnation != two.incarnation
