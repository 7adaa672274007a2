"""JSON and JSON lines: blocks go to Arrow's parser; what it cannot hold exactly goes through Python's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
from wherry import DataError

from wherry_source_files.client import LocalFile
from wherry_source_files.formats import SAMPLE_BYTES, Reader, json_blocks, json_exact
from wherry_source_files.formats.json_shape import Shape, shape_of
from wherry_source_files.formats.literals import EXACT_INTEGER
from wherry_source_files.formats.text import TextFile, open_text

WRONG_IN_BULK = r"[\[,]\s*null|(?:^|\n)\s*null"
"""Arrow's parser shifts values after a null in an array, and takes a null row for an empty object."""
LONG_NUMBER = r"[:,\[]\s*-?(?:[0-9][0-9.]{15,}|[0-9.]+[eE])"
"""A number that may not come back from a double, or not fit an int64."""
WIDE = pa.decimal256(76, 38)
PIECE = 1 << 20
"""Bytes of JSON lines that one thread parses at a time."""
BRACKETS = b"{}[]"
NO_BRACKETS = bytes(byte for byte in range(256) if byte not in BRACKETS)


class JsonReader(Reader):
    """JSON lines; JSON documents that are an array of objects, or objects one after the other."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._shape = Shape({"object"})
        self._exact = False
        self._surveyed: list[LocalFile] = []
        self._size = max(1 << 16, min(4 << 20, self.batch_bytes))

    def sample(self, file: LocalFile) -> int | None:
        """Rows of the head; an estimate of all from the sizes."""
        limit, rows, size, cut = SAMPLE_BYTES, 0, 0, True
        while cut and not rows and limit < self.largest:
            with open_text(file, self.config.encoding, limit) as text:
                for block in _whole(self._blocks(file, text), text):
                    if text.reader.cut and file.format == "jsonl" and not block.data.endswith(b"\n"):
                        block = block.drop_last()
                    self._shape.merge(block.shape())
                    rows, size = rows + sum(map(bool, block.rows)), size + len(block.data)
                cut = text.reader.cut
            limit *= 8
        if not cut:
            return rows
        return None if file.compression or not rows else rows * file.version.size // max(1, size)

    def survey(self, file: LocalFile, limit: int | None = None) -> Iterator[None]:
        """The whole file in bulk; all files again, exactly, once a number fits neither int64 nor double."""
        self._surveyed.append(file)
        yield from self._look(file, limit)
        if self._shape.inexact and not self._exact:
            self._exact, self._shape = True, Shape({"object"})
            for earlier in self._surveyed:
                yield from self._look(earlier, limit)

    def schema(self) -> pa.Schema:
        """Keys of the top objects in the order they were first seen."""
        return self._shape.schema()

    def batches(self, file: LocalFile, columns: tuple[str, ...] | None = None) -> Iterator[pa.RecordBatch]:
        """A second pass, with the schema known."""
        names = [name for name in self._shape.fields if columns is None or name in columns]
        bulk = not any(self._shape.fields[name].has_text for name in names)
        with open_text(file, self.config.encoding) as text:
            for block in self._blocks(file, text):
                yield block.batch(self._shape, names, bulk)

    def _look(self, file: LocalFile, limit: int | None) -> Iterator[None]:
        rows = 0
        with open_text(file, self.config.encoding) as text:
            for block in self._blocks(file, text):
                self._shape.merge(block.exact_shape() if self._exact else block.shape())
                rows += block.least_rows
                if limit is not None and rows >= limit:
                    return
                yield
            text.finish(file)

    def _blocks(self, file: LocalFile, text: TextFile) -> Iterator[_Block]:
        row = 0
        if file.format == "jsonl":
            for data in json_blocks.lines(text.reader, self._size, file.rel, self.largest):
                if data.strip():
                    yield _Block(file.rel, row, data, None)
                row += data.count(b"\n")
        else:
            for rows in json_blocks.elements(text.reader, self._size, file.rel, self.largest):
                yield _Block(file.rel, row, b"\n".join(rows), rows)
                row += len(rows)


class _Block:
    """Some whole rows. first: number of the first, from 0."""

    def __init__(self, file: str, first: int, data: bytes, rows: list[bytes] | None) -> None:
        self.file = file
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

    def drop_last(self) -> _Block:
        """Without the last row, which the end of a sample cut off."""
        rows = self.rows[:-1]
        return _Block(self.file, self.first, b"\n".join(rows), rows)

    def exact_shape(self) -> Shape:
        """Facts from Python's parser."""
        return json_exact.observe(self._parsed())

    def shape(self) -> Shape:
        """Facts from Arrow's parser, checked where its numbers may not be exact; else from Python's."""
        table = self._bulk(None) if self.rows_fit_bulk() else None
        if table is None:
            return self.exact_shape()
        shape = Shape({"object"}, fields={f.name: shape_of(f.type) for f in table.schema})
        if not self._matches(LONG_NUMBER):
            return shape
        wanted = pa.schema([pa.field(f.name, _widened(f.type)) for f in table.schema])
        wide = self._bulk(wanted) if str(WIDE) in str(wanted) else table
        if wide is None:
            return self.exact_shape()
        for name in table.schema.names:
            _mark_inexact(shape.fields[name], _one(table.column(name)), _one(wide.column(name)))
        return shape

    def batch(self, shape: Shape, names: list[str], bulk: bool) -> pa.RecordBatch:
        """The rows in the types of `shape`. bulk: Arrow's parser knows them all."""
        schema = pa.schema([shape.fields[name].arrow(name) for name in names])
        table = self._bulk(schema) if bulk and names and self.rows_fit_bulk() else None
        if table is None:
            return json_exact.columns(self._parsed(), shape, names)
        return pa.RecordBatch.from_arrays([_one(column) for column in table.columns], schema=schema)

    def rows_fit_bulk(self) -> bool:
        """Whether Arrow's parser reads this text rightly, given that it is well-formed."""
        try:
            self.data.decode()
        except UnicodeDecodeError:
            return False
        return not self._matches(WRONG_IN_BULK) and _shallow(self.data)

    def _parsed(self) -> list[dict[str, Any]]:
        return json_exact.parse(self.rows, self.file, self.first)

    def _matches(self, pattern: str) -> bool:
        return bool(pc.match_substring_regex(pa.array([self.data], pa.large_binary()), pattern)[0].as_py())

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


def _whole(blocks: Iterator[_Block], text: TextFile) -> Iterator[_Block]:
    """The blocks of a sample, up to a document that the sample cuts off."""
    try:
        yield from blocks
    except DataError:
        if not text.reader.cut:
            raise


def _shallow(data: bytes) -> bool:
    """Whether nesting is surely below the limit: pairs of brackets vanish level by level."""
    left = data.translate(None, NO_BRACKETS)
    for _ in range(json_exact.DEEPEST):
        if not left:
            return True
        inner = left.replace(b"{}", b"").replace(b"[]", b"")
        if len(inner) == len(left):
            break
        left = inner
    outside = json_blocks.STRINGS.sub(b"", data)
    left = outside.translate(None, NO_BRACKETS)
    for _ in range(json_exact.DEEPEST):
        left = left.replace(b"{}", b"").replace(b"[]", b"")
    return not left


def _widened(type: pa.DataType) -> pa.DataType:
    """The type with each number in `WIDE`, in which Arrow's parser keeps every digit or refuses."""
    if pa.types.is_struct(type):
        return pa.struct([pa.field(f.name, _widened(f.type)) for f in type])
    if pa.types.is_list(type):
        return pa.list_(_widened(type.value_type))
    if pa.types.is_floating(type):
        return WIDE
    return pa.string() if pa.types.is_timestamp(type) else type


def _mark_inexact(shape: Shape, array: pa.Array, wide: pa.Array) -> None:
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
    return bool(bounds["min"].as_py() >= -EXACT_INTEGER and bounds["max"].as_py() <= EXACT_INTEGER)


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
