"""The records of a stream's bodies, as Arrow batches whose schema grows with what is seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from wherry.errors import DataError
from wherry.json_rows import exact
from wherry.json_rows.convert import Rejects, columns, fit
from wherry.json_rows.evolve import evolve, natural
from wherry.json_rows.find import count
from wherry.json_rows.flatten import flat_arrays, flat_fields, flat_row, flat_shapes
from wherry.json_rows.paths import steps, walk
from wherry.json_rows.seen import Seen, UnfitError
from wherry.json_rows.shape import JsonShape
from wherry.json_rows.wire import Documents, Found, Lines, Wire, converts, wire_type
from wherry.pipeline.lattice import InexactError

BOM = b"\xef\xbb\xbf"
PARTS = 16
"""Into how many parts documents are cut to find those that do not fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What some bodies held.

    batches: their records in order, all of one schema, none if there was no record.  counts: how many rows of the
    batches came from each body; None: the body does not have the path, or something else than records stands there.
    rejected: records that do not fit the declared schema, as `Batch.rejected` wants them.
    """

    batches: tuple[pa.RecordBatch, ...]
    counts: tuple[int | None, ...]
    rejected: pa.RecordBatch | None = None

    @property
    def rows(self) -> int:
        """How many rows the batches have."""
        return sum(batch.num_rows for batch in self.batches)


class Records:
    """The records of one read of a stream. It remembers the schema: a column never loses its type, it is widened.

    path: where the records are (`paths.steps`): a list of objects, or one object.  schema: columns whose types are
    declared (`declared`), which are converted exactly or rejected; others are found out.  include_key: a column for the
    key of the map that the last `*` went over.  flatten: an object's members become columns `outer__inner`.
    name: what bodies belong to, for messages ("stream issues").

    Numbers are int64, double where it prints the same, decimal, else JSON text; lists and objects stay nested; values
    of several kinds in one column become JSON text (field metadata `KIND`); texts are never taken for times.
    """

    def __init__(
        self,
        path: str,
        *,
        schema: pa.Schema | None = None,
        include_key: str | None = None,
        flatten: bool = False,
        name: str = "",
    ) -> None:
        self._path = path
        self._steps = steps(path)
        declared = {field.name: field for field in schema or ()}
        self._declared = flat_fields(declared) if flatten else declared
        self._key = include_key
        self._flatten = flatten
        self._name = name
        self._shape = JsonShape({"object"})
        self._as_list: bool | None = None
        self._seen = Seen()
        self._given: dict[str, pa.Field] = dict(self._declared)
        self._bodies = 0
        self._row = 0

    @property
    def schema(self) -> pa.Schema:
        """The columns given out so far, in the order they were seen, declared ones first."""
        return pa.schema(list(self._given.values()))

    def parse(self, bodies: Sequence[bytes]) -> Parsed:
        """The records of some bodies, best about twenty pages at once.

        Raises `DataError` for a body that is not JSON, a record that is no object, a key given twice, half of a
        surrogate pair, NaN, and nesting over 100 levels; it names body and record, from 1, never a value.
        """
        texts = [body.removeprefix(BOM).strip() for body in bodies]
        return self._parse(Documents(texts)) if texts else Parsed(batches=(), counts=())

    def parse_lines(self, block: bytes) -> Parsed:
        """The records of JSON lines: each line that is not blank is a body. Raises `DataError` as `parse` does."""
        lines = Lines(block)
        return self._parse(lines) if lines.number else Parsed(batches=(), counts=())

    def _parse(self, documents: Documents) -> Parsed:
        found = self._read(documents)
        if found is None and self._bulky() and self._learn(documents):
            found = self._read(documents)
        parsed = None if found is None else self._converted(found, documents)
        if parsed is None:
            parsed = self._exactly(documents.bodies)
        self._bodies += documents.number
        self._row += parsed.rows + (0 if parsed.rejected is None else parsed.rejected.num_rows)
        return parsed

    def _read(self, documents: Documents) -> Found | None:
        """The records in bulk; None if that may go wrong."""
        if self._as_list is None or self._key is not None:
            return None
        try:
            return Wire(self._shape, self._steps, self._as_list, self._seen).read(documents)
        except UnfitError:
            return None

    def _bulky(self) -> bool:
        """Whether documents like those that came may be read in bulk: no column needs a look at each value."""
        if self._as_list is None:  # none came yet
            return self._key is None
        shapes = self._columns()
        try:
            wire_type(self._shape)
        except UnfitError:
            return False
        fields = self._fields(shapes)
        return self._key is None and all(converts(shape, fields[name]) for name, shape in shapes.items())

    def _learn(self, documents: Documents) -> bool:
        """Look exactly at documents that cannot be read in bulk. Whether all may be, with what those told."""
        before = natural("", self._shape), self._as_list
        size = max(1, documents.number // PARTS)
        for start in range(0, documents.number, size):
            part = documents.part(start, start + size)
            if self._read(part) is None:
                self._shape.merge(exact.observe(self._rows(part.bodies, start)[0]))
                if not self._bulky():
                    return False
        return before != (natural("", self._shape), self._as_list)

    def _converted(self, found: Found, documents: Documents) -> Parsed | None:
        """Records in natural types into the columns' own; None if a value is to be looked at."""
        shapes = self._columns()
        fields = self._fields(shapes)
        if not all(converts(shape, fields[name]) for name, shape in shapes.items()):
            return None
        schema = pa.schema(list(fields.values()))
        try:
            batches = tuple(self._batch(piece, schema) for piece in found.records if len(piece))
        except InexactError:
            return None
        counts = found.counts
        if None in counts:
            several = zip(counts, documents.bodies, strict=True)
            counts = [count(body, self._path) if n is None else n for n, body in several]
        self._given = fields
        return Parsed(batches=batches, counts=tuple(counts))

    def _batch(self, records: pa.StructArray, schema: pa.Schema) -> pa.RecordBatch:
        if self._flatten:
            arrays = flat_arrays(records, self._shape.fields, self._declared)
        else:
            arrays = {field.name: column for field, column in zip(records.type, records.flatten(), strict=True)}
        fitted = [fit(arrays[f.name], f.type) if f.name in arrays else pa.nulls(len(records), f.type) for f in schema]
        return pa.RecordBatch.from_arrays(fitted, schema=schema)

    def _exactly(self, bodies: Sequence[bytes]) -> Parsed:
        rows, counts = self._rows(bodies, 0)
        self._shape.merge(exact.observe(rows))
        shapes = self._columns()
        fields = self._fields(shapes)
        if self._flatten:
            rows = [flat_row(row, self._shape.fields, self._declared) for row in rows]
        rejects = Rejects(self._row)
        batch = columns(rows, pa.schema(list(fields.values())), self._declared, rejects)
        self._given = fields
        return Parsed(
            batches=(batch,) if batch.num_rows else (),
            counts=tuple(rejects.subtract(counts)),
            rejected=rejects.batch(),
        )

    def _columns(self) -> dict[str, JsonShape]:
        return flat_shapes(self._shape.fields, self._declared) if self._flatten else self._shape.fields

    def _fields(self, shapes: Mapping[str, JsonShape]) -> dict[str, pa.Field]:
        """The columns' fields, those that were given out before first."""
        none = JsonShape()
        return {
            name: evolve(name, self._given.get(name), shapes.get(name, none), self._declared.get(name))
            for name in dict.fromkeys([*self._given, *shapes])
        }

    def _rows(self, bodies: Sequence[bytes], start: int) -> tuple[list[dict[str, Any]], list[int | None]]:
        """The records of bodies by Python's parser. start: number of the first body in this call, for messages."""
        rows: list[dict[str, Any]] = []
        counts: list[int | None] = []
        for number, body in enumerate(bodies, self._bodies + start + 1):
            where = f"{self._name}, body {number}" if self._name else f"body {number}"
            found = self._records(exact.document(body, where), where)
            counts.append(None if found is None else len(found))
            rows.extend(found or ())
        return rows, counts

    def _records(self, document: object, where: str) -> list[dict[str, Any]] | None:
        found: list[dict[str, Any]] | None = None
        for key, value in walk(document, self._steps):
            if isinstance(value, dict | list):
                self._as_list = isinstance(value, list)
            elif value is not None:
                continue
            found = found or []
            for record in [value] if isinstance(value, dict) else value or ():
                if not isinstance(record, dict):
                    raise DataError(f"{where}, record {len(found) + 1} is not a JSON object")
                found.append(record if self._key is None else {self._key: key, **record})
        return found
