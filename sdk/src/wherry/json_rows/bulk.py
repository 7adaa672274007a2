"""Whole rows of JSON text through Arrow's parser; what it cannot hold exactly goes through Python's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from wherry.json_rows import blocks, exact
from wherry.json_rows.number import NumberFacts
from wherry.json_rows.shape import JsonShape, shape_of

WRONG_IN_BULK = r"[\[,]\s*null|(?:^|\n)\s*null"
"""Arrow's parser shifts values after a null in an array, and takes a null row for an empty object."""
LONG_NUMBER = r"[:,\[]\s*-?(?:[0-9][0-9.]{15,}|[0-9.]+[eE][+-]?[0-9]{3})"
"""A number that may not come back from a double, or not fit an int64: of more than 15 digits, or next to nothing."""
WIDE = pa.decimal256(76, 38)
PIECE = 1 << 20
"""Bytes of JSON lines that one thread parses at a time."""


class JsonBlock:
    """Some whole rows: lines, or objects apart that `data` joins by line ends.

    name, first: what they come from, the number of the first from 0, for messages.
    """

    def __init__(self, name: str, first: int, data: bytes, rows: list[bytes] | None = None) -> None:
        self.name = name
        self.first = first
        self.data = data
        self._rows = rows

    @property
    def rows(self) -> list[bytes]:
        """The rows apart, blank lines among them."""
        if self._rows is None:
            self._rows = self.data.split(b"\n")
        return self._rows

    @property
    def least_rows(self) -> int:
        """How many rows there are, or fewer: counted without taking them apart."""
        return self.data.count(b"\n{") if self._rows is None else sum(bool(row.strip()) for row in self._rows)

    def drop_last(self) -> JsonBlock:
        """Without the last row, which the end of a sample cut off."""
        rows = self.rows[:-1]
        return JsonBlock(self.name, self.first, b"\n".join(rows), rows)

    def exact_shape(self) -> JsonShape:
        """Facts from Python's parser."""
        return exact.observe(self._parsed())

    def shape(self) -> JsonShape:
        """Facts from Arrow's parser, checked where its numbers may not be exact; else from Python's."""
        table = self._bulk(None) if self.rows_fit_bulk() else None
        if table is None:
            return self.exact_shape()
        shape = JsonShape({"object"}, fields={f.name: shape_of(f.type) for f in table.schema})
        if not self._matches(LONG_NUMBER):
            return shape
        wanted = pa.schema([pa.field(f.name, widened(f.type)) for f in table.schema])
        wide = self._bulk(wanted) if str(WIDE) in str(wanted) else table
        if wide is None:
            return self.exact_shape()
        for name in table.schema.names:
            _mark_inexact(shape.fields[name], _one(table.column(name)), _one(wide.column(name)))
        return shape

    def batch(self, shape: JsonShape, names: list[str], bulk: bool, plain: bool = False) -> pa.RecordBatch:
        """The rows in the types of `shape`. bulk: Arrow's parser knows them all. plain: a template holds the rows."""
        schema = pa.schema([shape.fields[name].arrow(name) for name in names])
        table = self._bulk(schema) if bulk and names and (plain or self.rows_fit_bulk()) else None
        if table is None:
            return exact.columns(self._parsed(), shape, names)
        return pa.RecordBatch.from_arrays([_one(column) for column in table.columns], schema=schema)

    def rows_fit_bulk(self) -> bool:
        """Whether Arrow's parser reads this text rightly, given that it is well-formed."""
        try:
            self.data.decode()
        except UnicodeDecodeError:
            return False
        return not self._matches(WRONG_IN_BULK) and blocks.shallow(self.data)

    def _parsed(self) -> list[dict[str, Any]]:
        return exact.parse(self.rows, self.name, self.first)

    def _matches(self, pattern: str) -> bool:
        return matches(self.data, pattern)

    def _bulk(self, schema: pa.Schema | None) -> pa.Table | None:
        """None when Arrow's parser refuses the text. Lines are parsed by several threads, if none is very long."""
        if self._rows is None and len(self.data) > PIECE:
            table = _read(self.data, schema, PIECE)
            if table is not None:
                return table
        return _read(self.data, schema, None)


def _read(data: bytes, schema: pa.Schema | None, piece: int | None) -> pa.Table | None:
    """piece: bytes of whole lines for one thread; None for one thread, and objects over several lines."""
    try:
        return pj.read_json(
            pa.BufferReader(data),
            read_options=pj.ReadOptions(use_threads=piece is not None, block_size=piece or len(data) + 64),
            parse_options=pj.ParseOptions(
                explicit_schema=schema,
                newlines_in_values=piece is None,
                unexpected_field_behavior="infer" if schema is None else "ignore",
            ),
        )
    except pa.ArrowInvalid:
        return None


def read_lines(data: bytes, schema: pa.Schema) -> pa.Table | None:
    """A few lines that Arrow's parser reads rightly, in these types."""
    return _read(data, schema, None)


def matches(data: bytes, pattern: str) -> bool:
    """Whether the pattern is somewhere in the text."""
    return bool(pc.match_substring_regex(_as_value(data, pa.large_binary()), pattern)[0].as_py())


def is_utf8(data: bytes) -> bool:
    """Whether the text is well-formed."""
    try:
        _as_value(data, pa.large_string()).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _as_value(data: bytes, type: pa.DataType) -> pa.Array:
    """An array of this one value, which is not copied."""
    offsets = pa.array([0, len(data)], pa.int64()).buffers()[1]
    return pa.Array.from_buffers(type, 1, [None, offsets, pa.py_buffer(data)])


def same_numbers(array: pa.Array, wide: pa.Array) -> bool:
    """Whether each double in `array` prints as its number, which stands in `wide` in type `WIDE`."""
    type = array.type
    if pa.types.is_struct(type):
        known = dict(zip([field.name for field in wide.type], wide.flatten(), strict=True))
        own = zip([field.name for field in type], array.flatten(), strict=True)
        return all(same_numbers(column, known[name]) for name, column in own if name in known)
    if pa.types.is_list(type):
        return not pa.types.is_list(wide.type) or same_numbers(array.flatten(), wide.flatten())
    return not pa.types.is_floating(type) or len(array) == array.null_count or _same(array, wide)


def widened(type: pa.DataType) -> pa.DataType:
    """The type with each number in `WIDE`, in which Arrow's parser keeps every digit or refuses."""
    if pa.types.is_struct(type):
        return pa.struct([pa.field(f.name, widened(f.type)) for f in type])
    if pa.types.is_list(type):
        return pa.list_(widened(type.value_type))
    if pa.types.is_floating(type):
        return WIDE
    return pa.string() if pa.types.is_timestamp(type) else type


def _mark_inexact(shape: JsonShape, array: pa.Array, wide: pa.Array) -> None:
    """Note in `shape` which numbers their double, or any double, does not hold."""
    type = array.type
    if pa.types.is_struct(type):
        for position, child in enumerate(type):
            _mark_inexact(shape.fields[child.name], array.field(position), wide.field(position))
    elif pa.types.is_list(type) and shape.item is not None:
        _mark_inexact(shape.item, array.flatten(), wide.flatten())
    elif shape.number is not None and len(array) > array.null_count:
        exact = _within(array) if pa.types.is_integer(type) else _same(array, wide)
        shape.number = replace(shape.number, double=exact)


def _within(array: pa.Array) -> bool:
    bounds = pc.min_max(array)
    return bool(
        bounds["min"].as_py() >= -NumberFacts.EXACT_INTEGER and bounds["max"].as_py() <= NumberFacts.EXACT_INTEGER
    )


def _same(doubles: pa.Array, wide: pa.Array) -> bool:
    """Whether each prints as its number; False for large ones, which may have been integers."""
    if not _within(doubles):
        return False
    try:
        printed = doubles.cast(pa.string()).cast(WIDE)
    except pa.ArrowInvalid:
        return False
    return bool(pc.all(pc.equal(printed, wide), min_count=0).as_py())


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
