"""What the engine is asked about its tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from wherry import SQL, Identifier
from wherry_destination_duckdb.ddl import DuckDBDialect
from wherry_destination_duckdb.destination import DuckDBDestination
from wherry_destination_duckdb.load import DuckDBConnection


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[DuckDBDialect, DuckDBConnection]]:
    monkeypatch.chdir(tmp_path)
    destination = DuckDBDestination(DuckDBDestination.Config(path="shop.duckdb"))
    session = destination.open("p", schema="main")
    dialect = session.dialect  # type: ignore[attr-defined]
    connection = dialect.connect()
    yield dialect, connection
    connection.close()
    session.close()


NAMES = ["json", "csv", "parquet", "a.csv.gz", "x.jsonl", "real"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("file", [True, False])
def test_a_table_that_is_not_there_is_looked_for_in_no_file(
    shop: tuple[DuckDBDialect, DuckDBConnection], name: str, file: bool
) -> None:
    dialect, connection = shop
    table = Identifier("main", name)
    if file:
        Path(f"shop.main.{name}").write_text('{"q": 1}\n')
    connection.begin()
    assert dialect.columns(connection, table) is None
    assert not dialect.is_table(connection, table)
    connection.run(SQL("create table {table} (a integer)").format(table=table))  # the transaction goes on
    connection.commit()
    assert dialect.columns(connection, table) == pa.schema([("a", pa.int32())])
    assert dialect.is_table(connection, table)
    connection.run(SQL("drop table {table}").format(table=table))
    connection.run(SQL("create view {table} as select 1 as v").format(table=table))
    assert dialect.columns(connection, table) == pa.schema([("v", pa.int32())])
    assert not dialect.is_table(connection, table)
