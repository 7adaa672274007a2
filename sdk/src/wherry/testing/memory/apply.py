"""The meaning of the four modes: what staged rows do to a table. Row by row, in plain Python."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from wherry.contracts.loading import Applied, Target
from wherry.contracts.values import (
    DELETE,
    LOAD_ID,
    OP,
    PARTIAL,
    POSITION,
    UNSET,
    UPSERT,
    VALID_FROM,
    VALID_TO,
    is_ours,
)
from wherry.errors import DataError, SchemaError

INSTANT = pa.timestamp("us", "UTC")


@dataclass
class Version:
    """One row: for each data column the row of the pool that its value comes from, None for NULL."""

    cells: list[int | None]
    load_id: int | None
    since: int | None = None
    until: int | None = None


def data_columns(table: pa.Table) -> pa.Table:
    """Without the columns that Wherry adds."""
    return table.select([name for name in table.schema.names if not is_ours(name)])


def empty(target: Target) -> pa.Table:
    """The target's table before its first row."""
    columns = list(target.schema)
    if target.load_id:
        columns.append(pa.field(LOAD_ID, pa.int64()))
    if target.mode == "history":
        columns += [pa.field(VALID_FROM, INSTANT), pa.field(VALID_TO, INSTANT)]
    return pa.schema(columns).empty_table()


def evolve(table: pa.Table, target: Target) -> pa.Table:
    """The table with the target's new columns (NULL in old rows) and wider types; nothing is ever dropped."""
    for place, column in enumerate(target.schema):
        index = table.schema.get_field_index(column.name)
        if index < 0:
            nulls = pa.nulls(table.num_rows, column.type)
            table = table.add_column(min(place, table.num_columns), column, nulls)
        elif table.schema.field(index).type != column.type:
            table = table.set_column(index, column, exactly(table.column(index), column))
    return table


def exactly(values: Any, column: pa.Field[Any]) -> Any:
    """The values in the column's type, every one of them unchanged."""
    if values.type == column.type:
        return values
    try:
        cast = values.cast(column.type)
        if _without_nan(cast.cast(values.type)) == _without_nan(values):
            return cast
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        pass
    raise SchemaError(
        f'column "{column.name}" cannot become {column.type}: some of its {values.type} values would change',
        next="rebuild the table with --full-refresh",
    )


def _without_nan(values: Any) -> Any:
    """NaN equals nothing, itself included."""
    if not pa.types.is_floating(values.type):
        return values
    return pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)


def fit(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Rows with exactly these columns; absent ones are NULL."""
    columns = [
        exactly(rows.column(f.name), f) if f.name in rows.schema.names else pa.nulls(rows.num_rows, f.type)
        for f in schema
    ]
    return pa.table(columns, schema=schema)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a load knows beside its rows. now: UTC microseconds.

    truncate: the source emptied the stream before these rows.  parts: parts that are read again: their earlier rows
    go.  complete: the staged rows are all there is (in history mode other keys end here).
    """

    load_id: int
    now: int
    truncate: bool = False
    parts: tuple[str, ...] = ()
    complete: bool = False


def apply(table: pa.Table, staged: pa.Table, target: Target, facts: Facts) -> tuple[pa.Table, Applied]:
    """The table after the staged rows, and what that did to it."""
    if target.mode == "history":
        return Merge(table, staged, target, facts).history()
    before = table.num_rows
    if facts.truncate:
        table = table.slice(0, 0)
    if facts.parts and target.part:
        table = table.filter(pc.invert(_in_parts(table, target.part, facts)))
    gone = before - table.num_rows
    if target.mode == "merge":
        table, applied = Merge(table, staged, target, facts).merge()
        return table, replace(applied, deleted=applied.deleted + gone)
    ids = pa.array([facts.load_id] * staged.num_rows, pa.int64())
    stamped = fit(staged.append_column(LOAD_ID, ids), table.schema)
    applied = Applied(staged=staged.num_rows, inserted=staged.num_rows, deleted=gone)
    return pa.concat_tables([table, stamped]), applied


def _in_parts(table: pa.Table, part: str, facts: Facts) -> Any:
    return pc.is_in(table.column(part).cast(pa.string()), pa.array(facts.parts, pa.string()))


class Merge:
    """A pool of old rows and staged rows, and the versions that are picked from it."""

    def __init__(self, table: pa.Table, staged: pa.Table, target: Target, facts: Facts) -> None:
        self.table, self.staged, self.target, self.facts = table, staged, target, facts
        self.schema = data_columns(table).schema
        self.pool = pa.concat_tables([data_columns(table), fit(staged, self.schema)]).combine_chunks()
        self.keys = [self.pool.column(name) for name in target.key]
        self.old = table.num_rows

    def key(self, row: int) -> tuple[Any, ...]:
        """Of a row of the pool."""
        for name, column in zip(self.target.key, self.keys, strict=True):
            if not column[row].is_valid:
                raise DataError("a key is NULL", column=name, row=row - self.old)
        return tuple(column[row] for column in self.keys)

    def changes(self) -> Iterator[tuple[tuple[Any, ...], int, int, list[int]]]:
        """(key, operation, row of the pool, columns left alone) in the order of the source."""
        names = self.staged.schema.names
        order = self.staged.column(POSITION).to_pylist() if POSITION in names else range(self.staged.num_rows)
        ops = self.staged.column(OP).to_pylist() if OP in names else [UPSERT] * self.staged.num_rows
        unset = self.staged.column(UNSET).to_pylist() if UNSET in names else [None] * self.staged.num_rows
        columns = [self.schema.get_field_index(name) for name in self.target.schema.names]
        for _, n in sorted(zip(order, range(self.staged.num_rows), strict=True)):
            alone = [columns[place] for place in unset[n] or ()] if ops[n] == PARTIAL else []
            yield self.key(self.old + n), ops[n] or UPSERT, self.old + n, alone

    def version(self, row: int, alone: list[int], old: Version | None, since: int | None = None) -> Version:
        """The row of the pool, on top of the old version of the same key."""
        cells: list[int | None] = [row] * len(self.schema)
        for column in alone:
            cells[column] = old.cells[column] if old else None
        return Version(cells, self.facts.load_id, since)

    def versions(self) -> list[Version]:
        """The table's rows as they were."""

        def column(name: str) -> list[Any]:
            if name not in self.table.schema.names:
                return [None] * self.old
            return list(self.table.column(name).cast(pa.int64()).to_pylist())

        extra = zip(column(LOAD_ID), column(VALID_FROM), column(VALID_TO), strict=True)
        return [Version([row] * len(self.schema), *rest) for row, rest in enumerate(extra)]

    def merge(self) -> tuple[pa.Table, Applied]:
        """The last version of each key; deleted keys are gone."""
        before = {self.key(row): version for row, version in enumerate(self.versions())}
        after, touched = dict(before), set()
        for key, op, row, alone in self.changes():
            touched.add(key)
            old = after.pop(key, None)
            if op != DELETE:
                after[key] = self.version(row, alone, old)
        applied = Applied(
            staged=self.staged.num_rows,
            inserted=sum(key in after and key not in before for key in touched),
            updated=sum(key in after and key in before for key in touched),
            deleted=sum(key not in after and key in before for key in touched),
        )
        return self.build(list(after.values())), applied

    def history(self) -> tuple[pa.Table, Applied]:
        """Every version of each key, each valid from its own time to that of the next; equal ones are one."""
        versions = self.versions()
        last = {self.key(row): version for row, version in enumerate(versions)}  # in the order of their times
        closed = sum(self.close(version) for version in last.values()) if self.facts.truncate else 0
        inserted = updated = 0
        seen = set()
        for key, op, row, alone in self.changes():
            seen.add(key)
            old = last.get(key)
            live = old if old and old.until is None else None
            if op == DELETE:
                closed += self.close(live, self.time(row)) if live else 0
                continue
            when = self.time(row) if old is None else max(self.time(row), old.until or (old.since or 0) + 1)
            new = self.version(row, alone, live, when)
            if live and self.same(live, new):
                continue
            updated += self.close(live, when) if live else 0
            inserted += 1
            last[key] = new
            versions.append(new)
        closed += sum(self.close(last[key]) for key in last.keys() - seen if self.ends(last[key]))
        return self.build(versions), Applied(
            staged=self.staged.num_rows, inserted=inserted, updated=updated, deleted=closed
        )

    def close(self, version: Version, when: int | None = None) -> bool:
        """End a version that is still valid, at least a microsecond after it began. Whether it was."""
        if version.until is not None:
            return False
        version.until = max(when or self.facts.now, (version.since or 0) + 1)
        return True

    def ends(self, version: Version) -> bool:
        """Whether a key of which the load has no row is gone: the load has them all, or all of the key's part."""
        if self.facts.complete or not (self.facts.parts and self.target.part):
            return self.facts.complete
        cell = version.cells[self.schema.get_field_index(self.target.part)]
        part = None if cell is None else self.pool.column(self.target.part)[cell].as_py()
        return part in self.facts.parts

    def time(self, row: int) -> int:
        """When the row's version began: the source's change time if it is known, else the time of the load."""
        cursor = self.target.cursor
        kind = self.schema.field(cursor).type if cursor else pa.null()
        if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
            return self.facts.now
        value = self.pool.column(cursor).slice(row, 1).cast(pa.timestamp("us"), safe=False).cast(pa.int64())[0].as_py()
        return self.facts.now if value is None else int(value)

    def same(self, one: Version, other: Version) -> bool:
        """Equal in every column."""

        def value(column: int, cell: int | None) -> Any:
            return None if cell is None or not self.pool[column][cell].is_valid else self.pool[column][cell]

        pairs = enumerate(zip(one.cells, other.cells, strict=True))
        return all(value(column, a) == value(column, b) for column, (a, b) in pairs)

    def build(self, versions: list[Version]) -> pa.Table:
        """A table of these versions, with the columns of the old one."""
        picked: dict[str, Any] = {
            name: self.pool.column(place).take(pa.array([v.cells[place] for v in versions], pa.int64()))
            for place, name in enumerate(self.schema.names)
        }
        picked[LOAD_ID] = pa.array([v.load_id for v in versions], pa.int64())
        picked[VALID_FROM] = pa.array([v.since for v in versions], pa.int64()).cast(INSTANT)
        picked[VALID_TO] = pa.array([v.until for v in versions], pa.int64()).cast(INSTANT)
        return pa.table([picked[name] for name in self.table.schema.names], schema=self.table.schema)
