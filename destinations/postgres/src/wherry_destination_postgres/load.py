"""Arrow rows into a table through COPY: binary, or CSV where the server has to read a value as another type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psycopg
import pyarrow as pa
from wherry import SQL, DataError, Identifier, Writer, failpoint

from wherry_destination_postgres import binary, ddl, encode

if TYPE_CHECKING:
    from wherry_destination_postgres.connection import PostgresConnection


class CopyWriter(Writer):
    """COPY … FROM STDIN, open from the first write to `finish`, or until the connection is wanted for something else.

    While it is open the session is busy, and not idle in a transaction, however slow the source is.
    """

    def __init__(self, connection: PostgresConnection, table: Identifier, schema: pa.Schema) -> None:
        self._connection = connection
        self._table = table
        self._schema = schema
        self._kinds: Sequence[str] | None = None
        self._statement = SQL("copy {table} from stdin").format(table=table)
        self._context: AbstractContextManager[psycopg.Copy] | None = None
        self._copy: psycopg.Copy | None = None
        self._cursor: psycopg.Cursor[Any] | None = None
        self._plain = True
        self._rows = 0

    def write(self, rows: pa.RecordBatch) -> None:
        if not rows.num_rows:
            return
        copy = self._copy or self._open()
        for data, count in encode.csv(rows) if self._kinds is None else binary.rows(rows, self._kinds):
            self._plain = self._plain and (self._kinds is not None or data.count(b"\n") == count)
            with self._translating():
                for piece in encode.chunks(data):
                    copy.write(piece)
            failpoint("K07")

    def finish(self) -> int:
        self.settle()
        rows, self._rows = self._rows, 0
        return rows

    def settle(self) -> None:
        """End the COPY; the rows are taken. A later write opens another."""
        context, cursor, copy = self._context, self._cursor, self._copy
        self._forget()
        if context is not None and cursor is not None and copy is not None:
            with self._translating(), ExitStack() as ending:
                ending.push(context)
                if self._kinds is not None:
                    copy.write(binary.TRAILER)
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
        self._kinds = self._known_kinds()
        self._connection.unlimited()
        self._plain = True
        form = SQL("csv") if self._kinds is None else SQL("binary")
        statement = SQL("copy {table} ({columns}) from stdin (format {form})").format(
            table=self._table, columns=[Identifier(name) for name in self._schema.names], form=form
        )
        with self._translating():
            self._cursor = self._connection.session.cursor()
            self._context = self._cursor.copy(text(statement))
            copy = self._copy = self._context.__enter__()
            self._connection.copying = self
            if self._kinds is not None:
                copy.write(binary.SIGNATURE)
        return copy

    def _known_kinds(self) -> list[str] | None:
        """Types of the table's columns, as the server names them, if they take the rows in its own form."""
        have = ddl.kinds(self._connection, self._table)
        kinds = [have.get(name, "") for name in self._schema.names]
        return kinds if binary.fits(self._schema, kinds) else None

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
