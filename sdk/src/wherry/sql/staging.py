"""Rows of one stream on their way: into a staging table of the load's own, or straight into an exclusive target."""

from __future__ import annotations

import pyarrow as pa

from wherry.contracts.loading import Target
from wherry.contracts.values import LOAD_ID, OP, POSITION, UNSET, Piece
from wherry.errors import DataError
from wherry.sql.compose import Identifier
from wherry.sql.ddl import difference
from wherry.sql.dialect import Connection, Dialect, Taker, Writer

AT = "_wherry_at"
"""In staging of a history target: the cursor's time in UTC microseconds, null where there is none."""


def straight(target: Target, dialect: Dialect) -> bool:
    """Whether rows may go straight into the table inside the load's transaction."""
    if not (target.exclusive and dialect.direct) or target.mode in ("merge", "history"):
        return False
    return target.part is None or target.load_id


def staged_schema(target: Target) -> pa.Schema:
    """Columns of the staging table: the target's, then position, operation and time as its mode needs them."""
    extra: list[pa.Field] = []
    if target.mode in ("merge", "history"):
        extra.append(pa.field(POSITION, pa.int64()))
        if target.changes:
            extra += [pa.field(OP, pa.int8()), pa.field(UNSET, pa.string())]
    if target.mode == "history":
        extra.append(pa.field(AT, pa.int64()))
    return pa.schema([*target.schema, *extra])


class Stage:
    """One stream of a load. table: where its rows are put.  rows: how many it took since a truncation.

    truncated: the target is to be emptied.  emptied: earlier rows that went when a direct target was.
    new: the table is made with its first rows, which are all.
    unset: columns that some partial update leaves alone.  nulls: of columns of the key that lack values: in how many
    rows, and the first position of one.
    """

    def __init__(
        self, connection: Connection, dialect: Dialect, target: Target, table: Identifier, direct: bool, load_id: int,
        new: bool = False,
    ) -> None:  # fmt: skip
        self.target = target
        self.table = table
        self.direct = direct
        self.rows = 0
        self.unset: set[str] = set()
        self.nulls: dict[str, tuple[int, int]] = {}
        self.truncated = False
        self.emptied = 0
        self._load_id = load_id
        self._new = new
        self._connection = connection
        self._dialect = dialect
        self._schema = self._wanted(target)
        self._writer: Writer | Taker | None = None
        self._form: str | None = None

    def _wanted(self, target: Target) -> pa.Schema:
        if not self.direct:
            return staged_schema(target)
        extra = [pa.field(LOAD_ID, pa.int64())] if target.load_id else []
        return pa.schema([*target.schema, *extra])

    def grow(self, target: Target) -> None:
        """Take rows of a grown schema from now on; a staging table is altered, a target's table already was."""
        self.finish()
        self._writer = None
        self.target, self._schema = target, self._wanted(target)
        if self.direct:
            return
        have = self._dialect.columns(self._connection, self.table)
        added, widened = difference(target.table, have or pa.schema([]), self._schema, self._dialect.fold)
        for field in added:
            self._dialect.add_column(self._connection, self.table, field)
        for field in widened:
            self._dialect.widen(self._connection, self.table, field)

    @property
    def occupies(self) -> bool:
        """Whether the connection is taken until `finish` once rows were written."""
        return self._made().occupies

    def write(self, rows: pa.RecordBatch) -> None:
        """Hand rows to the engine."""
        writer = self._made()
        assert isinstance(writer, Writer)
        rows = self._conform(rows)
        for name in self.target.key:
            if rows.column(name).null_count:
                self._lacking(name, rows)
        writer.write(rows)

    def empty(self, gone: int) -> None:
        """What was staged, or stood in a direct target, is gone: so many rows."""
        self.emptied += gone - self.rows if self.direct else 0
        self.truncated, self.rows = True, 0
        self.nulls.clear()

    def begin_taking(self, form: str) -> None:
        """Rows come in this form from now on."""
        if self._form != form:
            self.finish()
            self._form, self._writer = form, None

    def take(self, piece: Piece) -> int:
        """Hand the engine what needs no conforming; how many rows are in."""
        taker = self._made()
        assert isinstance(taker, Taker)
        return taker.take(piece.data)

    def _made(self) -> Writer | Taker:
        if self._writer is None:
            if self._new:
                kinds = [self._dialect.column_type(field) for field in self._schema]
                self._writer = self._connection.maker(self.table, self._schema, kinds)
            elif self._form is None:
                self._writer = self._connection.writer(self.table, self._schema)
            else:
                self._writer = self._connection.taker(self._form, self.table, self.target, self._load_id)
        return self._writer

    def finish(self) -> None:
        """All rows written so far are in the table when this returns."""
        if self._new:
            self._made()
        if self._writer is not None:
            self.rows += self._writer.finish()

    def seal(self) -> None:
        """No more rows come: they are in the table when this returns, or `table` is now the name of where they are."""
        kept = self._writer.show() if isinstance(self._writer, Writer) and not (self.direct or self.rows) else None
        if kept is None:
            self.finish()
        else:
            self.table, self.rows = kept

    def drop(self) -> None:
        """Forget rows that are still on their way."""
        if self._writer is not None:
            self._writer.drop()
            self._writer = None

    def _conform(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with the writer's columns, in its order; absent ones null."""
        places = {name: place for place, name in enumerate(rows.schema.names)}
        columns = []
        for field in self._schema:
            if field.name == LOAD_ID and self.direct:
                columns.append(pa.repeat(pa.scalar(self._load_id, pa.int64()), rows.num_rows))
            elif field.name == AT:
                columns.append(self._times(rows, places))
            elif field.name not in places:
                columns.append(pa.nulls(rows.num_rows, field.type))
            else:
                column = rows.column(places[field.name])
                columns.append(self._unset(column) if field.name == UNSET else _cast(column, field))
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)

    def _lacking(self, name: str, rows: pa.RecordBatch) -> None:
        import pyarrow.compute as pc

        column = rows.column(name)
        first = pc.min(rows.column(POSITION).filter(column.is_null())).as_py() or 0
        count, before = self.nulls.get(name, (0, first))
        self.nulls[name] = count + column.null_count, min(before, first)

    def _times(self, rows: pa.RecordBatch, places: dict[str, int]) -> pa.Array:
        """UTC microseconds of the cursor, if it is a time."""
        import pyarrow.compute as pc

        cursor = self.target.cursor
        if cursor is not None and cursor in places:
            column = rows.column(places[cursor])
            if pa.types.is_timestamp(column.type):
                unit = pa.timestamp("us", column.type.tz)
                return pc.cast(pc.cast(column, unit, safe=False), pa.int64())
            if pa.types.is_date(column.type):
                return pc.cast(pc.cast(column, pa.timestamp("us")), pa.int64())
        return pa.nulls(rows.num_rows, pa.int64())

    def _unset(self, column: pa.Array) -> pa.Array:
        """Lists of positions in the target's schema as text: `,0,3,`; null for none."""
        import pyarrow.compute as pc

        flat = pc.list_flatten(column)
        self.unset |= {self.target.schema.names[position] for position in pc.unique(flat).to_pylist()}
        texts = pc.binary_join(pc.cast(column, pa.list_(pa.string())), ",")
        return pc.binary_join_element_wise(pa.scalar(""), texts, pa.scalar(""), pa.scalar(","))


def _cast(column: pa.Array, field: pa.Field) -> pa.Array:
    if column.type.equals(field.type):
        return column
    import pyarrow.compute as pc

    try:
        if pa.types.is_run_end_encoded(column.type):
            column = pc.run_end_decode(column)
        return pc.cast(column, field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(f"a value of column {field.name} does not fit {field.type}", column=field.name) from error
