"""The source `sample`: reads the shop's tables as of a day, or its change log up to that day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
from wherry import (
    Batch,
    Bookmark,
    Mark,
    Progress,
    ReadPlan,
    Selection,
    Source,
    Split,
    StateError,
    Stream,
    UsageError,
)

from wherry_source_sample.client import OPENING, SEASON, Versions, midnight_after
from wherry_source_sample.config import SampleConfig
from wherry_source_sample.streams import DESCRIPTIONS, KEYS, PARTIAL, SCHEMAS, Tables

CURSOR = "updated_at"
BYTES_A_NUMBER = 2_000
"""Rough Arrow bytes that one row number costs in a window, over all events and lines."""


class SampleSource(Source):
    """A shop that is a pure function of its configuration."""

    Config = SampleConfig
    config: SampleConfig

    def __init__(self, config: SampleConfig) -> None:
        super().__init__(config)
        self.tables = Tables.of(config.seed, config.rows)
        self.end = midnight_after(config.until)

    def identity(self) -> tuple[str, str]:
        return "sample", f"sample rows={self.config.rows} seed={self.config.seed}"

    def discover(self, only: Sequence[str] = ("*",)) -> Iterable[Stream]:
        return [self._stream(name) for name in SCHEMAS]

    def _stream(self, name: str) -> Stream:
        law = self.tables.law(name)
        return Stream(
            name=name,
            schema=SCHEMAS[name],
            primary_key=KEYS.get(name, ("id",)),
            cursor=None if self.config.changes else CURSOR,
            cursors=() if self.config.changes else (CURSOR,),
            ordered=not self.config.changes,
            changes=self.config.changes,
            description=DESCRIPTIONS[name],
            row_estimate=(self.end - law.start) // law.step * (law.lines + 1) // 2,
        )

    def plan(self, selected: Sequence[Selection], progress: Mapping[str, Progress]) -> Iterable[ReadPlan]:
        if not self.config.changes:
            yield from super().plan([s for s in selected if s.mode == "replace"], {})
            yield from super().plan([s for s in selected if s.mode != "replace"], progress)
            return
        known = progress.get("log", Progress())
        fresh = any(selection.mode == "replace" for selection in selected)
        bookmark = None if fresh else known.bookmark
        if known.open is not None and not fresh:
            yield known.open  # a log only grows
        elif bookmark is None or self._position(bookmark) < self.end:
            yield ReadPlan(key="log", splits=(Split(key="log", streams=tuple(selected), bookmark=bookmark),))

    def _position(self, bookmark: Bookmark) -> int:
        """Where the bookmark stands, in microseconds; not behind the shop's last moment."""
        reached = int(bookmark["position"]) if self.config.changes else _microseconds(bookmark[CURSOR])
        if reached > self.end:
            raise StateError(
                f"until {self.config.until} lies before what was read already ({_text(reached)})",
                key="until",
                next="choose a later day, or start over with --full-refresh",
            )
        return reached

    def read(self, split: Split) -> Iterator[Batch | Mark]:
        yield from self._read_log(split) if self.config.changes else self._read_table(split)

    def _windows(self, start: int, step: int) -> Iterator[tuple[int, int]]:
        """(start, end) of spans of time, each worth a batch."""
        numbers = min(max(self.run.bytes // 4 // BYTES_A_NUMBER, 16), 8192)
        while start < self.end and not self.run.stop.is_set():
            end = min(start + numbers * step, self.end)
            yield start, end
            start = end

    def _read_table(self, split: Split) -> Iterator[Batch | Mark]:
        """Rows as they are at the end, in the order in which they last changed."""
        selection = split.streams[0]
        name, law = selection.stream.name, self.tables.law(selection.stream.name)
        reached, end = self._bounds(selection, split.bookmark, law.start)
        bookmark, left = split.bookmark, selection.limit
        for low, high in self._windows(reached, law.step):
            versions = self.tables.shop.versions(law, low, min(high, end), until=self.end)
            rows = self.tables.columns(name, versions).slice(0, left)
            if rows.num_rows:
                bookmark = {CURSOR: _text(versions.times[rows.num_rows - 1].as_py())}
                yield Batch(stream=name, data=_select(rows, selection), bookmark=bookmark if selection.cursor else None)
            left = None if left is None else left - rows.num_rows
            if left == 0 or high >= end:
                break
        if not self.run.stop.is_set():
            whole = split.bookmark is None and selection.start is None and selection.end is None and left is None
            yield Mark(bookmark=bookmark if selection.cursor else None, complete=(name,) if whole else ())

    def _bounds(self, selection: Selection, bookmark: Bookmark | None, start: int) -> tuple[int, int]:
        """From which change on, and up to which one (exclusive), in microseconds."""
        if selection.cursor not in (None, CURSOR):
            raise UsageError(f'"{selection.cursor}" is not a cursor of {selection.stream.name}', next=f"use {CURSOR}")
        if selection.start is not None:
            start = max(start, _microseconds(selection.start))
        if bookmark is not None:
            start = max(start, self._position(bookmark) - int(selection.lookback * 1_000_000))
        end = self.end if selection.end is None else min(self.end, _microseconds(selection.end))
        return start, max(start, end)

    def _read_log(self, split: Split) -> Iterator[Batch | Mark]:
        """What happened, to all streams together, a window of time after the other."""
        start = OPENING - SEASON if split.bookmark is None else self._position(split.bookmark)
        for low, high in self._windows(start, self.tables.orders.step):
            for selection in split.streams:
                name = selection.stream.name
                versions = self.tables.shop.versions(self.tables.law(name), low, high)
                if len(versions.ids):
                    yield Batch(stream=selection.stream.path, data=self._entries(name, versions, selection))
            yield Mark(bookmark={"position": high})

    def _entries(self, name: str, versions: Versions, selection: Selection) -> pa.RecordBatch:
        """Log entries: a deleted row has its key and time alone, a partial update what has changed."""
        law, rows = self.tables.law(name), self.tables.columns(name, versions)
        always = {*KEYS.get(name, ("id",)), CURSOR}
        ops = [0] * len(law.events)
        unset: list[list[int]] = [[] for _ in law.events]
        for kind, event in enumerate(law.events):
            carried = PARTIAL.get(name, {}).get(kind)
            if carried is not None:
                ops[kind], unset[kind] = 2, [n for n, c in enumerate(rows.schema.names) if c not in always | {*carried}]
            if event.deletes:
                ops[kind], unset[kind] = 1, [n for n, c in enumerate(rows.schema.names) if c not in always]
        columns = []
        for place, column in enumerate(rows.schema):
            absent = pa.array([place in gone for gone in unset]).take(versions.kinds)
            columns.append(pc.if_else(absent, pa.scalar(None, column.type), rows.column(place)))
        positions = pa.array(
            [gone if op == 2 else None for op, gone in zip(ops, unset, strict=True)], pa.list_(pa.int16())
        )
        data = pa.RecordBatch.from_arrays(columns, names=rows.schema.names)
        extra = {
            "_wherry_op": pa.array(ops, pa.int8()).take(versions.kinds),
            "_wherry_unset": positions.take(versions.kinds),
        }
        for title, values in extra.items():
            data = data.append_column(title, values)
        return data


def _select(rows: pa.RecordBatch, selection: Selection) -> pa.RecordBatch:
    return rows if selection.columns is None else rows.select(list(selection.columns))


def _text(microseconds: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)).isoformat(timespec="microseconds")


def _microseconds(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f'"{text}" is not a time', next="write it as 2024-03-31 or 2024-03-31T12:00:00Z") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
