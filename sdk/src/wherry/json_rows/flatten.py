"""Objects whose members become columns of their own: `outer__inner`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pyarrow as pa

from wherry.errors import DataError
from wherry.json_rows.shape import JsonShape

BETWEEN = "__"


def flat_fields(fields: Mapping[str, pa.Field]) -> dict[str, pa.Field]:
    """Declared columns, those of objects member by member."""
    found: dict[str, pa.Field] = {}
    for name, field in fields.items():
        inner = {f"{name}{BETWEEN}{f.name}": f for f in field.type} if pa.types.is_struct(field.type) else None
        found |= {name: field.with_name(name)} if inner is None else flat_fields(inner)
    return found


def flat_shapes(fields: Mapping[str, JsonShape], kept: Collection[str]) -> dict[str, JsonShape]:
    """Columns by name. kept: those that stay whole, as they are declared."""
    found: dict[str, JsonShape] = {}
    for name, shape in fields.items():
        inner = {f"{name}{BETWEEN}{key}": value for key, value in shape.fields.items()}
        for key, value in (flat_shapes(inner, kept) if _opens(name, shape, kept) else {name: shape}).items():
            if key in found:
                raise DataError(f"two members become column {key!r}", column=key, next="leave out flatten")
            found[key] = value
    return found


def flat_row(row: Mapping[str, Any], fields: Mapping[str, JsonShape], kept: Collection[str]) -> dict[str, Any]:
    """One parsed row."""
    found: dict[str, Any] = {}
    for name, shape in fields.items():
        value = row.get(name)
        if not _opens(name, shape, kept):
            found[name] = value
        elif value is not None:
            inner = {f"{name}{BETWEEN}{key}": under for key, under in shape.fields.items()}
            found |= flat_row({f"{name}{BETWEEN}{key}": under for key, under in value.items()}, inner, kept)
    return found


def flat_arrays(array: pa.StructArray, fields: Mapping[str, JsonShape], kept: Collection[str]) -> dict[str, pa.Array]:
    """Columns of records in natural types."""
    found: dict[str, pa.Array] = {}
    for (name, shape), column in zip(fields.items(), array.flatten(), strict=True):
        if _opens(name, shape, kept):
            inner = {f"{name}{BETWEEN}{key}": value for key, value in shape.fields.items()}
            found |= flat_arrays(column, inner, kept)
        else:
            found[name] = column
    return found


def _opens(name: str, shape: JsonShape, kept: Collection[str]) -> bool:
    return shape.kinds == {"object"} and not shape.as_text() and name not in kept
