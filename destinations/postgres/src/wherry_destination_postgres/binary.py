"""Arrow batches as binary COPY: every value in the server's own form, whole columns at a time.

A row is a count of its fields, and before each the number of its bytes, -1 for NULL. What has the same width in all
rows is laid side by side in one block; Arrow's row-wise join then sets the texts between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as _compute

from wherry_destination_postgres import numeric, types, unfit

pc: Any = _compute
SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
SLICE = 4 << 20
"""Bytes of Arrow data laid out at a time."""
_EPOCH_DAYS, _EPOCH = pa.scalar(10_957, pa.int32()), pa.scalar(946_684_800_000_000)
"""The server counts from the year 2000."""
_NULL = pa.scalar(-1, pa.int32())
_JOIN = {"null_handling": "replace", "null_replacement": ""}
_LARGE = 1 << 30


def fits(schema: pa.Schema, kinds: Sequence[str]) -> bool:
    """Whether columns of these types can go into columns of these types of the server, as `format_type` prints them.

    Where not, it is for the server to read text.
    """
    return all(_fits(field.type, kind) for field, kind in zip(schema, kinds, strict=True))


def _fits(given: pa.DataType, kind: str) -> bool:
    t = pa.types
    if t.is_decimal(given):
        return kind.startswith("numeric") and numeric.fits(given)
    if t.is_integer(given):
        stored = types.integer(kind)
        return stored is not None and given.bit_width + t.is_unsigned_integer(given) <= stored.bit_width
    if given == pa.utf8():
        return kind in ("text", "json", "uuid") or kind.startswith("character varying")
    return kind == types.name(given)


def rows(batch: pa.RecordBatch, kinds: Sequence[str]) -> Iterator[tuple[pa.Buffer, int]]:
    """The rows without signature and trailer, a few megabytes at a time: (bytes, number of rows).

    kinds: types of the server's columns.  `DataError` names column and row of a value that the server cannot hold.
    """
    step = max(1, batch.num_rows * SLICE // max(1, batch.nbytes))
    for start in range(0, batch.num_rows, step):
        part = batch.slice(start, step)
        try:
            yield _laid_out(part, kinds), part.num_rows
        except unfit.UnfitError as error:
            raise error.as_data(start) from None


def _laid_out(batch: pa.RecordBatch, kinds: Sequence[str]) -> pa.Buffer:
    layout = _Layout(batch.num_rows, pa.large_binary() if batch.nbytes > _LARGE else pa.binary())
    layout.constant(batch.num_columns.to_bytes(2, "big"))
    for field, kind, column in zip(batch.schema, kinds, batch.columns, strict=True):
        _add(layout, field.name, kind, column)
    return layout.joined()


def _add(layout: _Layout, name: str, kind: str, column: Any) -> None:
    given = column.type
    if given == pa.utf8() or given == pa.binary():
        layout.varying(_uuids(name, column) if kind == "uuid" else column)
    elif pa.types.is_decimal(given):
        layout.value(column, _numeric(column))
    else:
        cell = Block()
        cell.numbers(_number(name, kind, column))
        cell.constant(bytes(8) if pa.types.is_duration(given) else b"")  # no days, no months
        layout.value(column, cell)


def _number(name: str, kind: str, column: Any) -> Any:
    """Integers or floats that have the bytes of the server's values."""
    t, given = pa.types, column.type
    if t.is_integer(given):
        return column.cast(types.integer(kind))
    if t.is_boolean(given):
        return column.cast(pa.uint8())
    if t.is_date(given):
        days = column.view(pa.int32())
        unfit.check_range(name, days.cast(pa.int64()), types.DATES)
        return pc.subtract(days, _EPOCH_DAYS)
    if t.is_timestamp(given):
        micros = column.view(pa.int64())
        unfit.check_range(name, micros, types.TIMES)
        return pc.subtract(micros, _EPOCH)
    return column if t.is_floating(given) else column.view(pa.int64())


def _numeric(column: Any) -> Block:
    before, after = numeric.groups(column.type)
    signs, digits = numeric.digits(column)
    cell = Block()
    cell.constant((before + after).to_bytes(2, "big") + (before - 1).to_bytes(2, "big"))
    cell.numbers(signs, 2)
    cell.constant(column.type.scale.to_bytes(2, "big"))
    for digit in digits:
        cell.numbers(digit, 2)
    return cell


def _uuids(name: str, column: Any) -> Any:
    """Sixteen bytes each."""
    plain = pc.replace_substring(pc.fill_null(column, "0" * 32), "-", "")
    good = pc.match_substring_regex(plain, "^[0-9a-fA-F]{32}$")
    if not pc.all(good, min_count=0).as_py():
        advice = f"keep the column as text: --type {name}=text"
        raise unfit.UnfitError(name, pc.index(good, False).as_py(), "not a UUID", advice)
    start, end = 32 * plain.offset, 32 * (plain.offset + len(plain))
    data = bytes.fromhex(plain.buffers()[2].to_pybytes()[start:end].decode())
    return _same_width(data, 16, len(column), pa.binary(), _valid(column))


class _Layout:
    """Rows as they grow, field by field."""

    def __init__(self, rows: int, kind: pa.DataType) -> None:
        self._rows = rows
        self._kind = kind
        self._done: list[Any] = []
        self._block = Block()

    def constant(self, data: bytes) -> None:
        """The same bytes in every row."""
        self._block.constant(data)

    def varying(self, column: Any) -> None:
        """Texts or bytes, after their length."""
        self._block.numbers(pc.fill_null(pc.binary_length(column), _NULL))
        self._close()
        self._done.append(column.cast(self._kind))

    def value(self, column: Any, cell: Block) -> None:
        """A field of one width, null where `column` is."""
        if not column.null_count:
            self._block.constant(cell.width.to_bytes(4, "big"))
            self._block.add(cell)
            return
        lengths = pc.if_else(column.is_valid(), pa.scalar(cell.width, pa.int32()), _NULL)
        self._block.numbers(lengths)
        self._close()
        self._done.append(cell.array(self._rows, self._kind, _valid(column)))

    def joined(self) -> pa.Buffer:
        """All rows, one after the other."""
        self._close()
        joined = pc.binary_join_element_wise(*self._done, pa.scalar(b"", self._kind), **_JOIN)
        return joined.buffers()[2]

    def _close(self) -> None:
        if self._block.width:
            self._done.append(self._block.array(self._rows, self._kind, None))
            self._block = Block()


class Block:
    """Bytes side by side that have the same width in every row."""

    def __init__(self) -> None:
        self._row = bytearray()
        self._columns: list[tuple[int, bytes, int, int]] = []
        """Of each byte: its place, and where it comes from: bytes, the first, how far apart."""

    @property
    def width(self) -> int:
        """Bytes of a row."""
        return len(self._row)

    def constant(self, data: bytes) -> None:
        """The same bytes in every row."""
        self._row += data

    def numbers(self, column: Any, size: int = 0) -> None:
        """Integers or floats, the highest byte first; of nulls any bytes. size: bytes that hold them, of more."""
        width = column.type.bit_width // 8
        data = column.buffers()[1].slice(column.offset * width, len(column) * width).to_pybytes()
        at, size = len(self._row), size or width
        self._columns += [(at + byte, data, size - 1 - byte, width) for byte in range(size)]
        self._row += bytes(size)

    def add(self, other: Block) -> None:
        """Set another's columns behind these."""
        at = len(self._row)
        self._columns += [(at + place, data, start, step) for place, data, start, step in other._columns]
        self._row += other._row

    def array(self, rows: int, kind: pa.DataType, valid: pa.Buffer | None) -> Any:
        """One value a row."""
        width, block = len(self._row), self._row * rows
        for place, data, start, step in self._columns:
            block[place::width] = data[start::step]
        return _same_width(block, width, rows, kind, valid)


def _same_width(data: bytes | bytearray, width: int, rows: int, kind: pa.DataType, valid: pa.Buffer | None) -> Any:
    offset = pa.int64() if kind == pa.large_binary() else pa.int32()
    steps = pa.concat_arrays([pa.array([0], offset), pa.repeat(pa.scalar(width, offset), rows)])
    offsets = pc.cumulative_sum(steps).buffers()[1]
    return pa.Array.from_buffers(kind, rows, [valid, offsets, pa.py_buffer(data)])


def _valid(column: Any) -> pa.Buffer | None:
    """Its validity, from the first row on."""
    return pc.is_valid(column).buffers()[1] if column.null_count else None
