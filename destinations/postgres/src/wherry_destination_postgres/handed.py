"""Bytes of another server's COPY, straight into a table that is built aside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psycopg
from wherry import SQL, DataError, HandOffRefused, Identifier, Literal, Taker, Target, failpoint

from wherry_destination_postgres import ddl, encode, types

if TYPE_CHECKING:
    from wherry_destination_postgres.connection import PostgresConnection

FORM = "pg-copy-binary"
_LOAD_ID = Identifier("_wherry_load_id")


class CopyTaker(Taker):
    """COPY … FROM STDIN (FORMAT binary). The first piece is {"columns": the source's names}, all others are bytes.

    The load's id is the column's default while the COPY lasts; so only a table that nobody else sees takes it.
    """

    def __init__(self, connection: PostgresConnection, form: str, table: Identifier, target: Target, load_id: int):
        if form != FORM:
            raise HandOffRefused(f"{form} is not known here")
        if target.generation is None:
            raise HandOffRefused("its table is not built aside")
        self._connection = connection
        self._table = table
        self._target = target
        self._load_id = load_id
        self._statement = SQL("copy {table} from stdin").format(table=table)
        self._context: AbstractContextManager[psycopg.Copy] | None = None
        self._copy: psycopg.Copy | None = None
        self._cursor: psycopg.Cursor[Any] | None = None
        self._rows = 0

    def take(self, data: Any) -> int:
        if isinstance(data, dict):
            self._open(data["columns"])
            return 0
        if self._copy is None:
            raise HandOffRefused("the COPY was ended by another statement")
        with self._translating():
            for piece in encode.chunks(data):
                self._copy.write(piece)
        failpoint("K07")
        return 0

    def finish(self) -> int:
        self.settle()
        rows, self._rows = self._rows, 0
        return rows

    def settle(self) -> None:
        """End the COPY; the rows are taken."""
        context, cursor = self._context, self._cursor
        self._forget()
        if context is None or cursor is None:
            return
        with self._translating():
            context.__exit__(None, None, None)
        self._rows += cursor.rowcount
        if self._target.load_id:
            drop = SQL("alter table {table} alter column {column} drop default")
            self._connection.run(drop.format(table=self._table, column=_LOAD_ID))

    def drop(self) -> None:
        context = self._context
        self._forget()
        if context is not None:
            with suppress(psycopg.Error, InterruptedError):
                context.__exit__(InterruptedError, InterruptedError("given up"), None)

    def _open(self, names: list[str]) -> None:
        from wherry_destination_postgres.connection import QUOTING, text

        fields = {_source_of(field): field for field in self._target.schema}
        if len(fields) != len(names) or fields.keys() != set(names):
            raise HandOffRefused("the table has other columns")
        columns = [fields[name] for name in names]
        kinds = ddl.kinds(self._connection, self._table)
        for field in columns:
            wanted = types.column_type(field).render(QUOTING)
            if kinds.get(field.name) != wanted:
                raise HandOffRefused(f"column {field.name!r} is {kinds.get(field.name)} in its table, not {wanted}")
        if self._target.load_id:
            default = SQL("alter table {table} alter column {column} set default {id}")
            self._connection.run(default.format(table=self._table, column=_LOAD_ID, id=Literal(self._load_id)))
        freeze = SQL(", freeze") if self._made_empty() else SQL("")
        self._connection.settle()
        self._connection.unlimited()
        statement = SQL("copy {table} ({columns}) from stdin (format binary{freeze})").format(
            table=self._table, columns=[Identifier(field.name) for field in columns], freeze=freeze
        )
        with self._translating():
            self._cursor = self._connection.session.cursor()
            self._context = self._cursor.copy(text(statement))
            self._copy = self._context.__enter__()
        self._connection.copying = self

    def _made_empty(self) -> bool:
        """Whether the table is one of this very transaction: the server writes its rows once, and as settled ones, so
        that nobody has to find out later whether they were committed. One that holds rows already stays as it is."""
        self._connection.run(SQL("lock table {table} in access exclusive mode").format(table=self._table))
        holds = SQL("select exists (select from {table})").format(table=self._table)
        if self._connection.rows(holds)[0][0]:
            return False
        self._connection.run(SQL("truncate {table}").format(table=self._table))
        return True

    @contextmanager
    def _translating(self) -> Iterator[None]:
        """What the server does not take as it is can still be read: it may know better than its bytes."""
        try:
            with self._connection.translating(self._statement):
                yield
        except DataError as error:
            raise HandOffRefused("the server does not take a value as it is") from error

    def _forget(self) -> None:
        self._context = self._copy = self._cursor = None
        if self._connection.copying is self:
            self._connection.copying = None


def _source_of(field: Any) -> str:
    """What the source calls a column."""
    return str((field.metadata or {}).get(b"wherry:source", field.name.encode()).decode())
