"""What DuckDB does in its own way: its catalog, its clock, changing a column under indexes and views."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pyarrow as pa
from wherry import KIND, SQL, Connection, Dialect, Identifier, Literal, Part, SchemaError, WherryError

from wherry_destination_duckdb import types
from wherry_destination_duckdb.catalog import a_view, called
from wherry_destination_duckdb.file import Database
from wherry_destination_duckdb.load import DuckDBConnection

if TYPE_CHECKING:
    from collections.abc import Sequence


_FEW = 10_000
_ARROW: dict[str, pa.DataType] = {}
"""By the engine's name of a type, as far as they have come up."""


def _ours(connection: Connection) -> DuckDBConnection:
    assert isinstance(connection, DuckDBConnection)
    return connection


class DuckDBDialect(Dialect):
    """One opened file. Loads in other threads have cursors of their own."""

    keys = False  # an index makes loading slower, and the file lock already makes this process the only writer
    file_lock = True

    def __init__(self, database: Database, flush: int, hold: int) -> None:
        self._database = database
        self._flush = flush
        self._hold = hold
        self.address = database.path or str(id(database))

    def connect(self) -> DuckDBConnection:
        return DuckDBConnection(self._database, self.quoting, self._flush, self._hold)

    def close(self) -> None:
        self._database.close(self)

    def holder(self, connection: Connection) -> str:
        return self._database.hold(self)

    def lives(self, connection: Connection, mark: str) -> bool:
        """Another process cannot have the file open: only this one's own sessions are alive."""
        return mark in self._database.holders

    def column_type(self, field: pa.Field) -> Part:
        return types.column_type(field)

    def columns(self, connection: Connection, table: Identifier) -> pa.Schema | None:
        """Names that differ only by case are one name here.

        What the table itself says: catalogue functions list all columns of all tables first.
        """
        found = _ours(connection).described(table)
        if found is None:
            return None
        kinds = {name: {KIND: type.lower().encode()} for name, type in found if type in ("JSON", "UUID")}
        arrow = self._arrow(connection, table, [type for _, type in found])
        return pa.schema([pa.field(name, arrow[type], metadata=kinds.get(name)) for name, type in found])

    def _arrow(self, connection: Connection, table: Identifier, kinds: Sequence[str]) -> dict[str, pa.DataType]:
        """The Arrow type that each of the engine's types comes back as."""
        if any(kind not in _ARROW for kind in kinds):
            reader = connection.reader(SQL("select * from {table} limit 0").format(table=table))
            assert reader is not None
            _ARROW.update(zip(kinds, (types.native(field.type) for field in reader.schema), strict=True))
            reader.read_all()
        return _ARROW

    def tables(self, connection: Connection, namespace: str) -> set[str]:
        statement = SQL(
            "select table_name from duckdb_tables() where database_name = current_database() "
            "and {called} "
            "union all "
            "select view_name from duckdb_views() where database_name = current_database() "
            "and {called}"
        )
        return {name for (name,) in connection.rows(statement.format(called=called("schema_name", namespace)))}

    def is_table(self, connection: Connection, table: Identifier) -> bool:
        """It is there, and no view of that name is."""
        return not connection.rows(a_view(table)) and _ours(connection).described(table) is not None

    def create_namespace(self, connection: Connection, namespace: str) -> None:
        if not self.namespace_exists(connection, namespace):
            connection.run(SQL("create schema {name}").format(name=Identifier(namespace)))

    def namespace_exists(self, connection: Connection, namespace: str) -> bool:
        statement = SQL("select 1 from duckdb_schemas() where database_name = current_database() and {called}")
        return bool(connection.rows(statement.format(called=called("schema_name", namespace))))

    def widen(self, connection: Connection, table: Identifier, field: pa.Field, empty: bool = False) -> None:
        """Views find their tables by name and stay; indexes go and come back in the same transaction."""
        indexes = self._indexes(connection, table)
        try:
            if any(field.name in expressions for _, _, expressions in indexes):
                self._rebuild(connection, table, field, empty)
            else:
                for name, _, _ in indexes:
                    connection.run(SQL("drop index {name}").format(name=Identifier(*table.names[:-1], name)))
                self._alter(connection, table, field, self._value(connection, table, field, empty))
            for _, create, _ in indexes:
                connection.run(SQL(create))
        except WherryError as error:
            raise SchemaError(
                f"column {field.name} of table {table.names[-1]} cannot become {field.type}: {error.message}",
                next="drop what depends on the column, or rebuild the table with --full-refresh",
            ) from error

    def _value(self, connection: Connection, table: Identifier, field: pa.Field, empty: bool) -> Part:
        """What the column holds, for its new type: objects and lists become JSON texts, which a cast does not make."""
        if empty:
            return SQL("null")
        column, known = Identifier(field.name), self.columns(connection, table)
        nested = known is not None and pa.types.is_nested(known.field(field.name).type)
        if nested and pa.types.is_string(field.type):
            return SQL("to_json({column})::varchar").format(column=column)
        return column

    def _alter(self, connection: Connection, table: Identifier, field: pa.Field, value: Part) -> None:
        statement = SQL("alter table {table} alter column {column} type {type} using {value}::{type}")
        column = Identifier(field.name)
        connection.run(statement.format(table=table, column=column, type=self.column_type(field), value=value))

    def _rebuild(self, connection: Connection, table: Identifier, field: pa.Field, empty: bool) -> None:
        """Copy the table with the wider column: a column that an index of the same transaction held cannot change."""
        schema, name = table.names
        where = self._here(table)
        constraints = SQL("select constraint_text from duckdb_constraints() where {where}").format(where=where)
        if found := connection.rows(constraints):
            raise SchemaError(f"constraint {found[0][0]} depends on it")
        columns = connection.rows(
            SQL("select column_name, comment from duckdb_columns() where {where} order by column_index").format(
                where=where
            )
        )
        comment = connection.rows(SQL("select comment from duckdb_tables() where {where}").format(where=where))[0][0]
        aside = Identifier(schema, f"_wherry_wide_{uuid.uuid4().hex}")
        column = Identifier(field.name)
        wide = SQL("cast({value} as {type}) as {column}").format(
            value=self._value(connection, table, field, empty), column=column, type=self.column_type(field)
        )
        values = [wide if column == field.name else Identifier(column) for column, _ in columns]
        create = SQL("create table {aside} as select {values} from {table}")
        connection.run(create.format(aside=aside, values=values, table=table))
        connection.run(SQL("drop table {table}").format(table=table))
        connection.run(SQL("alter table {aside} rename to {name}").format(aside=aside, name=Identifier(name)))
        if comment is not None:
            connection.run(SQL("comment on table {table} is {text}").format(table=table, text=Literal(comment)))
        for column, text in columns:
            if text is not None:
                place = Identifier(schema, name, column)
                connection.run(SQL("comment on column {place} is {text}").format(place=place, text=Literal(text)))

    def _indexes(self, connection: Connection, table: Identifier) -> Sequence[tuple[str, str, str]]:
        """(name, statement that makes it, what it covers)."""
        if len(table.names) < 2:
            return ()
        statement = SQL("select index_name, sql, expressions from duckdb_indexes() where {where} and sql is not null")
        return connection.rows(statement.format(where=self._here(table)))

    def _here(self, table: Identifier) -> Part:
        """The catalog's rows of a table of this file."""
        return SQL("database_name = current_database() and schema_name = {schema} and table_name = {table}").format(
            schema=Literal(table.names[0]), table=Literal(table.names[1])
        )

    def swappable(self, connection: Connection, table: Identifier, rebuilt: Identifier) -> bool:
        """No index, constraint, default or comment, and the very same columns; views find their tables by name.

        A few rows are copied sooner than all that is looked up.
        """
        few = SQL("select count(*) <= {few} from {rebuilt}").format(few=Literal(_FEW), rebuilt=rebuilt)
        columns = _ours(connection).described
        if connection.rows(few)[0][0] or columns(table) != columns(rebuilt):
            return False
        where = self._here(table)
        marks = SQL(
            "select (select count(*) from duckdb_indexes() where {where}), "
            "(select count(*) from duckdb_constraints() where {where}), "
            "(select count(*) from duckdb_columns() where {where} and (comment is not null or "
            "column_default is not null)), (select count(*) from duckdb_tables() where {where} and comment is not null)"
        )
        return not any(connection.rows(marks.format(where=where))[0])

    def now(self) -> Part:
        return SQL("epoch_us(get_current_timestamp())")

    def moment(self, micros: Part) -> Part:
        return SQL("make_timestamptz({micros})").format(micros=micros)

    def micros(self, moment: Part) -> Part:
        return SQL("epoch_us({moment})").format(moment=moment)
