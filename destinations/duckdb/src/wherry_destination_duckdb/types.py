"""Arrow types and the DuckDB columns that keep them.

Every Arrow type that DuckDB holds stays what it is. Written fallbacks: decimals of more than 38 digits become text;
half floats become floats; durations become the count of their unit; time zones other than UTC become UTC; layouts
(large, view, dictionary, run-end) are decoded; columns without a type become text.
"""

from __future__ import annotations

import pyarrow as pa
from wherry import KIND, SQL, Identifier, Part

HUGE = pa.decimal128(38, 0)
TEXT = pa.string()

_NAMES = {
    pa.bool_(): "boolean", pa.int8(): "tinyint", pa.int16(): "smallint", pa.int32(): "integer", pa.int64(): "bigint",
    pa.uint8(): "utinyint", pa.uint16(): "usmallint", pa.uint32(): "uinteger", pa.uint64(): "ubigint",
    pa.float32(): "float", pa.float64(): "double", pa.string(): "varchar", pa.binary(): "blob", pa.date32(): "date",
    pa.time64("us"): "time", pa.time64("ns"): "time_ns", pa.timestamp("s"): "timestamp_s",
    pa.timestamp("ms"): "timestamp_ms", pa.timestamp("us"): "timestamp", pa.timestamp("ns"): "timestamp_ns",
    pa.timestamp("us", "UTC"): "timestamptz", pa.timestamp("ns", "UTC"): "timestamptz_ns",
    pa.month_day_nano_interval(): "interval",
}  # fmt: skip


def storage(field: pa.Field) -> tuple[pa.DataType, ...]:
    """How a column is kept, best first, each later type holding more."""
    if kind(field):
        return (TEXT,)
    type = native(field.type)
    wider: list[pa.DataType] = []
    if pa.types.is_signed_integer(type):
        wider = [t for t in (pa.int16(), pa.int32(), pa.int64()) if t.bit_width > type.bit_width] + [HUGE]
    elif pa.types.is_unsigned_integer(type):
        wider = [t for t in (pa.uint16(), pa.uint32(), pa.uint64()) if t.bit_width > type.bit_width] + [HUGE]
    elif pa.types.is_decimal(type) and type.precision < 38:
        wider = [pa.decimal128(38, type.scale)]
    elif type == pa.float32():
        wider = [pa.float64()]
    return (type, *wider) if type == TEXT else (type, *wider, TEXT)


def kind(field: pa.Field) -> str:
    """ "json", "uuid", or "" for a column of its Arrow type."""
    return str((field.metadata or {}).get(KIND, b"").decode())


def native(type: pa.DataType) -> pa.DataType:
    """The type that DuckDB gives back for what it was given."""
    if type in _NAMES:
        return type
    if pa.types.is_dictionary(type) or pa.types.is_run_end_encoded(type):
        return native(type.value_type)
    if pa.types.is_float16(type):
        return pa.float32()
    if pa.types.is_decimal(type):
        return pa.decimal128(type.precision, type.scale) if _fits(type) else TEXT
    if pa.types.is_large_binary(type) or pa.types.is_fixed_size_binary(type) or pa.types.is_binary_view(type):
        return pa.binary()
    if pa.types.is_date(type):
        return pa.date32()
    if pa.types.is_time(type):
        return pa.time64("us")
    if pa.types.is_timestamp(type) and type.tz is not None:
        return pa.timestamp("ns" if type.unit == "ns" else "us", "UTC")
    if pa.types.is_duration(type):
        return pa.int64()
    return _nested(type)


def _nested(type: pa.DataType) -> pa.DataType:
    if pa.types.is_fixed_size_list(type):
        return pa.list_(_inside("item", type.value_field), type.list_size)
    if pa.types.is_list(type) or pa.types.is_large_list(type) or pa.types.is_list_view(type):
        return pa.list_(_inside("item", type.value_field))
    if pa.types.is_map(type):
        return pa.map_(native(type.key_type), native(type.item_type))
    if pa.types.is_struct(type) and type.num_fields:
        return pa.struct([_inside(child.name, child) for child in type])
    return TEXT


def _inside(name: str, child: pa.Field) -> pa.Field:
    return pa.field(name, native(child.type))


def _fits(type: pa.DataType) -> bool:
    return bool(0 <= type.scale <= type.precision <= 38)


def column_type(field: pa.Field) -> Part:
    """The DuckDB type of a storage field."""
    named = kind(field)
    return SQL(named) if named in ("json", "uuid") else _type(native(field.type))


def _type(type: pa.DataType) -> Part:
    if type in _NAMES:
        return SQL(_NAMES[type])
    if pa.types.is_decimal(type):
        return SQL("decimal({digits})").format(digits=[SQL(str(type.precision)), SQL(str(type.scale))])
    if pa.types.is_fixed_size_list(type):
        return SQL("{item}[{size}]").format(item=_type(type.value_type), size=SQL(str(type.list_size)))
    if pa.types.is_list(type):
        return SQL("{item}[]").format(item=_type(type.value_type))
    if pa.types.is_map(type):
        return SQL("map({key}, {item})").format(key=_type(type.key_type), item=_type(type.item_type))
    members = [SQL("{name} {type}").format(name=Identifier(child.name), type=_type(child.type)) for child in type]
    return SQL("struct({members})").format(members=members)
