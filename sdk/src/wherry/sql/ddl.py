"""Columns a table should have beside those it has: what to add, what to widen, what cannot be done."""

from __future__ import annotations

import pyarrow as pa

from wherry.contracts.loading import Target
from wherry.contracts.values import KIND, LOAD_ID, VALID_FROM, VALID_TO
from wherry.errors import SchemaError

MOMENT = pa.timestamp("us", "UTC")


def stored(target: Target) -> pa.Schema:
    """All columns of a target's table: its own, then what the mode and the load id add."""
    fields = list(target.schema)
    if target.mode == "history":
        fields += [pa.field(VALID_FROM, MOMENT), pa.field(VALID_TO, MOMENT)]
    if target.load_id:
        fields.append(pa.field(LOAD_ID, pa.int64()))
    return pa.schema(fields)


def difference(
    table: str, have: pa.Schema, want: pa.Schema, folds: bool = True
) -> tuple[list[pa.Field], list[pa.Field]]:
    """(fields to add, fields to widen). A column that is wider already stays; one that fits neither way is refused."""
    known = {fold(field.name, folds): field for field in have}
    added, widened = [], []
    for field in want:
        old = known.get(fold(field.name, folds))
        if old is None:
            added.append(field)
        elif holds(old, field):
            continue
        elif holds(field, old):
            widened.append(field.with_name(old.name))
        else:
            raise SchemaError(
                f"column {field.name} of table {table} is {kind(old)} and cannot become {kind(field)}",
                next="rebuild the table: run with --full-refresh, or rename the column away",
            )
    return added, widened


def unlike(have: pa.Schema, want: pa.Schema, folds: bool = True) -> list[pa.Field]:
    """Fields of which neither type, that of the table or the one wanted, holds the values of the other."""
    known = {fold(field.name, folds): field for field in have}
    pairs = [(known[name], field) for field in want if (name := fold(field.name, folds)) in known]
    return [field.with_name(old.name) for old, field in pairs if not holds(old, field) and not holds(field, old)]


def kind(field: pa.Field) -> str:
    """The storage type in words: the Arrow type, or json or uuid."""
    named = (field.metadata or {}).get(KIND)
    return named.decode() if named else str(field.type)


def holds(wide: pa.Field, narrow: pa.Field) -> bool:
    """Whether every value of `narrow` can be kept exactly in a column like `wide`."""
    named, other = kind(wide), kind(narrow)
    if named in ("json", "uuid"):
        return named == other or (named == "json" and pa.types.is_nested(narrow.type))
    if is_text(wide.type):
        return True
    return other not in ("json", "uuid") and _holds(wide.type, narrow.type)


def _holds(wide: pa.DataType, narrow: pa.DataType) -> bool:
    if wide.equals(narrow) or pa.types.is_null(narrow):
        return True
    if pa.types.is_integer(narrow):
        return _holds_integer(wide, narrow)
    if pa.types.is_decimal(narrow) and pa.types.is_decimal(wide):
        whole = wide.precision - wide.scale >= narrow.precision - narrow.scale
        return bool(wide.scale >= narrow.scale and whole)
    if pa.types.is_floating(narrow) and pa.types.is_floating(wide):
        return bool(wide.bit_width >= narrow.bit_width)
    if _is_binary(narrow):
        return _is_binary(wide) and not pa.types.is_fixed_size_binary(wide)
    if pa.types.is_temporal(narrow):
        return _holds_time(wide, narrow)
    return _holds_nested(wide, narrow)


def _holds_integer(wide: pa.DataType, narrow: pa.DataType) -> bool:
    low, high = _range(narrow)
    if pa.types.is_integer(wide):
        return _range(wide)[0] <= low and high <= _range(wide)[1]
    if pa.types.is_decimal(wide):
        return bool(wide.precision - wide.scale >= len(str(high)))
    if pa.types.is_floating(wide):
        return bool(high <= {16: 2**11, 32: 2**24, 64: 2**53}[wide.bit_width])
    return False


def _holds_time(wide: pa.DataType, narrow: pa.DataType) -> bool:
    """Finer units, within microseconds: nanoseconds reach only to the year 2262."""
    order = ("s", "ms", "us")
    for test in (pa.types.is_timestamp, pa.types.is_time):
        if test(wide) and test(narrow) and wide.unit in order and narrow.unit in order:
            zones = pa.types.is_time(wide) or (wide.tz is None) == (narrow.tz is None)
            return zones and order.index(wide.unit) >= order.index(narrow.unit)
    if pa.types.is_date(narrow) and pa.types.is_timestamp(wide):
        return wide.tz is None and wide.unit in order
    if pa.types.is_timestamp(wide) and pa.types.is_timestamp(narrow) and wide.unit == narrow.unit:
        return (wide.tz is None) == (narrow.tz is None)
    return bool(pa.types.is_date(wide) and pa.types.is_date(narrow))


def _holds_nested(wide: pa.DataType, narrow: pa.DataType) -> bool:
    if _is_list(wide) and (_is_list(narrow) or pa.types.is_fixed_size_list(narrow)):
        return holds(wide.value_field, narrow.value_field)
    if pa.types.is_map(wide) and pa.types.is_map(narrow):
        return _holds(wide.key_type, narrow.key_type) and holds(wide.item_field, narrow.item_field)
    if pa.types.is_struct(wide) and pa.types.is_struct(narrow):
        inside = {field.name: field for field in wide}
        return all(field.name in inside and holds(inside[field.name], field) for field in narrow)
    return False


def _range(type: pa.DataType) -> tuple[int, int]:
    bits = type.bit_width
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if pa.types.is_signed_integer(type) else (0, 2**bits - 1)


def is_text(type: pa.DataType) -> bool:
    """Whether the type is text of any layout."""
    return any(test(type) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _is_binary(type: pa.DataType) -> bool:
    tests = (
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_fixed_size_binary,
        pa.types.is_binary_view,
    )
    return any(test(type) for test in tests)


def _is_list(type: pa.DataType) -> bool:
    """Lists of any length."""
    return any(test(type) for test in (pa.types.is_list, pa.types.is_large_list))


def fold(name: str, folds: bool) -> str:
    """What two names have in common that mean the same column."""
    return name.casefold() if folds else name
