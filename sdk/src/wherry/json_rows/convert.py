"""Parsed rows into Arrow columns of given types, exactly; rows that do not fit a declared type are set aside."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa

from wherry.json_rows import exact
from wherry.json_rows.evolve import evolve, is_json
from wherry.pipeline import types
from wherry.pipeline.lattice import InexactError, exact_cast

REJECTED = pa.schema([("reason", pa.string()), ("column", pa.string()), ("row", pa.int64()), ("raw", pa.string())])


class Rejects:
    """Rows that do not fit. first: number, from 0, of the first row of these."""

    def __init__(self, first: int) -> None:
        self._first = first
        self.found: dict[int, tuple[str, str]] = {}
        self._raw: dict[int, str] = {}

    def add(self, row: int, column: str, reason: str, raw: str) -> None:
        """row: from 0, of these. Only the first reason counts."""
        self.found.setdefault(row, (reason, column))
        self._raw.setdefault(row, raw)

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
        if not self.found:
            return None
        rows = [
            {"reason": reason, "column": column, "row": self._first + row + 1, "raw": self._raw[row]}
            for row, (reason, column) in sorted(self.found.items())
        ]
        return pa.RecordBatch.from_pylist(rows, REJECTED)


def columns(
    rows: list[dict[str, Any]], schema: pa.Schema, declared: frozenset[str], rejects: Rejects
) -> pa.RecordBatch:
    """The rows in the types of `schema`; a row that does not fit a declared column is left out and noted."""
    arrays = {field.name: _column(rows, field, declared) for field in schema}
    for field in schema:
        if field.name in declared:
            for row in misfits(arrays[field.name], field.type):
                reason = f"column {field.name!r}: not a {types.show(field)}"
                rejects.add(row, field.name, reason, exact.dump(rows[row]))
    if rejects.found:
        kept = pa.array([i for i in range(len(rows)) if i not in rejects.found], pa.int64())
        arrays = {name: array.take(kept) for name, array in arrays.items()}
    if not arrays:
        return pa.RecordBatch.from_struct_array(pa.array([{} for _ in rows], pa.struct([])))
    cast = [fit(arrays[field.name], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(cast, schema=schema)


def fit(array: pa.Array, to: pa.DataType) -> pa.Array:
    """The array as `to`, each value unchanged; texts become times if they are such. Raises `InexactError`."""
    if array.type.equals(to):
        return array
    if pa.types.is_struct(array.type) and pa.types.is_struct(to):
        have = {field.name: i for i, field in enumerate(array.type)}
        members = [
            fit(array.field(have[field.name]), field.type) if field.name in have else pa.nulls(len(array), field.type)
            for field in to
        ]
        return pa.StructArray.from_arrays(members, fields=list(to), mask=array.is_null())
    if pa.types.is_list(array.type) and pa.types.is_list(to):
        whole = pa.concat_arrays([array]) if array.offset else array
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


def _column(rows: list[dict[str, Any]], field: pa.Field, declared: frozenset[str]) -> pa.Array:
    """The column's values: in the field's type, or if it is declared, in one that holds them all."""
    values = [row.get(field.name) for row in rows]
    if field.name in declared and not is_json(field):
        shape = exact.observe_values(values)
        held = evolve(field.name, None, shape)
        field = pa.field(field.name, pa.string()) if is_json(held) or pa.types.is_string(field.type) else held
    return pa.array([value_of(value, field) for value in values], field.type)


def value_of(value: Any, field: pa.Field) -> Any:
    """The Python value that `pa.array` turns into the field's type."""
    type = field.type
    if value is None or pa.types.is_null(type):
        return None
    if pa.types.is_string(type):
        plain = isinstance(value, str) and not isinstance(value, exact.Literal)
        return value if plain and not is_json(field) else exact.dump(value)
    if isinstance(value, dict):
        return {member.name: value_of(value.get(member.name), member) for member in type}
    if isinstance(value, list):
        return [value_of(item, type.value_field) for item in value]
    if not isinstance(value, exact.Literal):
        return value
    return int(value) if pa.types.is_integer(type) else float(value) if pa.types.is_floating(type) else Decimal(value)
