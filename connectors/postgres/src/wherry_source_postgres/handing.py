"""Hand-overs: COPY in the server's binary form, for a destination that speaks it too.

The bytes go on as they are, so only columns go over whose binary form is that of the type their Arrow type stands for,
and only values that reading would have kept in that type.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing

import asyncpg
import pyarrow as pa
from wherry import KIND, SQL, HandOffRefused, Part, Piece, Quoting, Run, Selection, WherryError

from wherry_source_postgres import queries
from wherry_source_postgres.client import Client
from wherry_source_postgres.ranges import Size
from wherry_source_postgres.types import BASE, FREE_NUMERIC, TYPE, short_name

FORM = "pg-copy-binary"
_ALIKE = {
    "bool": pa.bool_(), "int2": pa.int16(), "int4": pa.int32(), "int8": pa.int64(), "float4": pa.float32(),
    "float8": pa.float64(), "bytea": pa.binary(), "date": pa.date32(), "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"), "timestamptz": pa.timestamp("us", "UTC"), "text": pa.string(),
    "varchar": pa.string(), "bpchar": pa.string(), "uuid": pa.string(), "json": pa.string(),
}  # fmt: skip
"""Stock types whose binary form a column of the Arrow type takes; beside them numeric with digits and scale."""
_NAN = b"\x00\x00\x00\x08\x00\x00\x00\x00\xc0\x00\x00\x00"
"""A numeric NaN, its length in front. Other values may hold the same bytes: then rows are read for nothing."""
_RARE = _NAN.index(b"\xc0")
_NONE = SQL("1 / (case when {any} then 0 else 1 end) is not null")
"""Which the planner takes to be true of nearly all rows: of few it would let several processes look for them."""
_STOCK = "select oid::int8 as oid, typname as name from pg_catalog.pg_type where oid = any($1::int8[]::oid[])"
_TYPES = """
select a.attname as name, format_type(a.atttypid, a.atttypmod) as type from pg_catalog.pg_attribute a
where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped
"""
_UTF8 = "select current_setting('server_encoding') = 'UTF8' as utf8"


def worth(selection: Selection, schema: pa.Schema, run: Run, size: Size | None) -> bool:
    """Whether the stream is to be handed over: its columns can be, and it is large enough. size: None for a view."""
    wanted = FORM in run.handoffs and selection.mode in ("append", "replace") and selection.limit is None
    if not wanted or selection.cursor or selection.types or not all(map(_is_alike, schema)):
        return False
    return run.least_handoff <= (size.bytes if size is not None else 0)


def pieces(client: Client, selection: Selection, schema: pa.Schema, block: int) -> Iterator[Piece | None]:
    """The rows inside a moving snapshot: the columns' names, blocks of bytes, the number of rows; None while nothing
    comes."""
    path = selection.stream.path
    if not client.fetch(_UTF8)[0]["utf8"]:
        raise HandOffRefused("the database's encoding is not UTF-8")
    exact = [field for field in schema if pa.types.is_decimal(field.type)]
    sql = queries.raw(selection, schema, _guard(schema))
    _refuse_altered(client, selection, schema, client.describe(queries.raw(selection, schema, None), path))
    yield Piece(stream=path, data={"columns": schema.names})
    try:
        with closing(client.copy(sql, block, path, binary=True)) as blocks:
            for data in blocks:
                if data and exact and may_hold_nan(data):
                    raise HandOffRefused("a numeric column may hold NaN")
                yield Piece(stream=path, data=data, size=len(data)) if data else None
    except WherryError as error:
        if isinstance(error.__cause__, asyncpg.DivisionByZeroError):
            raise HandOffRefused("a time lies outside of the years 1 to 9999") from error
        raise
    yield Piece(stream=path, data=b"", rows=client.copied)


def _refuse_altered(client: Client, selection: Selection, schema: pa.Schema, described: list[tuple[str, int]]) -> None:
    """Raise unless the columns have the types that the stream was offered with: bytes do not tell of what they are.

    described: the statement's columns, after which nobody alters them until the end of the transaction.
    """
    stock = {row["oid"]: row["name"] for row in client.fetch(_STOCK, [oid for _, oid in described])}
    found = [stock.get(oid, "").encode() for _, oid in described]
    wanted = [(field.metadata or {}).get(BASE, b"") for field in schema]
    if queries.query_of(selection) is None:
        path = queries.table(selection).render(Quoting())
        now = {row["name"]: short_name(row["type"]).encode() for row in client.fetch(_TYPES, path)}
        found += [now.get(field.name, b"") for field in schema]
        wanted += [(field.metadata or {}).get(TYPE, b"") for field in schema]
    if found != wanted:
        raise HandOffRefused("a column was altered since the stream was discovered")


def may_hold_nan(data: bytes) -> bool:
    """Whether the bytes of a numeric NaN are among these: looked for by the rarest of them, as long as it is rare."""
    at = data.find(_NAN[_RARE])
    for _ in range(len(data) >> 10):
        if at < 0 or data.startswith(_NAN, max(0, at - _RARE)):
            return at >= 0
        at = data.find(_NAN[_RARE], at + 1)
    return at >= 0 and _NAN in data


def _is_alike(field: pa.Field) -> bool:
    base = (field.metadata or {}).get(BASE, b"").decode()
    if base == "numeric":
        return bool(pa.types.is_decimal(field.type)) and field.type != FREE_NUMERIC
    kind = (field.metadata or {}).get(KIND, b"").decode()
    return bool(_ALIKE.get(base) == field.type) and kind == (base if base in ("uuid", "json") else "")


def _guard(schema: Iterable[pa.Field]) -> Part | None:
    """A condition that fails for values which reading turns into text; NaN is looked for in the bytes."""
    known = [queries.unfit(field) for field in schema if not pa.types.is_decimal(field.type)]
    found = [condition for condition in known if condition is not None]
    return _NONE(any=SQL(" or ").join(found)) if found else None
