"""The type lattice: which Arrow type holds the values of two, and casts that change no value.

    null < everything
    int8 < int16 < int32 < int64 < decimal(p, s) < utf8         uint64 with a signed integer: decimal(20, 0)
    float32 < float64; up to int32 fits float64                 int64 or decimal with float: only value by value
    date < timestamp[s] < [ms] < [us] < [ns]                    with and without zone: utf8
    time units the same; list and struct member by member; nested with scalar: utf8 holding JSON
    binary with anything else: not allowed

Each step keeps every value exactly, so text made of an old value is the value's own literal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from wherry.errors import SchemaError
from wherry.pipeline import raw

_INT_DIGITS = {8: 3, 16: 5, 32: 10, 64: 19}
_UNITS = ("s", "ms", "us", "ns")


class InexactError(ValueError):
    """A value does not fit the type without a change. row: its position in the array, from 0."""

    def __init__(self, row: int):
        super().__init__(f"row {row} does not fit")
        self.row = row


def join(a: pa.DataType, b: pa.DataType) -> pa.DataType | None:
    """The smallest type that holds every value of both; None where that depends on the values (number and float)."""
    if a.equals(b) or pa.types.is_null(b):
        return a
    if pa.types.is_null(a):
        return b
    for family, rule in _FAMILIES:
        if family(a) and family(b):
            return rule(a, b)
    if _is_number(a) and _is_number(b):
        return _join_float(a, b)
    if pa.types.is_date(a) and pa.types.is_timestamp(b):
        return b if b.tz is None else pa.utf8()
    if pa.types.is_date(b) and pa.types.is_timestamp(a):
        return a if a.tz is None else pa.utf8()
    if _is_binary(a) != _is_binary(b):
        raise SchemaError(f"{a} and {b} have no common type: bytes are not turned into text")
    return pa.utf8()


def exact_cast(array: pa.Array, to: pa.DataType) -> pa.Array:
    """The array as `to`, each value unchanged; raises `InexactError` with the first row that does not fit."""
    if array.type.equals(to):
        return array
    if pa.types.is_string(to) and pa.types.is_nested(array.type):
        return _to_json(array)
    if pa.types.is_nested(to) and not pa.types.is_null(array.type):
        return _cast_nested(array, to)
    try:
        result = array.cast(to, safe=True)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise InexactError(_first_bad(array, to)) from None
    if _may_round(array.type, to):
        same = pc.fill_null(_equal(result.cast(array.type, safe=False), array), True)
        if not pc.all(same, min_count=0).as_py():
            raise InexactError(pc.index(same, False).as_py())
    return result


def inexact_rows(array: pa.Array, to: pa.DataType) -> list[int]:
    """Positions of all values that `exact_cast` refuses."""
    try:
        exact_cast(array, to)
    except InexactError:
        if len(array) == 1:
            return [0]
        middle = len(array) // 2
        left, right = inexact_rows(array.slice(0, middle), to), inexact_rows(array.slice(middle), to)
        return left + [middle + row for row in right]
    return []


def _first_bad(array: pa.Array, to: pa.DataType) -> int:
    low, high = 0, len(array)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            array.slice(low, middle - low).cast(to, safe=True)
            low = middle
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            high = middle
    return low


def _equal(a: pa.Array, b: pa.Array) -> pa.Array:
    if pa.types.is_floating(a.type):
        return pc.or_(pc.equal(a, b), pc.and_(pc.is_nan(a), pc.is_nan(b)))
    return pc.equal(a, b)


def _may_round(a: pa.DataType, to: pa.DataType) -> bool:
    if pa.types.is_string(a):
        return not pa.types.is_binary(to)
    floating = pa.types.is_floating
    return (floating(a) and _is_exact_number(to)) or (
        floating(to) and (_is_exact_number(a) or a.bit_width > to.bit_width)
    )


def _to_json(array: pa.Array) -> pa.Array:
    return pa.array([None if v is None else raw.dumps(v) for v in raw.says(array, whole=True)], pa.utf8())


def _cast_nested(array: pa.Array, to: pa.DataType) -> pa.Array:
    if pa.types.is_struct(to) and pa.types.is_struct(array.type):
        have = dict(zip([f.name for f in array.type], array.flatten(), strict=True))  # null where the struct is
        members = [exact_cast(have[f.name], f.type) if f.name in have else pa.nulls(len(array), f.type) for f in to]
        return pa.StructArray.from_arrays(members, fields=list(to), mask=array.is_null())
    if pa.types.is_list(to) and pa.types.is_list(array.type):
        whole = pa.concat_arrays([array, array.slice(0, 0)]) if array.offset else array
        try:
            values = exact_cast(whole.values, to.value_type)
        except InexactError as error:
            raise InexactError(_row_of(whole, error.row)) from None
        mask = whole.is_null() if whole.null_count else None
        return pa.ListArray.from_arrays(whole.offsets, values, type=to, mask=mask)
    try:
        return array.cast(to, safe=True)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise InexactError(0) from None


def _row_of(lists: pa.Array, value: int) -> int:
    """The row of a list array that holds its `value`-th member."""
    ends = pc.greater(lists.offsets.slice(1), value)
    return int(pc.index(ends, True).as_py())


def _is_binary(t: pa.DataType) -> bool:
    return bool(pa.types.is_binary(t) or pa.types.is_large_binary(t) or pa.types.is_fixed_size_binary(t))


def _is_exact_number(t: pa.DataType) -> bool:
    return bool(pa.types.is_integer(t) or pa.types.is_decimal(t))


def _is_number(t: pa.DataType) -> bool:
    return bool(_is_exact_number(t) or pa.types.is_floating(t))


def _digits(t: pa.DataType) -> tuple[int, int]:
    """(digits before the point, digits after it)."""
    if pa.types.is_decimal(t):
        return t.precision - t.scale, t.scale
    return (20 if t.equals(pa.uint64()) else _INT_DIGITS[t.bit_width]), 0


def decimal(before: int, after: int) -> pa.DataType:
    """The decimal type with so many digits before and after the point; utf8 beyond 76."""
    total = max(1, before + after)
    if total <= 38:
        return pa.decimal128(total, after)
    return pa.decimal256(total, after) if total <= 76 else pa.utf8()


def _join_exact(a: pa.DataType, b: pa.DataType) -> pa.DataType:
    if pa.types.is_integer(a) and pa.types.is_integer(b):
        return _join_integers(a, b)
    (before_a, after_a), (before_b, after_b) = _digits(a), _digits(b)
    return decimal(max(before_a, before_b), max(after_a, after_b))


def _join_integers(a: pa.DataType, b: pa.DataType) -> pa.DataType:
    if pa.types.is_signed_integer(a) == pa.types.is_signed_integer(b):
        return a if a.bit_width >= b.bit_width else b
    signed, unsigned = (a, b) if pa.types.is_signed_integer(a) else (b, a)
    if unsigned.bit_width >= 64:
        return pa.decimal128(20, 0)
    bits = max(signed.bit_width, unsigned.bit_width * 2)
    return {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[bits]


def _join_float(a: pa.DataType, b: pa.DataType) -> pa.DataType | None:
    floating, other = (a, b) if pa.types.is_floating(a) else (b, a)
    if pa.types.is_integer(other) and other.bit_width <= 32:
        return pa.float64() if other.bit_width > 16 else floating
    return None


def _join_floats(a: pa.DataType, b: pa.DataType) -> pa.DataType:
    return a if a.bit_width >= b.bit_width else b


def _finer(a: Any, b: Any) -> str:
    return str(max(a.unit, b.unit, key=_UNITS.index))


def _join_timestamps(a: pa.DataType, b: pa.DataType) -> pa.DataType:
    if (a.tz is None) != (b.tz is None):
        return pa.utf8()
    return pa.timestamp(_finer(a, b), a.tz if a.tz == b.tz else "UTC")


def _join_times(a: pa.DataType, b: pa.DataType) -> pa.DataType:
    unit = _finer(a, b)
    return pa.time32(unit) if unit in ("s", "ms") else pa.time64(unit)


def _join_lists(a: pa.DataType, b: pa.DataType) -> pa.DataType:
    member = join(a.value_type, b.value_type)
    return pa.list_(member if member is not None else pa.utf8())


def _join_structs(a: pa.DataType, b: pa.DataType) -> pa.DataType:
    members: dict[str, pa.DataType] = {f.name: f.type for f in a}
    for f in b:
        joined = join(members[f.name], f.type) if f.name in members else f.type
        members[f.name] = joined if joined is not None else pa.utf8()
    return pa.struct(list(members.items()))


_Rule = Callable[[Any, Any], "pa.DataType"]
_FAMILIES: tuple[tuple[Callable[[pa.DataType], bool], _Rule], ...] = (
    (_is_exact_number, _join_exact),
    (pa.types.is_floating, _join_floats),
    (pa.types.is_timestamp, _join_timestamps),
    (pa.types.is_time, _join_times),
    (pa.types.is_date, lambda a, b: pa.date32()),
    (pa.types.is_duration, lambda a, b: pa.duration(_finer(a, b))),
    (pa.types.is_list, _join_lists),
    (pa.types.is_struct, _join_structs),
    (_is_binary, lambda a, b: pa.binary()),
)
