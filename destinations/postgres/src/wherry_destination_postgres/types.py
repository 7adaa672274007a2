"""Arrow types and PostgreSQL types, both ways; each pair holds every value exactly, or is not a pair."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
import pyarrow.compute as _compute
from wherry import KIND, SQL, Literal, Part

pc: Any = _compute
TZ = pa.timestamp("us", "UTC")
DATES = (-2_440_588, 2_145_031_948)  # 4714-11-24 BC, 5874897-12-31
TIMES = (-210_866_803_200_000_000, 2**63 - 1)  # 4714-11-24 BC; the end of 294276 is beyond Arrow

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


def refuses(column: pa.Array) -> tuple[pa.Array, str] | None:
    """Values of a column in its storage type that the engine cannot keep: (mask, why); None: it keeps them all."""
    if pa.types.is_string(column.type):
        return _refuses_nul(column)
    if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
        date = pa.types.is_date(column.type)
        count = column.view(pa.int32()).cast(pa.int64()) if date else column.view(pa.int64())
        low, high = DATES if date else TIMES
        bounds = pc.min_max(count).as_py()
        if bounds["min"] is not None and (bounds["min"] < low or bounds["max"] > high):
            mask = pc.or_(pc.less(count, low), pc.greater(count, high))
            return mask, "a time before 4714 BC or after the year 5874897, which the server cannot hold"
    return None


def _refuses_nul(column: pa.Array) -> tuple[pa.Array, str] | None:
    _, offsets, data = column.buffers()
    if data is None or not len(column):
        return None
    bounds = pa.Array.from_buffers(pa.int32(), len(column) + 1, [None, offsets], offset=column.offset)
    start, end = bounds[0].as_py(), bounds[-1].as_py()
    if b"\0" not in data.slice(start, end - start).to_pybytes():
        return None
    return pc.match_substring(column, "\0"), "text with a NUL character, which the server cannot hold"


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


def name(kind: pa.DataType) -> str | None:
    """What `format_type` prints for the column of a storage type; None for decimals and for what is no storage type."""
    return _NAMES.get(kind)


def integer(column: str) -> pa.DataType | None:
    """The integers of a column whose type `format_type` prints so; None when it is of another type."""
    found = _TYPES.get(column)
    return found if found is not None and pa.types.is_integer(found) else None


def arrow_field(name: str, column: str, nullable: bool = True) -> pa.Field:
    """The storage field of a column whose type `format_type` prints as `column`; text for types that are not ours."""
    if match := re.fullmatch(r"numeric\((\d+),(-?\d+)\)", column):
        return pa.field(name, _decimal(int(match[1]), int(match[2])) or pa.utf8(), nullable)
    if column in ("json", "jsonb", "uuid"):
        return pa.field(name, pa.utf8(), nullable, metadata={KIND: column.removesuffix("b").encode()})
    plain = re.sub(r"\(\d+\)", "", column)  # timestamp(3), interval(0)
    return pa.field(name, _TYPES.get(plain, pa.utf8()), nullable)
