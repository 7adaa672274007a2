"""Connections to a DuckDB database, and Arrow rows on their way in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
from wherry import (
    SQL,
    Connection,
    DataError,
    DestinationError,
    Identifier,
    Part,
    Quoting,
    ResourceError,
    UsageError,
    WherryError,
    Writer,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = 1_000_000
BYTES = 64 << 20
"""Rows are kept back until so many, or so many bytes, go in at once: one insert then uses all threads."""


class DuckDBConnection(Connection):
    """A cursor, which is a connection of its own to the opened database."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, quoting: Quoting, flush: int = BYTES) -> None:
        self._cursor = cursor
        self._quoting = quoting
        self._flush = flush
        self._begun = self._failed = False
        self._views = 0

    def _execute(self, statement: Part) -> duckdb.DuckDBPyConnection:
        try:
            return self._cursor.execute(statement.render(self._quoting))
        except duckdb.Error as error:
            self._failed = True
            raise translate(error) from error

    def _fetch(self) -> list[tuple[Any, ...]]:
        try:
            return list(self._cursor.fetchall())
        except duckdb.Error as error:
            self._failed = True
            raise translate(error) from error

    def run(self, statement: Part) -> int:
        self._execute(statement)
        counted = self._cursor.description
        found = self._fetch()
        return int(found[0][0]) if found and counted and counted[0][0] == "Count" else 0

    def rows(self, statement: Part) -> list[tuple[Any, ...]]:
        self._execute(statement)
        return self._fetch()

    def reader(self, statement: Part) -> pa.RecordBatchReader | None:
        text = statement.render(self._quoting)
        try:
            found = self._cursor.sql(text)
            return None if found is None else _guarded(found.to_arrow_reader(65536))
        except duckdb.Error as error:
            raise translate(error, own=True) from error

    def begin(self) -> None:
        self._execute(SQL("begin transaction"))
        self._begun, self._failed = True, False

    def commit(self) -> None:
        if self._failed:  # the COMMIT of an aborted transaction is answered like any other
            raise DestinationError("a statement of the transaction failed: nothing was committed")
        self._execute(SQL("commit"))
        self._begun = False

    def rollback(self) -> None:
        if self._begun:
            self._begun = False
            try:
                self._cursor.execute("rollback")
            except duckdb.Error:  # already rolled back by the engine
                return

    def writer(self, table: Identifier, schema: pa.Schema) -> Writer:
        self._views += 1
        return ArrowWriter(self, table, schema, f"_wherry_rows_{self._views}", self._flush)

    def insert(self, view: str, rows: pa.Table, statement: Part) -> int:
        """Run an INSERT that selects from `view`, which stands for these rows; how many went in."""
        try:
            self._cursor.register(view, rows)
        except duckdb.Error as error:
            self._failed = True
            raise translate(error) from error
        try:
            return self.run(statement)
        finally:
            if not self._failed:
                self._cursor.unregister(view)

    def close(self) -> None:
        self.rollback()
        self._cursor.close()


class ArrowWriter(Writer):
    """Keeps batches until there is enough for one insert by all threads; the connection is free in between."""

    def __init__(
        self, connection: DuckDBConnection, table: Identifier, schema: pa.Schema, view: str, flush: int
    ) -> None:
        self._connection = connection
        self._schema = schema
        self._view = view
        self._flush = flush
        columns = [Identifier(name) for name in schema.names]
        self._statement = SQL("insert into {table} ({columns}) select {columns} from {view}").format(
            table=table, columns=columns, view=Identifier(view)
        )
        self._batches: list[pa.RecordBatch] = []
        self._rows = self._bytes = self._taken = 0

    def write(self, rows: pa.RecordBatch) -> None:
        if not rows.num_rows:
            return
        self._batches.append(rows)
        self._rows += rows.num_rows
        self._bytes += rows.get_total_buffer_size()
        if self._rows >= ROWS or self._bytes >= self._flush:
            self._put()

    def finish(self) -> int:
        self._put()
        taken, self._taken = self._taken, 0
        return taken

    def drop(self) -> None:
        self._batches.clear()

    def _put(self) -> None:
        if self._batches:
            rows = pa.Table.from_batches(self._batches, schema=self._schema)
            self._batches.clear()
            self._rows = self._bytes = 0
            self._taken += self._connection.insert(self._view, rows, self._statement)


def translate(error: duckdb.Error, own: bool = False) -> WherryError:
    """The engine's error in our words, without the values that it likes to quote. own: the user wrote the SQL."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    if own:
        return UsageError(text, next="correct the statement")
    if re.search(r"No space left|disk is full|out of disk|Disk quota|File too large", str(error), re.IGNORECASE):
        return ResourceError(f"the disk is full: {text}", next="make room, then run it again")
    if isinstance(error, duckdb.OutOfMemoryException):
        return ResourceError("DuckDB ran out of memory", key="memory_limit", next="raise it, or free disk for spilling")
    if isinstance(error, (duckdb.ConversionException, duckdb.OutOfRangeException)):
        return DataError(re.sub(r"['\"].*['\"]", "a value", text))
    if isinstance(error, duckdb.ConstraintException):
        return DataError(re.sub(r"['\"].*['\"]|duplicate key.*", "a value", text))
    return DestinationError(f"DuckDB: {text}", next="run it again")


def _guarded(reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield from reader
        except (duckdb.Error, pa.ArrowException) as error:
            raise DestinationError(f"DuckDB: {str(error).splitlines()[0]}") from error

    return pa.RecordBatchReader.from_batches(reader.schema, batches())
