"""Type names that users write (`--type COL=T`) and readers see, and their Arrow types."""

from __future__ import annotations

import re

import pyarrow as pa

from wherry.contracts.values import KIND
from wherry.errors import UsageError

_NAMES: dict[str, pa.DataType] = {
    "text": pa.utf8(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "bool": pa.bool_(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", "UTC"),
    "binary": pa.binary(),
    "json": pa.utf8(),
    "uuid": pa.utf8(),
}
_ALIASES = {
    "string": "text",
    "integer": "int",
    "long": "bigint",
    "float": "double",
    "boolean": "bool",
    "bytes": "binary",
}
_DECIMAL = re.compile(r"^(?:decimal|numeric)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)$")


def parse(text: str, column: str) -> pa.Field:
    """A field named `column` of the type a user wrote, e.g. "decimal(12,2)"."""
    name = text.strip().lower()
    match = _DECIMAL.match(name)
    if match and 1 <= int(match[1]) <= 38:
        return pa.field(column, pa.decimal128(int(match[1]), int(match[2] or 0)))
    name = _ALIASES.get(name, name)
    if name not in _NAMES:
        raise UsageError(
            f"type {text!r} for column {column!r} is not known", next=f"one of {', '.join(_NAMES)}, decimal(p,s)"
        )
    metadata = {KIND: name.encode()} if name in ("json", "uuid") else None
    return pa.field(column, _NAMES[name], metadata=metadata)


def show(field: pa.Field) -> str:
    """A field's type for people: "timestamptz", "decimal(12,2)", "text"."""
    kind = (field.metadata or {}).get(KIND)
    if kind:
        return str(kind.decode())
    t = field.type
    if pa.types.is_decimal(t):
        return f"decimal({t.precision},{t.scale})"
    if pa.types.is_timestamp(t):
        return "timestamp" if t.tz is None else "timestamptz"
    if pa.types.is_date(t) or pa.types.is_time(t):
        return "date" if pa.types.is_date(t) else "time"
    return next((n for n, known in _NAMES.items() if known.equals(t)), str(t))
