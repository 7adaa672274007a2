"""Arrow rows into a table through COPY."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import psycopg
import pyarrow as pa
from wherry import SQL, Identifier, Writer

from wherry_destination_postgres import encode

if TYPE_CHECKING:
    from wherry_destination_postgres.connection import PostgresConnection


class CopyWriter(Writer):
    """COPY … FROM STDIN, open from the first write to `finish`, or until the connection is wanted for something else.

    While it is open the session is busy and not idle in a transaction, however slow the source is.
    """

    def __init__(self, connection: PostgresConnection, table: Identifier, schema: pa.Schema) -> None:
        self._connection = connection
        self._statement = SQL("copy {table} ({columns}) from stdin (format csv)").format(
            table=table, columns=[Identifier(n) for n in schema.names]
        )
        self._context: AbstractContextManager[psycopg.Copy] | None = None
        self._copy: psycopg.Copy | None = None
        self._cursor: psycopg.Cursor | None = None
        self._rows = 0

    def write(self, rows: pa.RecordBatch) -> None:
        lines = encode.csv(rows)
        copy = self._copy or self._open()
        with self._connection.translating(self._statement):
            for piece in encode.chunks(lines):
                copy.write(piece)

    def finish(self) -> int:
        self.settle()
        rows, self._rows = self._rows, 0
        return rows

    def _open(self) -> psycopg.Copy:
        from wherry_destination_postgres.connection import text

        self._connection.settle()
        with self._connection.translating(self._statement):
            self._cursor = self._connection.session.cursor()
            self._context = self._cursor.copy(text(self._statement))
            self._copy = self._context.__enter__()
        self._connection.copying = self
        return self._copy

    def settle(self) -> None:
        """End the COPY; the rows are taken. A later write opens another."""
        context, cursor = self._context, self._cursor
        self._forget()
        if context is not None and cursor is not None:
            with self._connection.translating(self._statement):
                context.__exit__(None, None, None)
            self._rows += cursor.rowcount

    def drop(self) -> None:
        context, self._rows = self._context, 0
        self._forget()
        if context is not None:
            try:
                context.__exit__(InterruptedError, InterruptedError("given up"), None)
            except (psycopg.Error, InterruptedError):
                return

    def _forget(self) -> None:
        self._context = self._copy = self._cursor = None
        if self._connection.copying is self:
            self._connection.copying = None
