"""CSV blocks of whole rows, as COPY sends them, to Arrow; a column turns into text when a value asks for it.

pyarrow's CSV reader converts in C++ and refuses what it cannot hold exactly. Only then is the block read again
column by column, to find out which ones have to be text from here on: ordinary tables pay nothing for it.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
from wherry import DataError

from wherry_source_postgres.types import BASE, FREE_NUMERIC, READ

_BOM = b"\xef\xbb\xbf"


class Decoder:
    """Turns blocks into record batches of `schema`, which changes when a column has to become text.

    rows: read so far.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self.rows = 0

    def decode(self, block: bytes) -> pa.RecordBatch:
        """The rows of one block."""
        if block.startswith(_BOM):
            block = _BOM + block  # the reader drops the first one, a BOM in a value must stay
        try:
            columns = self._columns(block)
        except (pa.ArrowInvalid, OverflowError):
            for index in self._unfit(block):
                self.schema = self.schema.set(index, as_text(self.schema.field(index)))
            columns = self._columns(block)
        batch = pa.RecordBatch.from_arrays(columns, schema=self.schema)
        self.rows += batch.num_rows
        return batch

    def _columns(self, block: bytes) -> list[pa.Array]:
        table = self._parse(block, range(len(self.schema)))
        return [_finish(table.column(i), field) for i, field in enumerate(self.schema)]

    def _parse(self, block: bytes, wanted: Iterable[int]) -> pa.Table:
        names = [str(index) for index in range(len(self.schema))]
        return csv.read_csv(
            pa.py_buffer(block),
            read_options=csv.ReadOptions(column_names=names, block_size=len(block) + 1),
            parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            convert_options=csv.ConvertOptions(
                column_types={str(index): _csv_type(field) for index, field in enumerate(self.schema)},
                include_columns=[str(index) for index in wanted],
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                true_values=["t"],
                false_values=["f"],
            ),
        )

    def _unfit(self, block: bytes) -> list[int]:
        unfit = []
        for index, field in enumerate(self.schema):
            try:
                _finish(self._parse(block, [index]).column(0), field)
            except (pa.ArrowInvalid, OverflowError) as error:
                if pa.types.is_string(field.type) or pa.types.is_binary(field.type):
                    raise DataError(
                        f"column {field.name} holds text that is not in the database's encoding",
                        column=field.name,
                        next="leave the column out, or mend the values in the source",
                    ) from error
                unfit.append(index)
        return unfit


def as_text(field: pa.Field) -> pa.Field:
    """The same column, as the server's own text."""
    return field.with_type(pa.string())


def _csv_type(field: pa.Field) -> pa.DataType:
    return pa.string() if pa.types.is_decimal256(field.type) else field.type


def _finish(column: pa.ChunkedArray, field: pa.Field) -> pa.Array:
    array = column.chunk(0) if column.num_chunks == 1 else _joined(column)
    if (field.metadata or {}).get(READ) == b"hex":
        return _from_hex(array)
    if pa.types.is_decimal256(field.type):
        return array.cast(field.type)
    if field.type == FREE_NUMERIC and (field.metadata or {}).get(BASE) == b"numeric":
        _within(array)
    return array


def _joined(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks()
    if not isinstance(array, pa.ChunkedArray):
        return array
    return array.chunk(0) if array.num_chunks else pa.array([], column.type)


def _within(array: pa.Array) -> None:
    """The CSV reader lets 39 digits into a decimal of 38."""  # abs() would round to 28
    bounds = pc.min_max(array).as_py()
    if any(value is not None and value.copy_abs() >= 10**29 for value in bounds.values()):
        raise OverflowError("more than 29 digits before the point")


def _from_hex(array: pa.Array) -> pa.Array:
    """Hex text to bytes for all rows in one call: in the data buffer the values stand end to end."""
    valid, offsets, data = array.buffers()
    positions = pa.Array.from_buffers(pa.int32(), len(array) + 1, [None, offsets], offset=array.offset)
    first, last = positions[0].as_py(), positions[len(array)].as_py()
    raw = binascii.unhexlify(data[first:last]) if data is not None else b""
    halved = pc.divide(pc.subtract(positions, first), 2).cast(pa.int32())
    mask = None if valid is None else array.is_null()
    return _binary(halved, raw, mask)


def _binary(offsets: pa.Array, data: bytes, null: pa.Array | None) -> pa.Array:
    validity = None if null is None else pc.invert(null).buffers()[1]
    return pa.Array.from_buffers(pa.binary(), len(offsets) - 1, [validity, offsets.buffers()[1], pa.py_buffer(data)])
