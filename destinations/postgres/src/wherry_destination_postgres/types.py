"""Arrow types and PostgreSQL types, both ways; each pair holds every value exactly, or is not a pair."""

from __future__ import annotations

import re

import pyarrow as pa
from wherry import KIND, SQL, Literal, Part

TZ = pa.timestamp("us", "UTC")

_NAMES: dict[pa.DataType, str] = {
    pa.bool_(): "boolean",
    pa.int16(): "smallint",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.float32(): "real",
    pa.float64(): "double precision",
    pa.date32(): "date",
    pa.time64("us"): "time without time zone",
    pa.timestamp("us"): "timestamp without time zone",
    TZ: "timestamp with time zone",
    pa.duration("us"): "interval",
    pa.binary(): "bytea",
    pa.utf8(): "text",
}
_TYPES = {name: kind for kind, name in _NAMES.items()}
_NEXT: dict[pa.DataType, pa.DataType] = {  # to the narrowest type that holds them all
    pa.int8(): pa.int16(),
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
    pa.float16(): pa.float32(),
}


def storage(field: pa.Field) -> tuple[pa.DataType, ...]:
    """How a column is kept: the narrowest type that holds its family exactly, then utf8."""
    first = _first(field.type)
    return (pa.utf8(),) if first is None else (first, pa.utf8())


def _first(kind: pa.DataType) -> pa.DataType | None:
    t = pa.types
    if t.is_dictionary(kind):
        return _first(kind.value_type)
    if t.is_decimal(kind):
        return _decimal(kind.precision, kind.scale)
    if t.is_timestamp(kind):
        return TZ if kind.tz else pa.timestamp("us")
    if t.is_date(kind):
        return pa.date32()
    if t.is_time(kind):
        return pa.time64("us")
    if t.is_duration(kind):
        return pa.duration("us")
    if t.is_binary(kind) or t.is_large_binary(kind) or t.is_fixed_size_binary(kind) or t.is_binary_view(kind):
        return pa.binary()
    if t.is_boolean(kind) or t.is_integer(kind) or t.is_floating(kind):
        return _NEXT.get(kind, kind)
    return None


def _decimal(precision: int, scale: int) -> pa.DataType | None:
    """With a scale from 0 to precision, as every version of the engine wants it: the same values, zeros written out."""
    whole, scale = max(precision - scale, 0), max(scale, 0)
    precision = max(whole + scale, 1)
    if precision > 76:
        return None
    return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)


def column_type(field: pa.Field) -> Part:
    """The engine's type for a column of a storage type, or of what is kept as one."""
    field = field.with_type(_first(field.type) or pa.utf8())
    if pa.types.is_decimal(field.type):
        return SQL("numeric({p},{s})").format(p=Literal(field.type.precision), s=Literal(field.type.scale))
    if field.type == pa.utf8():
        return SQL({b"json": "json", b"uuid": "uuid"}.get((field.metadata or {}).get(KIND, b""), "text"))
    return SQL(_NAMES[field.type])


def arrow_field(name: str, column: str, nullable: bool = True) -> pa.Field:
    """The storage field of a column whose type `format_type` prints as `column`; text for types that are not ours."""
    if match := re.fullmatch(r"numeric\((\d+),(-?\d+)\)", column):
        return pa.field(name, _decimal(int(match[1]), int(match[2])) or pa.utf8(), nullable)
    if column in ("json", "jsonb", "uuid"):
        return pa.field(name, pa.utf8(), nullable, metadata={KIND: column.removesuffix("b").encode()})
    plain = re.sub(r"\(\d+\)", "", column)  # timestamp(3), interval(0)
    return pa.field(name, _TYPES.get(plain, pa.utf8()), nullable)
