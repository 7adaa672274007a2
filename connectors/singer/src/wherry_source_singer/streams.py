"""One stream of a read: lines of records to batches, with the types that its schema tells where values are of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from wherry import KIND, Batch, DataError, Mark, Records, Selection, SourceError

from wherry_source_singer.catalog import DELETED, shown
from wherry_source_singer.types import schema_of

OP = "_wherry_op"
_VERSION = re.compile(rb'"version"\s*:\s*(\d+)')


class Reading:
    """A selected stream while it is read.

    told: the tap sent its schema.  version: of the rows that came last; activated: the one that the tap declared whole.
    """

    def __init__(self, selection: Selection, version: int | None) -> None:
        self.selection = selection
        self.told = False
        self.rows = 0
        self.version: int | None = None
        self.known = version
        """The version that the table holds; `switched` to in this read, so that earlier rows go."""
        self.switched = False
        self.activated: int | None = None
        self._records: Records | None = None
        self._announced = selection.stream
        self._schema: Any = self

    @property
    def path(self) -> str:
        """The stream's, as the pipeline knows it."""
        return self.selection.stream.path

    @property
    def full(self) -> bool:
        """Whether the limit is reached."""
        limit = self.selection.limit
        return limit is not None and self.rows >= limit

    def tell(self, message: Mapping[str, Any]) -> Iterator[Mark]:
        """A SCHEMA message: from now on columns are of these types."""
        self.told = True
        if message.get("schema") == self._schema:
            return
        self._schema = message.get("schema")
        schema = self._own(schema_of(self._schema))
        if schema.names:
            known = {f.name: f for f in self._announced.schema}
            lost = [f for f in known.values() if f.name not in schema.names]
            fields = [
                known.get(f.name, f) if _is_json(f) else f for f in schema
            ]  # one that leaves it open takes nothing back
            yield from self._announce(pa.schema([*fields, *lost]))
        self._records = Records("record", schema=_open(self._announced.schema), name=f"stream {self.path}")

    def batches(self, lines: bytes) -> Iterator[Batch | Mark]:
        """Records of this stream, in order. Raises `SourceError` for one before its schema."""
        if not self.told or self._records is None:
            raise SourceError(
                f"it sent a record of {self.path} before its schema", next="report it to the author of the tap"
            )
        try:
            parsed = self._records.parse_lines(lines)
        except DataError as error:
            if "not JSON" in error.message:
                raise SourceError(f"it sent what cannot be read: {error.message}", next=error.next) from None
            raise
        if None in parsed.counts:
            raise SourceError(
                f"it sent a record of {self.path} without a value", next="report it to the author of the tap"
            )
        for batch in parsed.batches:
            yield from self._shaped(batch)
        if parsed.rejected is not None:
            yield Batch(stream=self.path, data=pa.RecordBatch.from_pylist([]), rejected=parsed.rejected)

    def _shaped(self, batch: pa.RecordBatch) -> Iterator[Batch | Mark]:
        known = {f.name: f for f in self._announced.schema}
        keep = self.selection.columns
        pairs = [
            _fitted(field, column, known.get(field.name))
            for field, column in zip(batch.schema, batch.columns, strict=True)
            if keep is None or field.name in keep or (self._announced.changes and field.name == DELETED)
        ]
        place = {name: n for n, name in enumerate(known)}
        pairs.sort(key=lambda pair: place.get(pair[0].name, len(place)))
        limit = self.selection.limit
        count = batch.num_rows if limit is None else min(batch.num_rows, limit - self.rows)
        if count <= 0:
            return
        self.rows += count
        fields = [field for field, _ in pairs if not pa.types.is_null(field.type)]
        columns = [column for field, column in pairs if not pa.types.is_null(field.type)]
        grown = known | {f.name: f for f in fields}
        yield from self._announce(self._own(pa.schema(list(grown.values()))))
        if self._announced.changes:
            fields, columns = _operations(fields, columns, batch.num_rows)
        shaped = _batch(fields, columns, batch.num_rows)
        yield Batch(stream=self.path, data=shaped if count == batch.num_rows else shaped.slice(0, count))

    def _own(self, schema: pa.Schema) -> pa.Schema:
        """Without the column that a log tells deletes by."""
        return pa.schema([f for f in schema if f.name != DELETED]) if self._announced.changes else schema

    def _announce(self, schema: pa.Schema) -> Iterator[Mark]:
        if shown(schema) != shown(self._announced.schema):
            self._announced = replace(self._announced, schema=schema)
            yield Mark(stream=self._announced)


def versions(lines: bytes) -> Iterator[tuple[int | None, bytes]]:
    """Lines of records, cut where the version of their table changes."""
    first = lines[: lines.find(b"\n") + 1] or lines
    version = _version(first)
    if version is None:
        if b'"version"' not in lines[lines.rfind(b"\n", 0, -1) + 1 :]:  # a tap tells them of all rows, or of none
            yield None, lines
            return
    elif (
        lines.count(_tail(first, version)) == lines.count(b"\n") + (not lines.endswith(b"\n")) and b'"version"' in first
    ):
        yield version, lines
        return
    held: list[bytes] = []
    at: int | None = None
    for line in lines.splitlines(keepends=True):
        found = _version(line)
        if held and found != at:
            yield at, b"".join(held)
            held = []
        at = found
        held.append(line)
    if held:
        yield at, b"".join(held)


def _version(line: bytes) -> int | None:
    if b'"version"' not in line:
        return None
    found = json.loads(line).get("version")
    return found if isinstance(found, int) else None


def _tail(line: bytes, version: int) -> bytes:
    """The member as the tap writes it."""
    match = next((m for m in _VERSION.finditer(line) if int(m[1]) == version), None)
    return match[0] if match else b"\n\n"


def _open(schema: pa.Schema) -> pa.Schema:
    """Columns that may hold anything, to be kept as JSON text: all else is found out from the values."""
    return pa.schema([f for f in schema if _is_json(f)])


def _is_json(field: pa.Field) -> bool:
    return (field.metadata or {}).get(KIND) == b"json"


def _fitted(field: pa.Field, column: pa.Array, known: pa.Field | None) -> tuple[pa.Field, pa.Array]:
    """The column in the type that was told, if all of its values are of that type; else as it is."""
    if known is None or field.equals(known, check_metadata=True):
        return field, column
    wanted = known.type
    if pa.types.is_null(field.type):
        return known, pa.nulls(len(column), wanted)
    if (field.metadata or {}).get(KIND) is not None or pa.types.is_nested(field.type):
        return field, column
    if field.type.equals(wanted):
        return known, column
    try:
        return known, _cast(column, wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return _naive(field, column) if pa.types.is_timestamp(wanted) else (field, column)


def _cast(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Raises `ArrowInvalid` rather than change a value."""
    timely = pa.types.is_temporal(wanted) or pa.types.is_decimal(wanted)
    numeric = pa.types.is_integer(column.type) and (pa.types.is_floating(wanted) or pa.types.is_decimal(wanted))
    numeric = numeric or (pa.types.is_floating(column.type) and pa.types.is_decimal(wanted))
    numeric = numeric or (pa.types.is_decimal(column.type) and pa.types.is_decimal(wanted))
    if not (timely if pa.types.is_string(column.type) else numeric) or pa.types.is_boolean(column.type):
        raise pa.ArrowInvalid("kinds differ")
    if pa.types.is_floating(column.type) and pa.types.is_decimal(wanted):
        column = column.cast(pa.string())
    return column.cast(wanted)


def _naive(field: pa.Field, column: pa.Array) -> tuple[pa.Field, pa.Array]:
    """Times of day and date without a zone stay so; what is neither stays text."""
    try:
        return field.with_type(pa.timestamp("us")), column.cast(pa.timestamp("us"))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return field, column


def _operations(fields: list[pa.Field], columns: list[pa.Array], rows: int) -> tuple[list[pa.Field], list[pa.Array]]:
    """With `_wherry_op`: a record that says when it was deleted is a delete by its key."""
    at = next((i for i, f in enumerate(fields) if f.name == DELETED), None)
    gone = pa.nulls(rows, pa.bool_()) if at is None else columns[at].is_valid()
    ops = pc.fill_null(gone, False).cast(pa.int8())
    kept = [i for i in range(len(fields)) if i != at]
    return [pa.field(OP, pa.int8()), *(fields[i] for i in kept)], [ops, *(columns[i] for i in kept)]


def _batch(fields: list[pa.Field], columns: list[pa.Array], rows: int) -> pa.RecordBatch:
    if fields:
        return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))
    return pa.RecordBatch.from_struct_array(pa.array([{}] * rows, pa.struct([])))
