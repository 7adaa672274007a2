"""Rows into the types that their columns have, exactly; those that do not fit a declared type are set aside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import accumulate, chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from wherry.json_rows import exact
from wherry.json_rows.bulk import WIDE
from wherry.json_rows.evolve import is_json, item, member, natural
from wherry.json_rows.shape import JsonShape
from wherry.pipeline import types
from wherry.pipeline.lattice import InexactError, exact_cast

REJECTED = pa.schema([("reason", pa.string()), ("column", pa.string()), ("row", pa.int64()), ("raw", pa.string())])

_type, _NONE = type, type(None)
PLAIN = r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?$"


class Rejects:
    """Rows that do not fit. first: number, from 0, of the first row of these."""

    def __init__(self, first: int) -> None:
        self._first = first
        self.found: dict[int, dict[str, Any]] = {}

    def add(self, row: int, column: str, reason: str, raw: str) -> None:
        """row: from 0, of these. Only the first reason counts."""
        told = {"reason": reason, "column": column, "row": self._first + row + 1, "raw": raw}
        self.found.setdefault(row, told)

    def subtract(self, counts: list[int | None]) -> list[int | None]:
        """Counts of rows by body, without those rejected."""
        left: list[int | None] = []
        start = 0
        for count in counts:
            end = start + (count or 0)
            left.append(None if count is None else count - sum(start <= row < end for row in self.found))
            start = end
        return left

    def batch(self) -> pa.RecordBatch | None:
        """As `Batch.rejected` wants them."""
        return (
            pa.RecordBatch.from_pylist([self.found[row] for row in sorted(self.found)], REJECTED)
            if self.found
            else None
        )


def columns(
    rows: list[dict[str, Any]],
    schema: pa.Schema,
    declared: Mapping[str, pa.Field],
    rejects: Rejects,
) -> pa.RecordBatch:
    """Parsed rows in the types of `schema`; one that does not fit a declared column is left out and noted."""
    arrays = {}
    for field in schema:
        values = [row.get(field.name) for row in rows]
        known = declared.get(field.name)
        wrong = []
        if known is not None:
            wrong = [row for row, value in enumerate(values) if not _is_alike(value, known)]
            for row in wrong:
                values[row] = None
        held = field if known is None else _held(field, known, exact.observe_values(values))
        array = array_of(values, held)
        if known is not None:
            for row in [*wrong, *misfits(array, field.type)]:
                rejects.add(row, field.name, f"column {field.name!r}: not a {types.show(field)}", exact.dump(rows[row]))
        arrays[field.name] = array
    if rejects.found:
        kept = pa.array([i for i in range(len(rows)) if i not in rejects.found], pa.int64())
        arrays = {name: array.take(kept) for name, array in arrays.items()}
    if not arrays:
        return pa.RecordBatch.from_struct_array(pa.array([{} for _ in rows], pa.struct([])))
    return pa.RecordBatch.from_arrays([fit(arrays[field.name], field.type) for field in schema], schema=schema)


def fit(array: pa.Array, to: pa.DataType) -> pa.Array:
    """The array as `to`, each value unchanged; texts become times if they are such. Raises `InexactError`."""
    if array.type.equals(to):
        return array
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), to)
    if pa.types.is_struct(array.type) and pa.types.is_struct(to):
        have = dict(zip([field.name for field in array.type], array.flatten(), strict=True))
        inner = [
            fit(have[field.name], field.type) if field.name in have else pa.nulls(len(array), field.type)
            for field in to
        ]
        return pa.StructArray.from_arrays(inner, fields=list(to), mask=array.is_null())
    if pa.types.is_list(array.type) and pa.types.is_list(to):
        whole = pa.concat_arrays([array, array.slice(0, 0)]) if array.offset else array
        mask = whole.is_null() if whole.null_count else None
        return pa.ListArray.from_arrays(whole.offsets, fit(whole.values, to.value_type), type=to, mask=mask)
    if pa.types.is_string(array.type) and pa.types.is_temporal(to):
        try:
            return array.cast(to)
        except pa.ArrowInvalid:
            raise InexactError(0) from None
    if pa.types.is_floating(array.type) and pa.types.is_decimal(to):
        return _as_printed(array, to)
    if pa.types.is_string(array.type) and (pa.types.is_decimal(to) or pa.types.is_floating(to)):
        return _read_numbers(array, to)
    return exact_cast(array, to)


def _as_printed(doubles: pa.Array, to: pa.DataType) -> pa.Array:
    """Doubles as the decimals that they print: a cast gives the digits behind those, too."""
    try:
        return doubles.cast(pa.string()).cast(to)
    except pa.ArrowInvalid:
        raise InexactError(0) from None


def _read_numbers(texts: pa.StringArray, to: pa.DataType) -> pa.Array:
    """Texts of plain numbers as decimals or doubles of the same value: zeros at their end say nothing."""
    if not pc.all(pc.match_substring_regex(texts, PLAIN), min_count=0).as_py():
        raise InexactError(0)
    try:
        numbers = texts.cast(to)
        same = pc.equal(
            (numbers.cast(pa.string()) if pa.types.is_floating(to) else numbers).cast(WIDE), texts.cast(WIDE)
        )
    except pa.ArrowInvalid:
        raise InexactError(0) from None
    if not pc.all(same, min_count=0).as_py():
        raise InexactError(0)
    return numbers


def misfits(array: pa.Array, to: pa.DataType) -> list[int]:
    """Positions of all values that `fit` refuses."""
    try:
        fit(array, to)
    except InexactError:
        if len(array) == 1:
            return [0]
        middle = len(array) // 2
        right = misfits(array.slice(middle), to)
        return misfits(array.slice(0, middle), to) + [middle + row for row in right]
    return []


def array_of(values: Sequence[Any], field: pa.Field) -> pa.Array:
    """Parsed values in the field's type, which holds them. Texts go into text columns as they are."""
    type = field.type
    if pa.types.is_null(type):
        return pa.nulls(len(values))
    if pa.types.is_struct(type):
        inner = [array_of([None if v is None else v.get(f.name) for v in values], f) for f in type]
        return pa.StructArray.from_arrays(inner, fields=list(type), mask=_nulls(values))
    if pa.types.is_list(type):
        offsets = pa.array(accumulate((len(v or ()) for v in values), initial=0), pa.int32())
        inside = array_of(list(chain.from_iterable(v or () for v in values)), type.value_field)
        return pa.ListArray.from_arrays(offsets, inside, type=type, mask=_nulls(values))
    return pa.array(map(_reader(field, values), values), type)


def _reader(field: pa.Field, values: Sequence[Any]) -> Callable[[Any], Any]:
    """What turns a value into the one that `pa.array` takes for the field."""
    type = field.type
    if pa.types.is_boolean(type):
        return lambda value: value
    if pa.types.is_string(type):
        if is_json(field):
            return lambda value: None if value is None else exact.dump(value)
        plain = (str, _NONE)
        if set(map(_type, values)) <= set(plain):
            return lambda value: value
        return lambda value: value if _type(value) in plain else exact.dump(value)
    read = int if pa.types.is_integer(type) else float if pa.types.is_floating(type) else Decimal
    return lambda value: None if value is None else read(value)


def _nulls(values: Sequence[Any]) -> pa.Array | None:
    return pa.array([v is None for v in values], pa.bool_()) if None in values else None


def _is_alike(value: Any, declared: pa.Field) -> bool:
    """Whether an object stands where one is declared, a list where one is."""
    if value is None or not pa.types.is_nested(declared.type):
        return True
    if pa.types.is_struct(declared.type):
        return isinstance(value, dict) and all(_is_alike(value.get(inner.name), inner) for inner in declared.type)
    return isinstance(value, list) and all(_is_alike(inner, declared.type.value_field) for inner in value)


def _held(field: pa.Field, declared: pa.Field | None, shape: JsonShape) -> pa.Field:
    """A field that holds all values of that shape: the column's own, but for what is declared one as they come."""
    if declared is None or pa.types.is_string(declared.type) or not shape.kinds:
        return field
    if pa.types.is_struct(declared.type):
        inner = [_held(f, member(declared, f.name), shape.fields.get(f.name, JsonShape())) for f in field.type]
        return pa.field(field.name, pa.struct(inner))
    if pa.types.is_list(declared.type):
        value = _held(field.type.value_field, item(declared), shape.item or JsonShape())
        return pa.field(field.name, pa.list_(value))
    return pa.field(field.name, pa.string()) if shape.as_text() else natural(field.name, shape)
