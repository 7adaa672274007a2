"""Rows as Arrow with the types that their stream declares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.functions.declare import Declared

if TYPE_CHECKING:
    import pyarrow as pa


def schema_of(declared: Declared) -> pa.Schema | None:
    """The declared types of a stream's columns; None: there are none."""
    import pyarrow as pa

    types = declared.schema
    if types is None or isinstance(types, pa.Schema):
        return types
    if all(isinstance(kind, pa.DataType) for kind in types.values()):
        return pa.schema(list(types.items()))
    from wherry.json_rows import declared as words

    return words(types)


def typed(data: Any, schema: pa.Schema) -> pa.Table:
    """Dicts, or a table: a column that is declared has its type, unless a value of it does not fit; then the type it
    came with, or that Arrow infers."""
    import pyarrow as pa

    from wherry.pipeline.arrow import from_dicts

    table = pa.Table.from_batches([from_dicts(data)]) if isinstance(data, list) else data
    for place, name in enumerate(table.schema.names):
        if name in schema.names and not table.field(place).equals(schema.field(name)):
            table = table.set_column(place, *_fitted(table.field(place), table.column(place), schema.field(name)))
    return table


def _fitted(field: pa.Field, column: pa.ChunkedArray, declared: pa.Field) -> tuple[pa.Field, Any]:
    from wherry.json_rows.convert import fit
    from wherry.pipeline.lattice import InexactError

    if not _covers(declared.type, field.type):
        return field, column
    try:
        return declared, fit(column.combine_chunks(), declared.type)
    except InexactError:
        return field, column


def _covers(declared: pa.DataType, have: pa.DataType) -> bool:
    """Whether no member would be lost."""
    import pyarrow as pa

    if pa.types.is_struct(declared) and pa.types.is_struct(have):
        known = {field.name: field.type for field in declared}
        return all(field.name in known and _covers(known[field.name], field.type) for field in have)
    if pa.types.is_list(declared) and pa.types.is_list(have):
        return _covers(declared.value_type, have.value_type)
    return not pa.types.is_nested(have) or pa.types.is_nested(declared)
