"""What a row is known by when it is read again: a digest of each value, whatever type its column has by then.

A number is written without zeros that say nothing, a time in nanoseconds, so that 7 stays 7 when its column has become
a decimal or text, and a timestamp when its column has become finer. NULLs are left out, so that a column that appears
later changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa

from wherry.contracts.values import OP, UNSET

Cells = tuple[tuple[str, str], ...]
"""(column, digest of its value), by column; NULLs left out."""

WIDTH = 12
"""Hex digits of a cell's digest."""

_NANOSECONDS = {"D": 86_400 * 10**9, "s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


def unit(type: pa.DataType) -> str | None:
    """The unit that a date's or time's number counts; None for other types."""
    if pa.types.is_date32(type):
        return "D"
    if pa.types.is_date64(type):
        return "ms"
    return str(type.unit) if pa.types.is_timestamp(type) or pa.types.is_time(type) else None


def rescale(number: int, old: str, new: str) -> int | None:
    """A count of `old` units in `new` ones; None if that is no whole number."""
    value, rest = divmod(number * _NANOSECONDS[old], _NANOSECONDS[new])
    return None if rest else value


def numbers(schema: pa.Schema) -> set[str]:
    """Columns of numbers."""
    return {f.name for f in schema if _is_number(f.type)}


def cells(batch: pa.RecordBatch, indices: list[int], was_number: Collection[str] = ()) -> list[Cells]:
    """The cells of some rows. was_number: columns that held numbers before; one that is text now is read as such."""
    names = sorted(n for n in batch.schema.names if n not in (OP, UNSET))
    rows = batch.select(names).take(pa.array(indices, pa.int64()))
    columns = [_texts(rows.column(i), name in was_number) for i, name in enumerate(names)]
    return [
        tuple((name, _digest(text)) for name, text in zip(names, row, strict=True) if text is not None)
        for row in zip(*columns, strict=True)
    ]


def whole(row: Cells) -> str:
    """One digest for the row."""
    return hashlib.blake2b(repr(row).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=WIDTH // 2).hexdigest()


def _texts(column: pa.Array, was_number: bool) -> list[str | None]:
    if counted := unit(column.type):
        width = pa.int32() if column.type.bit_width == 32 else pa.int64()
        values = column.cast(width).to_pylist()
        return [None if v is None else str(v * _NANOSECONDS[counted]) for v in values]
    if pa.types.is_string(column.type):
        texts = _strings(column)
        return [None if v is None else _number(v) for v in texts] if was_number else texts
    return [None if v is None else _text(v) for v in column.to_pylist()]


def _strings(column: pa.Array) -> list[str | None]:
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:  # it will be rejected, and is to be known again all the same
        return [
            None if v is None else v.decode("utf-8", "surrogateescape") for v in column.cast(pa.binary()).to_pylist()
        ]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float | Decimal):
        return _number(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        members = [f"{name!r}:{_text(v)!r}" for name, v in sorted(value.items()) if v is not None]
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join("" if v is None else repr(_text(v)) for v in value) + "]"
    return str(value)


def _number(value: Any) -> str:
    """Its digits, without zeros at the end of a fraction; a text that is no number as it is."""
    try:
        number = Decimal(repr(value) if isinstance(value, float) else value)
    except InvalidOperation:
        return str(value)
    if not number.is_finite():
        return str(value).lower()
    text = f"{number:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _is_number(type: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type) or pa.types.is_decimal(type) or pa.types.is_floating(type))
