"""The PostgreSQL source: catalog queries find the streams, COPY in CSV reads them into Arrow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace

import pyarrow as pa
from wherry import (
    SQL,
    Batch,
    Bookmark,
    DataError,
    Literal,
    Mark,
    Piece,
    Progress,
    Quoting,
    ReadPlan,
    Selection,
    Source,
    Split,
    StateError,
    Stream,
    StreamError,
    WherryError,
)

from wherry_source_postgres import catalog, cursors, handing, named, origin, queries, rewrites, splits
from wherry_source_postgres.client import Client
from wherry_source_postgres.config import PostgresConfig
from wherry_source_postgres.cursors import Pass
from wherry_source_postgres.decode import Decoder, as_text
from wherry_source_postgres.origin import Origin
from wherry_source_postgres.queries import unfit
from wherry_source_postgres.splits import Splits
from wherry_source_postgres.streams import streams
from wherry_source_postgres.types import READ, TYPE

# no rows, yet pages: what vacuum leaves of an empty table has none
_HIDDEN = SQL(
    "select row_security_active({table}::regclass) and (pg_relation_size({table}::regclass) > 0 or exists ("
    "select from pg_partition_tree({table}::regclass) where pg_relation_size(relid) > 0)) as hidden"
)
_SMALL, _LARGE = 64 << 10, 4 << 20
"""Bounds of the CSV text that becomes one batch, in bytes."""


class PostgresSource(Source):
    """Tables, views, materialized views, foreign and partitioned tables of one database."""

    Config = PostgresConfig
    filters = True

    def __init__(self, config: PostgresConfig) -> None:
        super().__init__(config)
        self._client = Client(config)
        self._splits = Splits(config)

    def identity(self) -> tuple[str, str]:
        """(database, postgresql://host:port/database), as typed."""
        return self.config.address()[1], self.config.reference_text()

    def check(self) -> None:
        """Connect, log in and ask the server something."""
        with self._client.snapshot():
            self._client.fetch("select 1")

    def discover(self, only: Sequence[str] = ("*",)) -> Iterable[Stream]:
        """Everything in all namespaces but the system's and what extensions own."""
        own = self.config.queries
        found = catalog.load(self._client, only, typed=bool(own))
        yield from streams(found)
        yield from named.streams(self._client, own, only, found, found.paths)

    def plan(self, selected: Sequence[Selection], progress: Mapping[str, Progress]) -> Iterable[ReadPlan]:
        """One plan a stream: with a cursor a window up to its greatest value now; in several splits if it is large."""
        here: Origin | None = None
        self._splits.measure(self._client, selected)
        for selection in selected:
            path = selection.stream.path
            if self._worth_handing(selection):
                yield ReadPlan(key=path, splits=(Split(key=path, streams=(selection,)),))
                continue
            if selection.cursor is None or selection.mode == "replace":
                yield splits.whole(self._client, self._splits, selection, progress.get(path, Progress()))
                continue
            if here is None:
                here = origin.now(self._client) if selection.stream.incarnation else {}
            if plan := self._window(selection, progress.get(path, Progress()), here):
                yield plan

    def read(self, split: Split) -> Iterator[Batch | Mark]:
        """Rows of one split, all from one snapshot; a mark that changes the stream comes before its rows."""
        selection = split.streams[0]
        detail = split.detail or {}
        if "error" in detail:
            raise WherryError.from_json(detail["error"])
        cursor = selection.cursor if detail and selection.mode != "replace" else None
        schema = _selected(selection)
        read = False
        with self._client.snapshot(detail.get("snapshot")):
            yield from self._keys(split, schema)
            for part in _passes(split):
                if self.run.stop.is_set():
                    return
                for item in self._rows(selection, schema, part, cursor):
                    read = read or isinstance(item, Batch)
                    yield item
            if "snapshot" in detail:
                rewrites.refuse(self._client, selection)
        if cursor is None and selection.limit is None and not self.run.stop.is_set():
            if not read and not detail:
                self._refuse_hidden(selection)
            yield Mark(complete=(selection.stream.path,))

    def handoff(self, split: Split) -> str | None:
        """What was planned in one split, because it is worth it. The instance that reads asks for the size itself."""
        selection = split.streams[0]
        if split.detail is not None or handing.FORM not in self.run.handoffs:
            return None
        if self.run.least_handoff and self._splits.size(selection) is None:
            self._splits.measure(self._client, [selection])
        return handing.FORM if self._worth_handing(selection) else None

    def hand_over(self, split: Split, form: str) -> Iterator[Piece | Mark]:
        """As `read`: the bytes of one COPY."""
        selection = split.streams[0]
        schema = _selected(selection)
        yield Mark(stream=replace(selection.stream, schema=schema))
        with self._client.snapshot(moving=True):
            block = min(max(self.run.bytes // 16, _SMALL), _LARGE)
            for piece in handing.pieces(self._client, selection, schema, block):
                yield Mark() if piece is None else piece
                if self.run.stop.is_set():
                    return
        if not self._client.copied:
            self._refuse_hidden(selection)
        yield Mark(complete=(selection.stream.path,))

    def _worth_handing(self, selection: Selection) -> bool:
        if self.config.splits not in (None, 1) or not self.run.handoffs:
            return False
        try:
            schema = _selected(selection)
        except WherryError:  # reading says what is wrong
            return False
        return handing.worth(selection, schema, self.run, self._splits.size(selection))

    def _keys(self, split: Split, schema: pa.Schema) -> Iterator[Batch | Mark]:
        """The keys that are left where finished splits of an interrupted run have read."""
        part, selection = splits.keys(split), split.streams[0]
        if part is None:
            return
        present = tuple(split.detail["present"])
        keys = pa.schema([schema.field(name) for name in selection.key])
        none = pa.RecordBatch.from_arrays([pa.nulls(0, f.type) for f in keys], schema=keys)
        yield Batch(stream=selection.stream.path, data=none, present=present)
        for item in self._rows(replace(selection, columns=selection.key), keys, part, None):
            yield replace(item, present=present) if isinstance(item, Batch) else item

    def _refuse_hidden(self, selection: Selection) -> None:
        """Raise for a table that looks empty because this user may see none of its rows."""
        if queries.query_of(selection) is not None:
            return
        sql = _HIDDEN(table=Literal(queries.table(selection).render(Quoting()))).render(Quoting())
        with self._client.snapshot():
            if self._client.fetch(sql, subject=selection.stream.path)[0]["hidden"]:
                raise StreamError(
                    f"{selection.stream.path}: row-level security shows this user no row of a table that holds some",
                    next="give the user a policy, or the attribute BYPASSRLS; if it is empty: vacuum it",
                )

    def close(self) -> None:
        """Disconnect, and let go of the snapshot that splits share."""
        self._splits.close()
        self._client.close()

    def _window(self, selection: Selection, known: Progress, here: Origin) -> ReadPlan | None:
        """The plan of a stream with a cursor; what is wrong with this stream alone is left for its read to raise."""
        try:
            found = splits.merged(self._client, self._splits, selection, known, here)
            return found or cursors.plan(self._client, selection, known, here)
        except (StreamError, DataError, StateError) as error:
            path = selection.stream.path
            split = Split(key=path, streams=(selection,), detail={"error": error.to_json()})
            return ReadPlan(key=path, splits=(split,))

    def _rows(self, selection: Selection, schema: pa.Schema, part: Pass, cursor: str | None) -> Iterator[Batch | Mark]:
        path = selection.stream.path
        decoder = Decoder(_with_text(schema, {*part.text, *cursors.wished_texts(selection)}))
        sql = queries.rows(selection, schema, part.bounds, part.order)
        if selection.where:
            self._client.refuse_several(sql, path)
        size = min(max(self.run.bytes // 16, _SMALL), _LARGE)
        with closing(self._client.copy(sql, size, path)) as blocks:
            for block in blocks:
                if block is None:  # the server is still at it: let the host look at its own affairs
                    yield Mark()
                    continue
                batch = decoder.decode(block)
                if cursor and decoder.schema.field(cursor) != schema.field(cursor):
                    raise cursors.no_order(selection)
                if decoder.schema != schema:
                    schema = decoder.schema
                    yield Mark(stream=_changed(selection.stream, schema))
                yield Batch(stream=path, data=batch, bookmark=_bookmark(selection, part, batch))
                if self.run.stop.is_set():
                    return
        if decoder.rows != self._client.copied:
            raise StreamError(f"{path}: the server sent {self._client.copied} rows, {decoder.rows} were understood")


def _passes(split: Split) -> list[Pass]:
    """The SELECTs of a split's rows, one after the other in one snapshot."""
    if split.detail is None:
        return [Pass()]
    return splits.passes(split) if "snapshot" in split.detail else cursors.passes(split)


def _selected(selection: Selection) -> pa.Schema:
    """The columns to read; refuses those that cannot be read exactly before anything moves."""
    stream = selection.stream
    names = stream.schema.names if selection.columns is None else selection.columns
    schema = pa.schema([stream.schema.field(name) for name in names])
    if not names:
        raise StreamError(f"{stream.path} has no columns to read")
    if selection.cursor and selection.mode != "replace" and selection.cursor not in names:
        raise StreamError(f"{stream.path}: the cursor {selection.cursor} is not among the columns to read")
    for field in schema:
        metadata = field.metadata or {}
        if metadata.get(READ) == b"refused":
            type = metadata[TYPE].decode()
            raise DataError(
                f"{stream.path}.{field.name} is {type}, whose text leaves part of the value out",
                column=field.name,
                next=f"leave it out: --columns '*,!{field.name}'",
            )
    return schema


def _with_text(schema: pa.Schema, names: Iterable[str]) -> pa.Schema:
    """The schema with the server's own text where the Arrow type may turn out to be too narrow for a value."""
    for name in names:
        index = schema.get_field_index(name)
        if index >= 0 and unfit(schema.field(index)) is not None:
            schema = schema.set(index, as_text(schema.field(index)))
    return schema


def _changed(stream: Stream, schema: pa.Schema) -> Stream:
    """The stream with the types under which rows come from here on."""
    fields = [schema.field(f.name) if f.name in schema.names else f for f in stream.schema]
    return replace(stream, schema=pa.schema(fields))


def _bookmark(selection: Selection, part: Pass, batch: pa.RecordBatch) -> Bookmark | None:
    """After the last row, unless all rows have one cursor value: then better at the end of them."""
    if not part.bookmarks or selection.limit is not None or not batch.num_rows:
        return None
    column = batch.column(selection.cursor)
    return None if column[0] == column[-1] else cursors.bookmark_of(selection, batch.schema, column[-1])
