"""What the server answers as Arrow: COPY (SELECT …) as CSV, each column cast to what pyarrow reads exactly."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as _compute
from wherry import SQL, Part

from wherry_destination_postgres.types import TZ

pc: Any = _compute
BLOCK = 4 << 20

_MICROS = SQL("(extract(epoch from {c}) * 1000000)::bigint")
_CARRIED: dict[pa.DataType, tuple[SQL, pa.DataType]] = {
    pa.date32(): (SQL("({c} - date '1970-01-01')"), pa.int32()),
    pa.time64("us"): (_MICROS, pa.int64()),
    pa.timestamp("us"): (_MICROS, pa.int64()),
    TZ: (_MICROS, pa.int64()),
    pa.duration("us"): (_MICROS, pa.int64()),
    pa.binary(): (SQL("encode({c}, 'hex')"), pa.large_utf8()),
    pa.utf8(): (SQL("{c}::text"), pa.utf8()),
}


def item(column: Part, field: pa.Field) -> Part:
    """The SELECT item that brings a column over: numbers for times, hex for bytes."""
    carried = _CARRIED.get(field.type)
    return carried[0].format(c=column) if carried else column


def batches(pieces: Iterator[Any], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Batches of `schema` from the CSV pieces of a COPY … TO STDOUT."""
    from pyarrow.csv import ConvertOptions, ParseOptions, ReadOptions, open_csv

    names = [str(i) for i in range(len(schema))]
    convert = ConvertOptions(
        column_types=dict(zip(names, map(_carried, schema.types), strict=True)),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        true_values=["t"],
        false_values=["f"],
    )
    source: Any = io.BufferedReader(_Pieces(pieces), BLOCK)
    if not source.peek(1):
        return
    read = ReadOptions(column_names=names, block_size=BLOCK)
    for batch in open_csv(source, read, ParseOptions(newlines_in_values=True, ignore_empty_lines=False), convert):
        columns = [_restored(column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _carried(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_decimal256(kind):
        return pa.utf8()  # pyarrow's CSV reader has no conversion to it, its cast has
    return _CARRIED[kind][1] if kind in _CARRIED else kind


def _restored(column: Any, kind: pa.DataType) -> Any:
    if kind == pa.binary():
        return _bytes(column)
    return column if column.type == kind else column.cast(kind)


def _bytes(text: Any) -> Any:
    """The bytes of hex text: all digits in one call, the offsets halved."""
    _, offsets, data = text.buffers()
    bounds: Any = pa.Array.from_buffers(pa.int64(), len(text) + 1, [None, offsets], offset=text.offset)
    start, end = bounds[0].as_py(), bounds[-1].as_py()
    raw = bytes.fromhex(data.slice(start, end - start).to_pybytes().decode()) if end > start else b""
    moved = pc.divide(pc.subtract(bounds, bounds[0]), 2)
    valid = pc.is_valid(text).buffers()[1] if text.null_count else None
    found: Any = pa.Array.from_buffers(pa.large_binary(), len(text), [valid, moved.buffers()[1], pa.py_buffer(raw)])
    return found.cast(pa.binary())


class _Pieces(io.RawIOBase):
    """The pieces of a COPY as a file."""

    def __init__(self, pieces: Iterator[Any]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        target = memoryview(into)
        filled = 0
        while filled < len(target):
            if not self._left:
                piece = next(self._pieces, None)
                if piece is None:
                    break
                self._left = memoryview(piece)
            count = min(len(self._left), len(target) - filled)
            target[filled : filled + count] = self._left[:count]
            self._left = self._left[count:]
            filled += count
        return filled
