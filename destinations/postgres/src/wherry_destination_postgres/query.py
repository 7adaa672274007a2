"""One statement and its rows as Arrow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import psycopg
import pyarrow as pa
from wherry import SQL, Identifier, Literal, Part

from wherry_destination_postgres import decode, types

if TYPE_CHECKING:
    from wherry_destination_postgres.connection import PostgresConnection

_READS = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/|\()*(select|with|values|table)\b", re.IGNORECASE | re.DOTALL)


def answer(connection: PostgresConnection, statement: Part) -> pa.RecordBatchReader | None:
    """The statement's rows; None when it has no columns. They come while the connection is kept for them."""
    connection.settle()
    query = Verbatim(statement)
    if not _READS.match(query.text):
        return _small(connection, query)
    schema, columns = _describe(connection, query)
    if not columns:
        return _small(connection, query)
    items = [decode.item(Identifier("q", name), field) for name, field in zip(columns, schema, strict=True)]
    copy = SQL("copy (select {items} from ({query}\n) as q ({columns})) to stdout (format csv)").format(
        items=items, query=query, columns=[Identifier(name) for name in columns]
    )
    try:
        pieces = _pieces(connection, copy)
        first = next(pieces, None)
    except psycopg.errors.FeatureNotSupported:  # WITH that changes data stands only at the top
        return _small(connection, query)
    except psycopg.Error as error:
        with connection.translating(copy):
            raise error
    return pa.RecordBatchReader.from_batches(schema, decode.batches(_chain(connection, copy, first, pieces), schema))


class Verbatim(Part):
    """A statement as the user wrote it, without what ends it."""

    def __init__(self, statement: Part) -> None:
        from wherry_destination_postgres.connection import QUOTING

        self.text = statement.render(QUOTING).strip().rstrip(";").rstrip()

    def render(self, quoting: Any) -> str:
        return self.text


def _describe(connection: PostgresConnection, query: Verbatim) -> tuple[pa.Schema, list[str]]:
    """Result columns without running the query; and names for them that are unique."""
    session = connection.session.pgconn
    with connection.translating(query):
        for result in (session.prepare(b"", query.text.encode()), session.describe_prepared(b"")):
            if result.status not in (psycopg.pq.ExecStatus.COMMAND_OK, psycopg.pq.ExecStatus.TUPLES_OK):
                raise psycopg.errors.error_from_result(result, "utf-8")
    found = [((result.fname(i) or b"").decode(), result.ftype(i), result.fmod(i)) for i in range(result.nfields)]
    if not found:  # a SELECT of nothing is one
        return pa.schema([]), []
    values = [SQL("format_type({oid}, {mod})").format(oid=Literal(oid), mod=Literal(mod)) for _, oid, mod in found]
    kinds = connection.rows(SQL("select {values}").format(values=values))[0]
    fields = [types.arrow_field(name, kind) for (name, _, _), kind in zip(found, kinds, strict=True)]
    return pa.schema(fields), [f"c{i}" for i in range(len(fields))]


def _pieces(connection: PostgresConnection, copy: Part) -> Iterator[Any]:
    from wherry_destination_postgres.connection import text

    with connection.session.cursor() as cursor, cursor.copy(text(copy)) as pieces:
        yield from pieces


def _chain(connection: PostgresConnection, copy: Part, first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    with connection.translating(copy):
        if first is not None:
            yield first
            yield from rest


def _small(connection: PostgresConnection, query: Verbatim) -> pa.RecordBatchReader | None:
    """SHOW, EXPLAIN, RETURNING: a handful of rows, each column in its own type where that is plain, else as text."""
    with connection.cursor(query) as cursor:
        if cursor.description is None:
            return None
        rows, columns = cursor.fetchall(), [column.name for column in cursor.description]
    arrays = [_column([row[i] for row in rows]) for i in range(len(columns))]
    batch = pa.RecordBatch.from_arrays(arrays, columns)
    return pa.RecordBatchReader.from_batches(batch.schema, [batch])


def _column(values: list[Any]) -> Any:
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) == 1 and kinds <= {bool, int, float}:
        return pa.array(values)
    return pa.array([None if value is None else str(value) for value in values], pa.utf8())
