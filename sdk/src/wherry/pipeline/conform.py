"""Batches of a stream become batches of its table: names mapped, values cast exactly, the schema widened if needed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from wherry.contracts.destination import Destination
from wherry.contracts.loading import Target
from wherry.contracts.values import KIND, OP, PARTIAL, POSITION, UNSET, Selection
from wherry.errors import DataError, SchemaError
from wherry.pipeline import types
from wherry.pipeline.lattice import InexactError, exact_cast, inexact_rows, join
from wherry.pipeline.names import NameMap

SOURCE_NAME = b"wherry:source"
_PASSED = (OP, UNSET)
_UUID = "^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a batch made of the table's columns: added name -> type, widened name -> (old, new), types for people."""

    added: dict[str, str]
    widened: dict[str, tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """A row of a batch that cannot go into the table. column: the source's name of the one concerned."""

    row: int
    column: str
    reason: str


class Conformer:
    """One stream's way into its table. Shared by the lanes of a plan; `target` only ever grows.

    version rises with each change: a load prepares the target again when it has seen an older one.
    live: columns of the table that readers see, where that is not the target's own: a rebuild starts without any.
    """

    def __init__(
        self,
        selection: Selection,
        target: Target,
        destination: Destination,
        names: NameMap,
        live: pa.Schema | None = None,
    ):
        self.selection = selection
        self.schema = selection.stream.schema
        """The stream's columns as last announced: what positions in partial updates refer to."""
        self.target = target
        self.version = 0
        self.told = target.schema if live is None else live
        """Columns that are no news: of a new table, all that its first batch brings."""
        self._live = live
        self._destination = destination
        self._names = names
        self._lock = threading.Lock()
        self._wanted = {c: types.parse(t, c) for c, t in selection.types.items()}
        self._kept = None if selection.columns is None else frozenset(selection.columns)

    def announce(self, schema: pa.Schema, *, firm: bool = False) -> Change | None:
        """Columns the source says will come; so a table has them even when no row does.

        firm: as if each column brought a value, so that types count too.
        """
        empty = pa.RecordBatch.from_arrays([pa.nulls(0, f.type) for f in schema], schema=schema)
        return self.conform(empty, firm=firm)[1]

    def complete(self, schema: pa.Schema) -> Change | None:
        """Those of the announced columns that no batch has brought."""
        have = set(self.target.schema.names)
        path = self.selection.stream.path
        absent = [f for f in schema if f.name not in _PASSED and self._names.column(path, f.name) not in have]
        return self.announce(pa.schema(absent)) if absent else None

    def conform(self, batch: pa.RecordBatch, *, firm: bool = False) -> tuple[pa.RecordBatch, Change | None]:
        """The batch with the table's names and types, and what it changed of the table's columns."""
        if self._kept is None:
            self._refuse_too_wide(batch.num_columns)
        with self._lock:
            fields: list[pa.Field] = []
            columns: list[pa.Array] = []
            for field, column in zip(batch.schema, batch.columns, strict=True):
                if field.name in _PASSED:
                    fields.append(field)
                    columns.append(column)
                elif self._kept is None or field.name in self._kept:
                    fitted = self._fit(field, column, firm)
                    if fitted is not None:
                        fields.append(fitted[0])
                        columns.append(fitted[1])
            if OP in batch.schema.names:
                self._translate_unset(fields, columns, batch.num_rows)
            change = self._change()
            return _batch(fields, columns, batch.num_rows), change

    def not_as_it_is(self, schema: pa.Schema) -> str | None:
        """Why rows of this schema cannot go into the table unread: a column would not be kept as the source has it."""
        path = self.selection.stream.path
        for field in schema if self._kept is None else [f for f in schema if f.name in self._kept]:
            name = self._names.column(path, field.name)
            kept = self._stored(field, self._destination.storage(field)[0])
            at = self.target.schema.get_field_index(name)
            for known in (self.target.schema.field(at) if at >= 0 else None, self._lived(name)):
                if known is not None and not _same(known, kept):
                    return f"column {field.name!r} is {types.show(kept)}, in its table {types.show(known)}"
            if field.name in self._wanted or field.name in _PASSED or pa.types.is_null(field.type):
                return f"column {field.name!r} needs a look at its values"
        return None

    def unreadable(self, batch: pa.RecordBatch) -> list[Misfit]:
        """Rows of a source's batch with text that is no text: not UTF-8, or half of a surrogate pair."""
        found: dict[int, Misfit] = {}
        for field, column in zip(batch.schema, batch.columns, strict=True):
            if pa.types.is_string(field.type) or pa.types.is_nested(field.type):
                for row in _invalid_rows(column):
                    reason = f"column {field.name!r}: text that is not UTF-8"
                    found.setdefault(row, Misfit(row=row, column=field.name, reason=reason))
        return list(found.values())

    def misfits(self, batch: pa.RecordBatch) -> list[Misfit]:
        """Rows of a source's batch with a value that is not of the type that was asked for its column."""
        found: dict[int, Misfit] = {}
        for name, wanted in self._wanted.items():
            index = batch.schema.get_field_index(name)
            for row in [] if index < 0 else inexact_rows(batch.column(index), wanted.type):
                reason = f"column {name!r}: not a {types.show(wanted)}"
                found.setdefault(row, Misfit(row=row, column=name, reason=reason))
        return list(found.values())

    def unfit(self, batch: pa.RecordBatch) -> list[Misfit]:
        """Rows of a conformed batch that the table does not take: without a key, or with what no column can hold."""
        found: dict[int, Misfit] = {}
        for field, column in zip(batch.schema, batch.columns, strict=True):
            name = (field.metadata or {}).get(SOURCE_NAME, field.name.encode()).decode()
            for mask, reason in self._refusals(field, column):
                for row in pc.indices_nonzero(pc.fill_null(mask, False)).to_pylist():
                    why = f"column {name!r}: {reason}"
                    found.setdefault(row, Misfit(row=row, column=name, reason=why))
        return list(found.values())

    def source_of(self, column: str) -> str:
        """What the source calls a column of the table."""
        return self._names.source(self.selection.stream.path, column)

    def _refusals(self, field: pa.Field, column: pa.Array) -> Iterator[tuple[pa.Array, str]]:
        if field.name in self.target.key and column.null_count:
            yield column.is_null(), "no value, though it is part of the key"
        if field.name in _PASSED:
            return
        if _kind(field) == b"uuid":
            known = pc.match_substring_regex(column, _UUID)
            if not pc.all(known, min_count=0).as_py():
                yield pc.invert(known), "not a UUID"
        refused = self._destination.refuses(field, column)
        if refused is not None:
            yield refused

    def _translate_unset(self, fields: list[pa.Field], columns: list[pa.Array], rows: int) -> None:
        """Positions of untouched columns, given in the stream's schema, become those of the target's.

        A partial update leaves alone what its batch does not have, whether it says so or not.
        """
        ops = next(c for f, c in zip(fields, columns, strict=True) if f.name == OP)
        at = next((i for i, f in enumerate(fields) if f.name == UNSET), len(fields))
        if at == len(fields):
            if not pc.any(pc.equal(ops, PARTIAL), min_count=0).as_py():
                return
            fields.append(pa.field(UNSET, pa.list_(pa.int16())))
            columns.append(pa.nulls(rows, fields[at].type))
        path, schema = self.selection.stream.path, self.target.schema
        place = {
            i: schema.get_field_index(self._names.column(path, name))
            for i, name in enumerate(self.schema.names)
            if name not in _PASSED and (self._kept is None or name in self._kept)
        }
        present = {f.name for f in fields}
        absent = [i for i, name in enumerate(schema.names) if name not in present]
        alone = [
            sorted({place[i] for i in row or () if place.get(i, -1) >= 0} | set(absent)) if op == PARTIAL else None
            for row, op in zip(columns[at].to_pylist(), ops.to_pylist(), strict=True)
        ]
        columns[at] = pa.array(alone, pa.list_(pa.int16()))
        fields[at] = pa.field(UNSET, pa.list_(pa.int16()))

    def _fit(self, field: pa.Field, column: pa.Array, firm: bool) -> tuple[pa.Field, pa.Array] | None:
        wanted = self._wanted.get(field.name)
        if wanted is not None:
            field = wanted
            column = self._force(field, column)
        name = self._names.column(self.selection.stream.path, field.name)
        index = self.target.schema.get_field_index(name)
        current = self.target.schema.field(index) if index >= 0 else None
        empty = column.null_count == len(column)  # says nothing of a type: the table's own stays
        if wanted is None and empty and not firm:
            known = current if current is not None else self._lived(name)
            if known is not None:
                self._keep(field.name, known, index)
                return known, pa.nulls(len(column), known.type)
        if pa.types.is_null(field.type):  # not a type yet: the column comes with its first value
            return None if current is None else (current, pa.nulls(len(column), current.type))
        for candidate in self._candidates(field, current):
            try:
                fitted = exact_cast(column, candidate.type)
            except InexactError:
                continue
            final = candidate.with_name(name)
            if name in self.target.key and current is not None:
                _refuse_other_keys(field.name, current, final)
            self._keep(field.name, final, index)
            return final, fitted
        raise SchemaError(
            f"column {field.name!r}: no type of the destination holds both {types.show(field)} and what is there",
            next=f"give the column a type: --type {field.name}=text",
        )

    def _lived(self, name: str) -> pa.Field | None:
        """The column in the table that readers see."""
        index = -1 if self._live is None else self._live.get_field_index(name)
        return None if self._live is None or index < 0 else self._live.field(index)

    def _refuse_too_wide(self, columns: int) -> None:
        most = self._destination.capabilities.columns
        if columns > most:
            told = f"stream {self.selection.stream.path}: {columns:,} columns"
            raise SchemaError(f"{told}, and a table takes {most:,}", next="choose those to keep: --columns NAME,…")

    def _force(self, field: pa.Field, column: pa.Array) -> pa.Array:
        try:
            return exact_cast(column, field.type)
        except InexactError as error:
            raise DataError(
                f"column {field.name!r}: not a {types.show(field)}",
                column=field.name, row=error.row, key="type", next=f"--type {field.name}=text keeps it as it is",
            ) from None  # fmt: skip

    def _candidates(self, field: pa.Field, current: pa.Field | None) -> Iterator[pa.Field]:
        """Fields to try, best first: the table's own type if that may hold it, then wider ones."""
        storage = [self._stored(field, t) for t in self._destination.storage(field)]
        if current is None:
            yield from storage
            return
        if current.type.equals(field.type) or (
            _kind(current) == _kind(storage[0]) and current.type.equals(storage[0].type)
        ):
            yield _merge_kind(current, storage[0])
        yield from self._widened(current, storage)

    def _widened(self, current: pa.Field, storage: list[pa.Field]) -> list[pa.Field]:
        found: list[pa.Field] = []
        binary = pa.types.is_binary(current.type)
        if binary != pa.types.is_binary(storage[0].type):
            join(current.type, storage[0].type)  # bytes and text do not mix: says so
        for offered in storage:
            if binary != pa.types.is_binary(offered.type):
                continue
            joined = join(current.type, offered.type)
            if joined is None:  # number and float: the table's type while every value is exact, else text
                found.append(current)
                joined = pa.utf8()
            found.extend(self._stored(current, t) for t in self._destination.storage(current.with_type(joined)))
        if not binary:
            found.append(self._stored(current, pa.utf8()))
        return [_merge_kind(f, storage[0]) for f in found]

    @staticmethod
    def _stored(field: pa.Field, storage: pa.DataType) -> pa.Field:
        kind = (field.metadata or {}).get(KIND)
        if kind is None and pa.types.is_nested(field.type) and pa.types.is_string(storage):
            kind = b"json"
        keep = {KIND: kind} if kind is not None and pa.types.is_string(storage) else None
        return pa.field(field.name, storage, metadata=keep)

    def _keep(self, source: str, final: pa.Field, index: int) -> None:
        metadata = dict(final.metadata or {})
        if final.name != source:
            metadata[SOURCE_NAME] = source.encode()
        final = final.with_metadata(metadata or None)
        schema = self.target.schema
        if index >= 0 and schema.field(index).equals(final, check_metadata=True):
            return
        if index >= 0 and _same(schema.field(index), final):
            schema = schema.set(index, final)
            self.target = replace(self.target, schema=schema)
            return
        schema = schema.append(final) if index < 0 else schema.set(index, final)
        if index < 0 and len(schema) > self._destination.capabilities.columns:
            self._refuse_too_wide(len(schema))
        self.target = replace(self.target, schema=schema)
        self.version += 1

    def _change(self) -> Change | None:
        """What readers of the table have not been told; afterwards it is no news."""
        told, self.told = self.told, _wider(self.told, self.target.schema)
        if told is self.told or len(told) == 0:
            return None
        added, widened = {}, {}
        for field in self.told:
            index = told.get_field_index(field.name)
            if index < 0:
                added[field.name] = types.show(field)
            elif not _same(told.field(index), field):
                widened[field.name] = (types.show(told.field(index)), types.show(field))
        return Change(added=added, widened=widened) if added or widened else None


def _wider(told: pa.Schema, schema: pa.Schema) -> pa.Schema:
    """`told` with what only `schema` holds; `told` itself if there is nothing."""
    found = told
    for field in schema:
        index = found.get_field_index(field.name)
        if index < 0:
            found = found.append(field)
        elif not _holds(found.field(index), field):
            found = found.set(index, field)
    return found


def _holds(wide: pa.Field, field: pa.Field) -> bool:
    if _same(wide, field):
        return True
    if _kind(wide) is not None:
        return False
    try:
        joined = join(wide.type, field.type)
    except SchemaError:  # a rebuilt table may have any other type
        return False
    return joined is not None and bool(joined.equals(wide.type))


def _invalid_rows(column: pa.Array) -> list[int]:
    """Positions of values with text that is not UTF-8."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        if len(column) == 1:
            return [0]
        middle = len(column) // 2
        right = _invalid_rows(column.slice(middle))
        return _invalid_rows(column.slice(0, middle)) + [middle + row for row in right]
    return []


def refit(rows: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Conformed rows with the types of a schema that has grown since: another lane widened a column."""
    for i, field in enumerate(rows.schema):
        place = schema.get_field_index(field.name)
        if place >= 0 and not schema.field(place).type.equals(field.type):
            rows = rows.set_column(i, schema.field(place), exact_cast(rows.column(i), schema.field(place).type))
    return rows


def with_position(batch: pa.RecordBatch, first: int) -> pa.RecordBatch:
    """The batch with a column `_wherry_pos` that counts from `first`."""
    ones = pc.cumulative_sum(pa.repeat(pa.scalar(1, pa.int64()), batch.num_rows), start=first - 1)
    return batch.append_column(pa.field(POSITION, pa.int64()), ones)


def _batch(fields: list[pa.Field], columns: list[pa.Array], rows: int) -> pa.RecordBatch:
    if fields:
        return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))
    return pa.RecordBatch.from_struct_array(pa.array([{}] * rows, pa.struct([])))


def _refuse_other_keys(name: str, current: pa.Field, final: pa.Field) -> None:
    """Raise for a key of numbers that would become text: 1 in the table is 1.000000000 then, which no later row is."""
    fractions = pa.types.is_decimal(current.type) or pa.types.is_floating(current.type)
    if fractions and pa.types.is_string(final.type):
        raise SchemaError(
            f"column {name!r} is part of the key and holds a value that is no {types.show(current)}: as text the keys "
            "that are in the table would be other ones",
            next=f"have it as text throughout: --full-refresh --type {name}=text, or leave such rows out: --where",
        )


def _kind(field: pa.Field) -> bytes | None:
    return (field.metadata or {}).get(KIND)


def _same(a: pa.Field, b: pa.Field) -> bool:
    return bool(a.type.equals(b.type)) and _kind(a) == _kind(b)


def _merge_kind(field: pa.Field, other: pa.Field) -> pa.Field:
    """A text column stays JSON or UUID only while all that goes in is."""
    if _kind(field) == _kind(other) or _kind(field) is None:
        return field
    return field.with_metadata({k: v for k, v in (field.metadata or {}).items() if k != KIND} or None)
