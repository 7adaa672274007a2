"""`Session.execute`: any statement, its rows as Arrow."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from wherry import DataError, DestinationError


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select 1 as a, 'x' as b", {"a": [1], "b": ["x"]}),
        ("  -- first\n /* second */ (select 2 as a);  ", {"a": [2]}),
        ("select 3 as a -- last", {"a": [3]}),
        ("values (1, null::text), (2, '')", {"column1": [1, 2], "column2": [None, ""]}),
        ("with n as (select 4 as a) table n", {"a": [4]}),
        ("select g as a from generate_series(1, 3) as g order by g desc", {"a": [3, 2, 1]}),
        ("select 1 as a where false", {"a": []}),
        ("select true as a, 1.50::numeric(5,2) as b, date '2024-02-29' as c",
         {"a": [True], "b": [Decimal("1.50")], "c": [dt.date(2024, 2, 29)]}),
        (r"select '\x00ff'::bytea as a, '{}'::json as b, 1.5::real as c", {"a": [b"\0\xff"], "b": ["{}"], "c": [1.5]}),
        ("select array[1,2] as a, '1.2.3.4'::inet as b, 1/3::numeric as c",
         {"a": ["{1,2}"], "b": ["1.2.3.4/32"], "c": ["0.33333333333333333333"]}),
        ("select", {}),
        ("show server_encoding", {"server_encoding": ["UTF8"]}),
        ("with n as (insert into t values (5) returning a) select a from n", {"a": [5]}),
        ("insert into t values (6) returning a, a::text as b", {"a": [6], "b": ["6"]}),
    ],
)  # fmt: skip
def test_rows_as_arrow(shop: Any, sql: str, expected: dict[str, list[Any]]) -> None:
    shop.sql("create table t (a int)")
    reader = shop.open().execute(sql)
    assert reader is not None
    assert reader.read_all().to_pydict() == expected


def test_columns_of_one_name_stay_apart(shop: Any) -> None:
    reader = shop.open().execute("select 1 as a, 'x' as a")
    assert reader.schema == pa.schema([pa.field("a", pa.int32()), pa.field("a", pa.utf8())])
    assert [column.to_pylist() for column in reader.read_all().columns] == [[1], ["x"]]


def test_a_statement_without_rows(shop: Any) -> None:
    session = shop.open()
    assert session.execute("create table made as select 7 as a") is None
    assert session.execute("update made set a = a + 1") is None
    assert shop.sql("select a from made") == [(8,)]


def test_many_rows_come_in_several_batches_and_the_connection_goes(shop: Any) -> None:
    reader = shop.open().execute("select g, repeat('x', 100) from generate_series(1, 100000) as g")
    sizes = [batch.num_rows for batch in reader]
    assert sum(sizes) == 100_000
    assert len(sizes) > 1
    assert shop.sql("select count(*) from pg_stat_activity where query like 'copy%' and state <> 'idle'") == [(0,)]


@pytest.mark.parametrize(
    ("sql", "kind", "reason"),
    [
        ("select nonsense", DestinationError, "nonsense"),
        ("selec 1", DestinationError, "syntax error"),
        ("drop table nonsense", DestinationError, "does not exist"),
        ("select 1 / 0", DataError, "division by zero"),
    ],
)
def test_a_wrong_statement_is_explained(shop: Any, sql: str, kind: type[Exception], reason: str) -> None:
    session = shop.open()
    with pytest.raises(kind, match=reason):
        session.execute(sql)
