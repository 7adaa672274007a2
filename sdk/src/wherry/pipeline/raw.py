"""A row as JSON text that says every value exactly, and back: what `<table>__rejected` keeps of it.

What JSON cannot say: integers beyond 2^53 and decimals are texts of their digits, NaN and infinities the texts "NaN",
"Infinity", "-Infinity", bytes `\\x` and hex digits, moments and times ISO texts; a text that is not UTF-8 is
`{"$hex": …}`, durations and moments that no ISO text says `{"$us": n}`, a count of their unit. Half of a surrogate pair
stays an escape. Maps are arrays of pairs.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from wherry.errors import DataError

LARGEST = 64 << 20
"""Bytes that one row may take: a larger one cannot be set aside, and stops the stream."""
_SURE = 2**53
_COUNT = re.compile(r"^\$(?:D|s|ms|us|ns)$")


class Number(str):
    """The literal of a number that is no integer."""

    __slots__ = ()


def texts(batch: pa.RecordBatch) -> list[str]:
    """One JSON object a row, by column name; raises `DataError` for a row larger than `LARGEST`."""
    columns = [says(column) for column in batch.columns]
    found = []
    for place, row in enumerate(zip(*columns, strict=True)):
        text = dumps(dict(zip(batch.schema.names, row, strict=True)))
        if len(text) > LARGEST:
            raise DataError(
                f"a rejected row takes more than {LARGEST >> 20} MiB: it cannot be set aside", row=place,
                next="correct it at the source, or leave the column out: --columns",
            )  # fmt: skip
        found.append(text)
    return found


def dumps(value: Any) -> str:
    """JSON text that any engine takes as text: half of a surrogate pair stays an escape."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value)
    return text


def loads(text: str) -> dict[str, Any]:
    """The object that `texts` wrote, literals of fractions kept; raises ValueError for what is no JSON object."""
    found = json.loads(text, parse_float=Number)
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    return found


def says(column: pa.Array, *, whole: bool = False) -> list[Any]:
    """Each value as JSON says it; None for NULL. whole: integers of any size stay numbers."""
    t, is_ = column.type, pa.types
    if is_.is_null(t) or is_.is_boolean(t):
        return list(column.to_pylist())
    if is_.is_integer(t):
        return [v if whole or v is None or -_SURE <= v <= _SURE else str(v) for v in column.to_pylist()]
    if is_.is_floating(t):
        return [_float(v) for v in column.to_pylist()]
    if is_.is_string(t):
        return [None if v is None else _text(v) for v in column.cast(pa.binary()).to_pylist()]
    if is_.is_binary(t) or is_.is_fixed_size_binary(t):
        return [None if v is None else "\\x" + v.hex() for v in column.to_pylist()]
    if is_.is_nested(t):
        return _nested(column, whole)
    if is_.is_temporal(t) and not is_.is_interval(t):
        return _times(column)
    if is_.is_interval(t):
        return [None if v is None else list(v) for v in column.to_pylist()]
    return [None if v is None else str(v) for v in column.to_pylist()]


def _float(value: float | None) -> float | str | None:
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _text(value: bytes) -> Any:
    try:
        return value.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return {"$hex": value.hex()}


def _nested(column: pa.Array, whole: bool) -> list[Any]:
    t = column.type
    valid = column.is_valid().to_pylist()
    if pa.types.is_struct(t):
        members = [says(column.field(i), whole=whole) for i in range(t.num_fields)]
        names = [t.field(i).name for i in range(t.num_fields)]
        rows: list[Any] = [dict(zip(names, row, strict=True)) for row in zip(*members, strict=True)]
        rows = rows or [{} for _ in valid]
        return [row if ok else None for row, ok in zip(rows, valid, strict=True)]
    if pa.types.is_map(t):
        column = column.cast(pa.list_(pa.struct([("key", t.key_type), ("value", t.item_type)])))
        pairs = _nested(column, whole)
        return [None if row is None else [[pair["key"], pair["value"]] for pair in row] for row in pairs]
    values, found, at = says(column.flatten(), whole=whole), list[Any](), 0
    for length in pc.list_value_length(column).to_pylist():
        found.append(None if length is None else values[at : at + length])
        at += length or 0
    return found


def _times(column: pa.Array) -> list[Any]:
    t = column.type
    unit = "D" if pa.types.is_date32(t) else "ms" if pa.types.is_date64(t) else str(t.unit)
    wide = pa.int32() if t.bit_width == 32 else pa.int64()
    counts = column.cast(wide).to_pylist()
    if pa.types.is_duration(t):
        return [None if n is None else {"$" + unit: n} for n in counts]
    shown = column.cast(pa.utf8()).to_pylist()
    return [
        None if n is None else text if text[:1].isdigit() and _back(text, t) == n else {"$" + unit: n}
        for n, text in zip(counts, shown, strict=True)
    ]


def _back(text: str, t: pa.DataType) -> int | None:
    """What the text is read as, in units."""
    try:
        return parse([text], t).cast(pa.int32() if t.bit_width == 32 else pa.int64())[0].as_py()  # type: ignore[no-any-return]
    except (pa.ArrowException, ValueError):
        return None


def parse(values: Sequence[Any], to: pa.DataType) -> pa.Array:
    """JSON values as an array of a type, each exactly; raises ValueError or an Arrow error where one is not of it."""
    is_ = pa.types
    if is_.is_list(to) or is_.is_large_list(to):
        return _lists(values, to)
    if is_.is_struct(to):
        return _structs(values, to)
    if is_.is_map(to):
        return _maps(values, to)
    if is_.is_interval(to):
        return pa.array([None if v is None else pa.MonthDayNano(v) for v in values], to)
    if is_.is_binary(to) or is_.is_fixed_size_binary(to):
        return pa.array([None if v is None else _bytes(v) for v in values], to)
    if is_.is_string(to):
        return pa.array([None if v is None else _as_text(v) for v in values], to)
    if any(_is_count(v) for v in values):
        return _counted(values, to)
    return _scalars(values, to)


def _scalars(values: Sequence[Any], to: pa.DataType) -> pa.Array:
    if all(v is None for v in values):
        return pa.nulls(len(values), to)
    literals = pa.array([None if v is None else _as_text(v) for v in values], pa.utf8())
    if pa.types.is_time(to):
        day = pc.binary_join_element_wise(pa.scalar("1970-01-01"), literals, " ")
        return day.cast(pa.timestamp(to.unit)).cast(to)
    found = literals.cast(to)
    if (
        pa.types.is_floating(to)
        and pc.any(pc.and_(pc.is_inf(found), pc.match_substring_regex(literals, "[0-9]"))).as_py()
    ):
        raise ValueError("a number too large")
    return found


def _counted(values: Sequence[Any], to: pa.DataType) -> pa.Array:
    """Some are counts of a unit: as integers, where the type counts in that unit."""
    parts = [
        _count(next(iter(v.values())), _counting(v, to)).cast(to) if _is_count(v) else _scalars([v], to) for v in values
    ]
    return pa.concat_arrays(parts)


def _count(count: Any, to: pa.DataType) -> pa.Array:
    return pa.array([count], pa.int32() if to.bit_width == 32 else pa.int64()).cast(to)


def _counting(value: dict[str, Any], to: pa.DataType) -> pa.DataType:
    unit = next(iter(value))[1:]
    if pa.types.is_integer(to):
        return to
    kinds = {"D": pa.date32(), "s": pa.time32("s"), "ms": pa.time32("ms"), "us": pa.time64("us"), "ns": pa.time64("ns")}
    if pa.types.is_date(to) or pa.types.is_time(to):
        return kinds[unit]
    if pa.types.is_duration(to):
        return pa.duration(unit)
    if pa.types.is_timestamp(to):
        return pa.timestamp(unit, to.tz)
    raise ValueError("a count of time")


def _is_count(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1 and bool(_COUNT.match(next(iter(value))))


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, dict) and set(value) == {"$hex"}:
        raise ValueError("bytes that are no text")
    return json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Number):
        return float(value)
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list) else value


def _bytes(value: Any) -> bytes:
    if isinstance(value, str) and value.startswith("\\x"):
        return bytes.fromhex(value[2:])
    raise ValueError("bytes are written \\x and hex digits")


def _lists(values: Sequence[Any], to: pa.DataType) -> pa.Array:
    flat: list[Any] = []
    ends = [0]
    for value in values:
        if value is not None and not isinstance(value, list):
            raise ValueError("not an array")
        flat += value or ()
        ends.append(len(flat))
    mask = pa.array([v is None for v in values], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), parse(flat, to.value_type), type=to, mask=mask)


def _structs(values: Sequence[Any], to: pa.DataType) -> pa.Array:
    if any(v is not None and not isinstance(v, dict) for v in values):
        raise ValueError("not an object")
    members = [parse([None if v is None else v.get(f.name) for v in values], f.type) for f in to]
    mask = pa.array([v is None for v in values], pa.bool_())
    return pa.StructArray.from_arrays(members, fields=list(to), mask=mask)


def _maps(values: Sequence[Any], to: pa.DataType) -> pa.Array:
    flat: list[Any] = []
    ends: list[int | None] = []
    for value in values:
        ends.append(None if value is None else len(flat))
        flat += value or ()
    keys, items = parse([k for k, _ in flat], to.key_type), parse([v for _, v in flat], to.item_type)
    return pa.MapArray.from_arrays(pa.array([*ends, len(flat)], pa.int32()), keys, items)
