"""A new table and its rows in one statement: of a small table, each statement costs more than the rows do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
from wherry import SQL, Identifier, Part, Writer, failpoint

if TYPE_CHECKING:
    from wherry_destination_duckdb.load import DuckDBConnection


class TableMaker(Writer):
    """Keeps all rows until `finish`: CREATE TABLE … AS, each column cast to the type that it is to have."""

    occupies = False

    def __init__(
        self, connection: DuckDBConnection, table: Identifier, schema: pa.Schema, kinds: Sequence[Part], view: str
    ) -> None:
        self._connection = connection
        self._schema = schema
        self._view = view
        columns = [Identifier(name) for name in schema.names]
        values = [
            SQL("{column}::{kind} as {column}").format(column=column, kind=kind)
            for column, kind in zip(columns, kinds, strict=True)
        ]
        self._statement = SQL("create table {table} as select {values} from {view}").format(
            table=table, values=values, view=Identifier(view)
        )
        self._rows: list[pa.RecordBatch] = []

    def write(self, rows: pa.RecordBatch) -> None:
        self._connection.count(rows)
        self._rows.append(rows)

    def finish(self) -> int:
        rows = pa.RecordBatchReader.from_batches(self._schema, self._rows)
        taken = self._connection.insert(self._view, rows, self._statement)
        failpoint("K07")
        return taken

    def drop(self) -> None:
        self._rows.clear()
