"""PostgreSQL types as Arrow types: exact, or refused by name.

What Arrow can hold without loss gets its Arrow type; nested values become JSON; everything else keeps the server's
own text. A value that the Arrow type cannot hold (infinity, a year beyond 9999, NaN in a numeric, 24:00:00) turns
the column into text while it is read: see `wherry_source_postgres.decode`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
from wherry import KIND

READ = b"postgres:read"
"""Field metadata: how the column is selected, if not as it is. b"hex", b"json", b"array" or b"refused"."""
TYPE = b"wherry:type"
"""Field metadata: the server's name of the type, with its modifiers: b"numeric(10,2)"."""
BASE = b"postgres:base"
"""Field metadata: the catalog name of a stock type below all domains and modifiers: b"numeric"."""
QUERY = b"postgres:query"
"""Schema metadata: the SQL of a stream that is a query."""
INDEX = b"wherry:index"
"""Field metadata: b"1" on a column that leads an index in which it can be searched and sorted."""

FREE_NUMERIC = pa.decimal128(38, 9)
"""What a numeric without precision is offered as."""

_PLAIN = {
    "bool": pa.bool_(), "int2": pa.int16(), "int4": pa.int32(), "int8": pa.int64(), "oid": pa.int64(),
    "xid": pa.int64(), "cid": pa.int64(), "xid8": pa.decimal128(20, 0), "float4": pa.float32(), "float8": pa.float64(),
    "bytea": pa.binary(), "date": pa.date32(), "time": pa.time64("us"), "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", "UTC"),
}  # fmt: skip
_KINDS = {"uuid": b"uuid", "json": b"json", "jsonb": b"json"}
_INEXACT = {"gtsvector", "pg_brin_bloom_summary", "pg_brin_minmax_multi_summary"}
"""Types whose text leaves part of the value out."""
_VECTORS = {"int2vector", "oidvector"}
_ZONED = re.compile(r"^(timestamp|time)(\(\d\))? (with|without) time zone")
_SHORT = {
    "character varying": "varchar", "character": "char", "double precision": "float8", "real": "float4",
    "integer": "int4", "bigint": "int8", "smallint": "int2", "boolean": "bool", "bit varying": "varbit",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """One row of the catalog's types. kind: pg_type.typtype. array: printed by array_out. stock: in pg_catalog."""

    name: str
    kind: str
    stock: bool
    array: bool
    element: int
    base: int
    base_modifier: int
    attributes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """How a column is offered (type, kind) and selected (read). base: catalog name of its stock scalar type."""

    type: pa.DataType
    kind: bytes = b""
    read: bytes = b""
    base: str = ""


def reading(types: Mapping[int, TypeInfo], oid: int, modifier: int) -> Reading:
    """How to read a column of the type `oid` with the type modifier `modifier` (-1: none)."""
    info = types[oid]
    while info.kind == "d":
        modifier = info.base_modifier if modifier < 0 else modifier
        info = types[info.base]
    if info.array:
        return Reading(pa.string(), b"json", b"array") if _fits_json(types, info.element) else Reading(pa.string())
    if info.kind == "c":
        exact = all(_fits_json(types, attribute) for attribute in info.attributes)
        return Reading(pa.string(), b"json", b"json") if exact else Reading(pa.string())
    if info.name == "hstore" and not info.stock:
        return Reading(pa.string(), b"json", b"json")
    return _scalar(info.name, modifier) if info.stock else Reading(pa.string())


def short_name(formatted: str) -> str:
    """The server's `format_type` text in its shorter form: "timestamptz(3)"."""
    formatted = _ZONED.sub(lambda m: m[1] + ("tz" if m[3] == "with" else "") + (m[2] or ""), formatted)
    name, paren, rest = formatted.partition("(")
    plain, bracket, dimensions = name.partition("[")
    return _SHORT.get(plain, plain) + bracket + dimensions + paren + rest


def _scalar(name: str, modifier: int) -> Reading:
    if name in _INEXACT:
        return Reading(pa.string(), read=b"refused")
    type = _numeric(modifier) if name == "numeric" else _PLAIN.get(name, pa.string())
    return Reading(type, _KINDS.get(name, b""), b"hex" if name == "bytea" else b"", name)


def _numeric(modifier: int) -> pa.DataType:
    if modifier < 0:
        return FREE_NUMERIC
    precision = (modifier - 4) >> 16 & 0xFFFF
    scale = (((modifier - 4) & 0x7FF) ^ 1024) - 1024  # 11 bits with a sign
    digits = max(precision - min(scale, 0), scale)
    if digits > 76:
        return pa.string()
    return pa.decimal128(digits, max(scale, 0)) if digits <= 38 else pa.decimal256(digits, max(scale, 0))


def _fits_json(types: Mapping[int, TypeInfo], oid: int) -> bool:
    """Whether JSON keeps values of this type inside another: arrays and vectors there would lose their bounds."""
    info = types.get(oid)
    while info is not None and info.kind == "d":
        info = types.get(info.base)
    if info is None or info.array or info.name in _INEXACT | _VECTORS:
        return False
    return all(_fits_json(types, attribute) for attribute in info.attributes)


def field(name: str, how: Reading, formatted: str, nullable: bool, comment: str | None, leads: bool) -> pa.Field:
    """The Arrow field of a column, with what the reader and the command line need to know about it."""
    metadata = {
        KIND: how.kind,
        READ: how.read,
        TYPE: short_name(formatted).encode(),
        BASE: how.base.encode(),
        INDEX: b"1" if leads else b"",
        b"description": (comment or "").encode(),
    }
    return pa.field(name, how.type, nullable, {key: value for key, value in metadata.items() if value})
