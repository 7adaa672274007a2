"""A declared schema, `{column: type}`, as Arrow fields: the names of types are those that users write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from wherry.errors import UsageError
from wherry.pipeline import types


def declared(columns: Mapping[str, Any]) -> pa.Schema:
    """The schema that a map of columns to types says.

    A type is a name ("bigint", "text", "numeric(12,2)", "timestamptz", "json"), a map of members to types, or a list of
    one type. Raises `UsageError`, which names the column.
    """
    return pa.schema([_field(name, type, name) for name, type in columns.items()])


def _field(name: str, type: Any, column: str) -> pa.Field:
    if isinstance(type, str):
        return types.parse(type, column).with_name(name)
    if isinstance(type, Mapping) and type:
        return pa.field(name, pa.struct([_field(key, inner, f"{column}.{key}") for key, inner in type.items()]))
    if isinstance(type, list | tuple) and len(type) == 1:
        return pa.field(name, pa.list_(_field("item", type[0], f"{column}[]")))
    raise UsageError(
        f"column {column!r}: {type!r} is no type",
        next="the name of one, a map of members to types, or a list of one type",
    )
