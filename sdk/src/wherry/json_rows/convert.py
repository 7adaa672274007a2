"""Rows into the types that their columns have, exactly; those that do not fit a declared type are set aside."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa

from wherry.json_rows import exact
from wherry.json_rows.evolve import is_json, item, member, natural
from wherry.json_rows.shape import JsonShape
from wherry.pipeline import types
from wherry.pipeline.lattice import InexactError, exact_cast

REJECTED = pa.schema([("reason", pa.string()), ("column", pa.string()), ("row", pa.int64()), ("raw", pa.string())])


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
    shapes: Mapping[str, JsonShape],
    rejects: Rejects,
) -> pa.RecordBatch:
    """Parsed rows in the types of `schema`; one that does not fit a declared column is left out and noted.

    shapes: what is known of the columns, these rows included.
    """
    arrays = {}
    for field in schema:
        held = _held(field, declared.get(field.name), shapes.get(field.name, JsonShape()))
        array = pa.array([value_of(row.get(field.name), held) for row in rows], held.type)
        if field.name in declared:
            for row in misfits(array, field.type):
                reason = f"column {field.name!r}: not a {types.show(field)}"
                rejects.add(row, field.name, reason, exact.dump(rows[row]))
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
        have = {field.name: i for i, field in enumerate(array.type)}
        inner = [
            fit(array.field(have[field.name]), field.type) if field.name in have else pa.nulls(len(array), field.type)
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
    return exact_cast(array, to)


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


def value_of(value: Any, field: pa.Field) -> Any:
    """The Python value that `pa.array` turns into the field's type. Texts go into text columns as they are."""
    type = field.type
    if value is None or pa.types.is_null(type):
        return None
    if pa.types.is_string(type):
        plain = isinstance(value, str) and not isinstance(value, exact.Literal)
        return value if plain and not is_json(field) else exact.dump(value)
    if isinstance(value, dict):
        return {inner.name: value_of(value.get(inner.name), inner) for inner in type}
    if isinstance(value, list):
        return [value_of(inner, type.value_field) for inner in value]
    if not isinstance(value, exact.Literal):
        return value
    return int(value) if pa.types.is_integer(type) else float(value) if pa.types.is_floating(type) else Decimal(value)


def _held(field: pa.Field, declared: pa.Field | None, shape: JsonShape) -> pa.Field:
    """A field that holds all values of that shape: the column's own, but for what is declared one as they come."""
    if declared is None or pa.types.is_string(declared.type):
        return field
    whole = not shape.as_text()
    if pa.types.is_struct(declared.type) and whole and shape.kinds == {"object"}:
        return pa.field(
            field.name,
            pa.struct([
                _held(inner, member(declared, inner.name), shape.fields.get(inner.name, JsonShape()))
                for inner in field.type
            ]),
        )  # fmt: skip
    if pa.types.is_list(declared.type) and whole and shape.kinds == {"array"}:
        inner = _held(field.type.value_field, item(declared), shape.item or JsonShape())
        return pa.field(field.name, pa.list_(inner))
    return natural(field.name, shape) if whole else pa.field(field.name, pa.string())
