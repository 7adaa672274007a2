"""Arrow rows into a table through COPY."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psycopg
import pyarrow as pa
from wherry import SQL, DataError, Identifier, Writer, failpoint

from wherry_destination_postgres import encode

if TYPE_CHECKING:
    from wherry_destination_postgres.connection import PostgresConnection

_ANALYZE = 10_000
"""Rows in a staging table that will be joined, from which on the planner has to know of them."""


class CopyWriter(Writer):
    """COPY … FROM STDIN, open from the first write to `finish`, or until the connection is wanted for something else.

    While it is open the session is busy, and not idle in a transaction, however slow the source is.
    """

    def __init__(self, connection: PostgresConnection, table: Identifier, schema: pa.Schema) -> None:
        self._connection = connection
        self._table = table
        self._statement = SQL("copy {table} ({columns}) from stdin (format csv)").format(
            table=table, columns=[Identifier(name) for name in schema.names]
        )
        self._context: AbstractContextManager[psycopg.Copy] | None = None
        self._copy: psycopg.Copy | None = None
        self._cursor: psycopg.Cursor[Any] | None = None
        self._joined = "_wherry_pos" in schema.names
        self._plain = True
        self._rows = self._known = self._analyzed = 0

    def write(self, rows: pa.RecordBatch) -> None:
        copy = self._copy
        for lines, count in encode.csv(rows):
            copy = copy or self._open()
            self._plain = self._plain and lines.count(b"\n") == count
            with self._translating():
                for piece in encode.chunks(lines):
                    copy.write(piece)
            failpoint("K07")

    def finish(self) -> int:
        self.settle()
        rows, self._rows = self._rows, 0
        self._known += rows
        if self._joined and self._known >= max(_ANALYZE, 2 * self._analyzed):
            self._connection.run(SQL("analyze {table}").format(table=self._table))
            self._analyzed = self._known
        return rows

    def settle(self) -> None:
        """End the COPY; the rows are taken. A later write opens another."""
        context, cursor = self._context, self._cursor
        self._forget()
        if context is not None and cursor is not None:
            with self._translating():
                context.__exit__(None, None, None)
            self._rows += cursor.rowcount

    def drop(self) -> None:
        context, self._rows = self._context, 0
        self._forget()
        if context is not None:
            with suppress(psycopg.Error, InterruptedError):
                context.__exit__(InterruptedError, InterruptedError("given up"), None)

    def _open(self) -> psycopg.Copy:
        from wherry_destination_postgres.connection import text

        self._connection.settle()
        self._connection.unlimited()
        self._plain = True
        with self._translating():
            self._cursor = self._connection.session.cursor()
            self._context = self._cursor.copy(text(self._statement))
            self._copy = self._context.__enter__()
        self._connection.copying = self
        return self._copy

    @contextmanager
    def _translating(self) -> Iterator[None]:
        """The server counts lines: they are rows only as long as no value had a line break."""
        try:
            with self._connection.translating(self._statement):
                yield
        except DataError as error:
            if not self._plain:
                error.row = None
            raise

    def _forget(self) -> None:
        self._context = self._copy = self._cursor = None
        if self._connection.copying is self:
            self._connection.copying = None
