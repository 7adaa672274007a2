"""Lines of a template, split at their quotes: where none is escaped, fields between them are keys, texts and numbers.

That is work for Arrow's CSV parser, which needs half the time of its JSON parser. Lines that lack a text or a key
have fewer quotes; they are few, or another parser reads them all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv

PIECE = 1 << 18
"""Bytes that are split at a time."""
FEW = 20
"""Of so many lines one may be without some quotes."""
_TYPES = frozenset({pa.int64(), pa.float64(), pa.bool_(), pa.string()})

Parser = Callable[[bytes], pa.Table | None]


def split(data: bytes, kinds: Mapping[str, str | None], schema: pa.Schema, parse: Parser) -> pa.RecordBatch | None:
    """The rows of lines that a template of these kinds holds, in the types of `schema`; None where others do it better.

    parse: reads the lines that have fewer quotes.
    """
    places, width = _layout(kinds)
    wanted = {field.name: places[field.name] for field in schema if kinds.get(field.name) is not None}
    if b"\\" in data or not wanted or not _TYPES.issuperset(schema.types):
        return None
    others: list[tuple[int, str]] = []
    most = 1 + len(data) // (data.find(b"\n") + 1 or len(data)) // FEW

    def other(row: Any) -> str:
        others.append((row.number, row.text))
        return "skip" if len(others) <= most else "error"

    try:
        table = _fields(data, width, list(wanted.values()), other)
    except pa.ArrowInvalid:  # too many others, or a line that is longer than a piece
        return None
    columns = [
        _typed(table.column(wanted[field.name]).combine_chunks(), field.type, kinds[field.name])
        if field.name in wanted
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    if not others:
        return pa.RecordBatch.from_arrays(columns, schema=schema)
    rest = parse("\n".join(text for _, text in others).encode())
    if rest is None or rest.num_rows != len(others):
        return None
    pairs = zip(columns, rest.combine_chunks().columns, strict=True)
    rows = [number - 1 for number, _ in others]
    return pa.RecordBatch.from_arrays([_together(column, some.chunk(0), rows) for column, some in pairs], schema=schema)


def _layout(kinds: Mapping[str, str | None]) -> tuple[dict[str, str], int]:
    """In which field the value of each key is, and how many there are."""
    places, at = {}, 1
    for key, kind in kinds.items():
        places[key] = f"f{at + 2}" if kind == "text" else f"f{at + 1}"
        at += 4 if kind == "text" else 2
    return places, at


def _fields(data: bytes, width: int, wanted: list[str], other: Callable[[Any], str]) -> pa.Table:
    names = [f"f{at}" for at in range(width)]
    return pv.read_csv(
        pa.BufferReader(data),
        read_options=pv.ReadOptions(use_threads=False, block_size=PIECE, column_names=names),
        parse_options=pv.ParseOptions(
            delimiter='"', quote_char=False, double_quote=False, escape_char=False, newlines_in_values=False,
            ignore_empty_lines=False, invalid_row_handler=other,
        ),
        convert_options=pv.ConvertOptions(
            include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string()), strings_can_be_null=False,
            check_utf8=False,
        ),
    )  # fmt: skip


def _typed(field: pa.Array, type: pa.DataType, kind: str | None) -> pa.Array:
    """What stands between two quotes as a value: a text as it is, all else with a colon before and a comma behind."""
    if kind == "text":
        return field
    literals = pc.ascii_trim(field, " :,}\r")
    try:
        return literals.cast(type)
    except pa.ArrowInvalid:
        return pc.if_else(pc.equal(literals, "null"), None, literals).cast(type)


def _together(column: pa.Array, others: pa.Array, rows: list[int]) -> pa.Array:
    """The column with the others in their rows."""
    pieces, taken = [], 0
    for number, row in enumerate(rows):
        before = row - number
        pieces += [column.slice(taken, before - taken), others.slice(number, 1)]
        taken = before
    return pa.concat_arrays([*pieces, column.slice(taken)])
