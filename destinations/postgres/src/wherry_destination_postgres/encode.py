"""Arrow batches as CSV for COPY: NULL is an unquoted nothing, every text is quoted, bytes are hex. Columns only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as _compute

from wherry_destination_postgres.types import DATES, TIMES
from wherry_destination_postgres.unfit import UnfitError, check_range, within

pc: Any = _compute
SLICE = 4 << 20
"""Bytes of Arrow data printed at a time."""
CHUNK = 1 << 17
"""Bytes handed to the driver at a time."""

_CYCLE_DAYS, _CYCLE_YEARS = 146_097, 400  # the Gregorian calendar repeats
_DAY = 86_400_000_000
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896  # 0001-01-01 and 9999-12-31: what Arrow prints as the engine reads it


def csv(batch: pa.RecordBatch) -> Iterator[tuple[bytes, int]]:
    """The rows as CSV without a header, a few megabytes at a time: (text, number of rows).

    `DataError` names column and row of a value that the engine cannot hold.
    """
    step = max(1, batch.num_rows * SLICE // max(1, batch.nbytes))
    for start in range(0, batch.num_rows, step):
        try:
            part = batch.slice(start, step)
            yield _lines(part), part.num_rows
        except UnfitError as error:
            raise error.as_data(start) from None


def _lines(batch: pa.RecordBatch) -> bytes:
    from pyarrow.csv import WriteOptions, write_csv

    names = batch.schema.names
    columns = [_printable(name, column) for name, column in zip(names, batch.columns, strict=True)]
    printable = pa.RecordBatch.from_arrays(columns, names)
    sink = pa.BufferOutputStream()
    write_csv(printable, sink, WriteOptions(include_header=False, batch_size=batch.num_rows))
    text = bytes(sink.getvalue().to_pybytes())
    if b"\0" in text:
        _refuse_nul(printable)
    return text


def chunks(text: bytes) -> Iterator[memoryview]:
    """Pieces of a size that the driver passes on without copying them together."""
    view = memoryview(text)
    for start in range(0, len(view), CHUNK):
        yield view[start : start + CHUNK]


def _printable(name: str, column: Any) -> Any:
    """A column that pyarrow's CSV writer prints the way the engine reads it."""
    t, kind = pa.types, column.type
    if t.is_dictionary(kind):
        return _printable(name, column.dictionary_decode())
    if t.is_string_view(kind):
        return column.cast(pa.large_utf8())
    if t.is_timestamp(kind):
        return _timestamps(name, column.cast(pa.timestamp("us", kind.tz)))
    if t.is_date(kind):
        return _dates(name, column.cast(pa.date32()))
    if t.is_duration(kind):
        return _intervals(column)
    if t.is_binary(kind) or t.is_large_binary(kind) or t.is_fixed_size_binary(kind) or t.is_binary_view(kind):
        return _hex(column)
    return column


def _intervals(column: Any) -> Any:
    """`<n> microseconds`."""
    digits = column.cast(pa.duration("us")).cast(pa.int64()).cast(pa.utf8())
    return pc.binary_join_element_wise(digits, "microseconds", " ")


def _hex(column: Any) -> Any:
    r"""`\x…`: the hex digits of all values in one call, their offsets doubled."""
    values = column.cast(pa.large_binary())
    _, offsets, data = values.buffers()
    bounds: Any = pa.Array.from_buffers(pa.int64(), len(values) + 1, [None, offsets], offset=values.offset)
    start, end = bounds[0].as_py(), bounds[-1].as_py()
    digits = data.slice(start, end - start).hex() if end > start else b""
    moved = pc.multiply(pc.subtract(bounds, bounds[0]), 2)
    valid = pc.is_valid(values).buffers()[1] if values.null_count else None
    text = pa.Array.from_buffers(pa.large_utf8(), len(values), [valid, moved.buffers()[1], pa.py_buffer(digits)])
    prefix, nothing = (pa.scalar(part, pa.large_utf8()) for part in ("\\x", ""))
    return pc.binary_join_element_wise(prefix, text, nothing)


def _dates(name: str, column: Any) -> Any:
    days = column.view(pa.int32()).cast(pa.int64())
    if within(days, _FIRST_DAY, _LAST_DAY):
        return column
    check_range(name, days, DATES)
    return _far(days, None)


def _timestamps(name: str, column: Any) -> Any:
    """Printed without a zone: the session's zone is UTC."""
    micros = column.view(pa.int64())
    if within(micros, _FIRST_DAY * _DAY, (_LAST_DAY + 1) * _DAY - 1):
        return micros.view(pa.timestamp("us"))
    check_range(name, micros, TIMES)
    days = pc.divide(micros, _DAY)
    rest = pc.subtract(micros, pc.multiply(days, _DAY))
    days = pc.subtract(days, pc.if_else(pc.less(rest, 0), 1, 0))  # divide() rounds towards zero
    return _far(days, pc.subtract(micros, pc.multiply(days, _DAY)))


def _far(days: Any, micros: Any) -> Any:
    """Text of days before year 1 or after year 9999: moved by whole calendar cycles, printed, the year put right."""
    cycles = pc.floor(pc.divide(days.cast(pa.float64()), float(_CYCLE_DAYS))).cast(pa.int64())
    inside = pc.subtract(days, pc.multiply(cycles, _CYCLE_DAYS)).cast(pa.int32()).cast(pa.date32())
    year = pc.add(pc.year(inside), pc.multiply(cycles, _CYCLE_YEARS))
    before = pc.less(year, 1)
    digits = pc.utf8_lpad(pc.if_else(before, pc.subtract(1, year), year).cast(pa.utf8()), 4, "0")
    parts = [digits, pc.utf8_slice_codeunits(inside.cast(pa.utf8()), 4)]
    if micros is not None:
        parts += [pa.scalar(" "), micros.view(pa.time64("us")).cast(pa.utf8())]
    return pc.binary_join_element_wise(*parts, pc.if_else(before, " BC", ""), "")


def _refuse_nul(batch: pa.RecordBatch) -> None:
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            row = pc.index(pc.fill_null(pc.match_substring(column, "\0"), False), True).as_py()
            if row >= 0:
                advice = "replace the character in the source, or keep the column as bytes"
                raise UnfitError(name, row, "text with a NUL character", advice)
