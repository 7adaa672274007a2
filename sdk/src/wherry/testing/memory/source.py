"""The reference source: streams given as values."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, InstanceOf, SkipValidation
from pydantic.json_schema import SkipJsonSchema

from wherry.contracts.config import ConnectorConfig
from wherry.contracts.source import Source
from wherry.contracts.values import Batch, Bookmark, Mark, Piece, Progress, ReadPlan, Selection, Split, Stream
from wherry.testing.faults import Faults

if TYPE_CHECKING:
    import pyarrow as pa


HANDOFF = "arrow-ipc"
"""The form of hand-over that the reference connectors know: batches as bytes of Arrow, without their schema."""


@dataclass(frozen=True, kw_only=True)
class MemoryStream:
    """One stream: its rows are read in the order given, `batch` at a time.

    tables: the rows; where a later table has another schema, the stream's schema changes there, in mid-read.
    The bookmark is the last cursor value if the rows are `ordered` by `cursor`, a position in a log if they are
    `changes`; else there is only one, at the end: the highest cursor value, or none without a cursor.
    splits: key ranges read side by side (of a stream that is not a log).
    handoff: its rows can be handed over, in the form "arrow-ipc".
    """

    name: str
    tables: tuple[pa.Table, ...]
    key: tuple[str, ...] = ()
    cursor: str | None = None
    namespace: str | None = None
    ordered: bool = False
    changes: bool = False
    splits: int = 1
    batch: int = 1000
    handoff: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    """More fields of `Stream`: part, incarnation, notes, ..."""

    def stream(self, table: int = 0) -> Stream:
        """As discovered, or as it is from the `table`-th table on. The columns of a log's operations are not data."""
        schema = self.tables[table].schema
        for name in (n for n in schema.names if n.startswith("_wherry_")):
            schema = schema.remove(schema.get_field_index(name))
        return Stream(
            name=self.name,
            schema=schema,
            primary_key=self.key,
            cursor=self.cursor,
            namespace=self.namespace,
            ordered=self.ordered,
            changes=self.changes,
            row_estimate=self.rows,
            cursors=(self.cursor,) if self.cursor else (),
            **self.options,
        )

    @property
    def rows(self) -> int:
        """Rows in all tables."""
        return sum(table.num_rows for table in self.tables)

    @property
    def fingerprint(self) -> str:
        """Of all values in their order."""
        digest = hashlib.blake2b(digest_size=8)
        for batch in (b for table in self.tables for b in table.combine_chunks().to_batches()):
            digest.update(batch.serialize())
        return digest.hexdigest()

    def slices(self, start: int, end: int) -> Iterator[tuple[int, int, pa.Table]]:
        """(number of the table, position after the slice, rows) of the rows from `start` to `end`."""
        first = 0
        for number, table in enumerate(self.tables):
            low, high = max(start - first, 0), min(end - first, table.num_rows)
            for at in range(low, high, self.batch):
                rows = table.slice(at, min(self.batch, high - at))
                yield number, first + at + rows.num_rows, rows
            first += table.num_rows


class MemorySourceConfig(ConnectorConfig):
    """Values, not settings: what is read, and what goes wrong."""

    reference: ClassVar[str | None] = "name"

    name: str = Field("memory", description="what the source is called in messages and names")
    streams: SkipJsonSchema[tuple[InstanceOf[MemoryStream], ...]] = Field((), description="the streams on offer")
    log: bool = Field(False, description="all selected streams are one log: one plan, one split, one bookmark")
    faults: SkipJsonSchema[InstanceOf[Faults]] = Field(default_factory=Faults, description="fault switches")
    acknowledged: SkipJsonSchema[SkipValidation[list[Any]]] = Field(
        default_factory=list, description="(split key, bookmark) of each acknowledged commit, in order"
    )


class MemorySource(Source):
    """Reads `MemoryStream` values."""

    Config = MemorySourceConfig
    config: MemorySourceConfig

    @classmethod
    def of(cls, *streams: MemoryStream, **values: Any) -> MemorySource:
        """A source of these streams; `values` are other fields of its config."""
        return cls(cls.Config(streams=streams, **values))

    def check(self) -> None:
        self.config.faults.hit("check", self.run.stop)

    def discover(self, only: Sequence[str] = ("*",)) -> Iterable[Stream]:
        self.config.faults.hit("discover", self.run.stop)
        return [stream.stream() for stream in self.config.streams]

    def plan(self, selected: Sequence[Selection], progress: Mapping[str, Progress]) -> Iterable[ReadPlan]:
        self.config.faults.hit("plan", self.run.stop)
        if self.config.log:
            yield from self._plan_one("log", tuple(selected), progress.get("log", Progress()))
            return
        for selection in selected:
            key = selection.stream.path
            yield from self._plan_one(key, (selection,), progress.get(key, Progress()))

    def _plan_one(self, key: str, selected: tuple[Selection, ...], known: Progress) -> Iterator[ReadPlan]:
        replace = any(s.mode == "replace" for s in selected)
        memory = self._of(selected[0])
        if known.open is not None and not replace and self._still_fits(known.open, memory):
            yield known.open
            return
        bookmark = None if replace else known.bookmark
        if memory.changes and bookmark is not None and bookmark["position"] == self._length(selected):
            return
        if self.config.log or memory.changes or memory.splits == 1 or selected[0].limit is not None:
            yield ReadPlan(key=key, splits=(Split(key=key, streams=selected, bookmark=bookmark),))
            return
        edges = [memory.rows * n // memory.splits for n in range(memory.splits + 1)]
        splits = tuple(
            Split(key=f"{key}/{n}", streams=selected, bookmark=bookmark, detail=[low, high, memory.fingerprint])
            for n, (low, high) in enumerate(itertools.pairwise(edges))
        )
        yield ReadPlan(key=key, splits=splits, after=self._highest(memory, selected[0]))

    def _still_fits(self, plan: ReadPlan, memory: MemoryStream) -> bool:
        """Ranges of positions mean the same rows only while the values are the same; a cursor value always does."""
        detail = plan.splits[0].detail
        return detail is None or detail[2] == memory.fingerprint

    def read(self, split: Split) -> Iterator[Batch | Mark]:
        items = self._read_log(split) if self._is_log(split) else self._read_rows(split)
        for item in items:
            self.config.faults.hit("read", self.run.stop)
            if self.run.stop.is_set():
                return
            yield item

    def handoff(self, split: Split) -> str | None:
        whole = self._of(split.streams[0]).handoff and split.detail is None
        return HANDOFF if whole and HANDOFF in self.run.handoffs else None

    def hand_over(self, split: Split, form: str) -> Iterator[Piece | Mark]:
        """Each batch as the bytes of one; all of them as they are in the first table."""
        selection = split.streams[0]
        yield Mark(stream=self._of(selection).stream())
        for item in self.read(split):
            if isinstance(item, Mark):
                yield item
                continue
            self.config.faults.hit("hand over", self.run.stop)
            (batch,) = item.data.combine_chunks().to_batches() or (None,)
            if batch is not None:
                data = batch.serialize().to_pybytes()
                yield Piece(stream=item.stream, data=data, rows=batch.num_rows, size=len(data))
            if item.bookmark is not None:
                yield Mark(bookmark=item.bookmark)

    def acknowledge(self, split: Split, bookmark: Bookmark) -> None:
        self.config.acknowledged.append((split.key, bookmark))

    def _of(self, selection: Selection) -> MemoryStream:
        return next(m for m in self.config.streams if m.stream().path == selection.stream.path)

    def _is_log(self, split: Split) -> bool:
        return self.config.log or self._of(split.streams[0]).changes

    def _length(self, selected: Sequence[Selection]) -> int:
        return sum(memory.rows for memory in self._logged(selected))

    def _logged(self, selected: Sequence[Selection]) -> Sequence[MemoryStream]:
        """The streams whose rows the log's positions count, read or not."""
        return self.config.streams if self.config.log else [self._of(selection) for selection in selected]

    def _read_log(self, split: Split) -> Iterator[Batch | Mark]:
        """Batches of all streams in turns; the position counts the rows of all of them."""
        skip = split.bookmark["position"] if split.bookmark else 0
        selected = {s.stream.path: s for s in split.streams}
        turns = [(memory, memory.slices(0, memory.rows)) for memory in self._logged(split.streams)]
        position = 0
        tables = dict.fromkeys(selected, 0)
        while turns:
            memory, slices = turn = turns.pop(0)
            number, _, rows = next(slices, (0, 0, None))
            if rows is None:
                continue
            turns.append(turn)
            position += rows.num_rows
            path = memory.stream().path
            if position <= skip or path not in selected:
                continue
            if number != tables[path]:
                yield Mark(stream=memory.stream(number))
                tables[path] = number
            rows = rows.slice(max(rows.num_rows - (position - skip), 0))
            yield Batch(stream=path, data=_columns(rows, selected[path]), bookmark={"position": position})
        yield Mark(bookmark={"position": position})

    def _read_rows(self, split: Split) -> Iterator[Batch | Mark]:
        """One stream, from the bookmark on (rows that have its very cursor value come again)."""
        selection = split.streams[0]
        memory, path = self._of(selection), selection.stream.path
        cursor = selection.cursor or memory.cursor
        incremental = cursor is not None and selection.mode != "replace"
        ordered = incremental and memory.ordered and cursor == memory.cursor
        table, left = 0, selection.limit
        for number, _, rows in memory.slices(*(split.detail[:2] if split.detail else (0, memory.rows))):
            if number != table:
                yield Mark(stream=memory.stream(number))
                table = number
            if cursor:
                rows = _within(rows, cursor, split.bookmark if incremental else None, selection)
            marked = ordered and cursor and split.detail is None and rows.num_rows
            bookmark = _mark_of(rows, cursor, split.bookmark) if marked and cursor else None
            if left is not None:
                rows = rows.slice(0, left)
                left -= rows.num_rows
            if rows.num_rows:
                yield Batch(stream=path, data=_columns(rows, selection), bookmark=bookmark)
            if left == 0:
                break
        end = self._highest(memory, selection) if incremental and selection.limit is None else None
        yield Mark(bookmark=end or split.bookmark, complete=() if incremental and split.bookmark else (path,))

    def _highest(self, memory: MemoryStream, selection: Selection) -> Bookmark | None:
        cursor = selection.cursor or memory.cursor
        if cursor is None or selection.mode == "replace" or not memory.rows:
            return None
        import pyarrow as pa
        import pyarrow.compute as pc

        kind = memory.tables[-1].schema.field(cursor).type
        values = [_within(table, cursor, None, selection).column(cursor).cast(kind) for table in memory.tables]
        best = pc.max(pa.chunked_array([chunk for column in values for chunk in column.chunks], kind))
        return {"cursor": best.cast(pa.string()).as_py()} if best.is_valid else None


def _mark_of(rows: pa.Table, cursor: str, start: Bookmark | None) -> Bookmark | None:
    """The last cursor value, as the text that gives it back exactly; never lower than where the read began."""
    import pyarrow as pa
    import pyarrow.compute as pc

    known = rows.column(cursor).drop_null()
    if not len(known):
        return start
    last = known[-1]
    if start and pc.less(last, pa.scalar(start["cursor"]).cast(last.type)).as_py():
        return start
    return {"cursor": last.cast(pa.string()).as_py()}


def _within(rows: pa.Table, cursor: str, bookmark: Bookmark | None, selection: Selection) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = rows.schema.field(cursor).type
    bounds = [(pc.greater_equal, selection.start), (pc.less, selection.end)]
    limits = [(compare, pa.scalar(text).cast(kind)) for compare, text in bounds if text is not None]
    if bookmark is not None:
        reached = pa.scalar(bookmark["cursor"]).cast(kind)
        limits.append((pc.greater_equal, _back(reached, selection.lookback) if selection.lookback else reached))
    nulls = selection.nulls != "exclude" and selection.start is None
    for compare, value in limits:
        rows = rows.filter(pc.fill_null(compare(rows.column(cursor), value), nulls))
    return rows


def _back(value: pa.Scalar, lookback: float) -> pa.Scalar:
    """So many units, of a time so many seconds, before the value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_timestamp(value.type):
        distance = pa.scalar(int(lookback * 10**9)).cast(pa.duration("ns")).cast(pa.duration(value.type.unit))
        return pc.subtract(value, distance)
    return pc.subtract(value, pa.scalar(int(lookback)).cast(value.type))


def _columns(rows: pa.Table, selection: Selection) -> pa.Table:
    if selection.columns is None:
        return rows
    known = selection.stream.schema.names
    keep = [n for n in rows.schema.names if n in selection.columns or n not in known]  # new columns come along
    return rows.select(keep)


def evolved(stream: MemoryStream, *tables: pa.Table) -> MemoryStream:
    """The stream with more tables behind its own."""
    return dataclasses.replace(stream, tables=(*stream.tables, *tables))
