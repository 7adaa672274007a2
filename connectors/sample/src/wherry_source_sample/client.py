"""The shop itself: what happened to which row, and when. Pure arithmetic on columns of row numbers.

Row `i` of a table comes into being at `start + i * step` plus a little, and after fixed times things happen to it (or
do not: a hash decides). So each kind of event runs through the rows in order, what happened between two instants is a
range of row numbers for each kind, and no moment of the shop's life needs the ones before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

HOUR = 3_600_000_000
DAY = 24 * HOUR
OPENING = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
SEASON = 100 * DAY
"""The time in which `rows` orders are placed."""
MASK = 2**64 - 1
Column = Any
"""A pyarrow array."""


def midnight_after(day: date) -> int:
    """The first instant that is no longer that day, in microseconds."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000 + DAY


@dataclass(frozen=True)
class Event:
    """Something that happens to `share` of 1000 rows, `lag` microseconds after they came into being.

    Events with one `salt` build on each other: a row that has a later one also has the earlier ones.
    """

    lag: int = 0
    share: int = 1000
    salt: int = 0
    deletes: bool = False


@dataclass(frozen=True)
class Law:
    """The life of a table's rows. lines: rows that share a number; each number has one at least."""

    salt: int
    start: int
    step: int
    events: tuple[Event, ...]
    lines: int = 1


class Versions(NamedTuple):
    """Rows as an event left them: row numbers, line (from 0), number of the event, its time in microseconds."""

    ids: Column
    lines: Column
    kinds: Column
    times: Column


class Shop:
    """Draws from a seed, and the events of laws."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def draw(self, ids: Column, salt: int, below: Column | int) -> Column:
        """A number from 0 to `below` (less than 2**32) for each row, int64; independent for each salt."""
        offset = ((self.seed + 1) * 0xD1342543DE82EF95 + salt * 0xAF251AF3B0F025B5) & MASK
        mixed = pc.add(pc.multiply(ids.cast(pa.uint64()), _word(0x9E3779B97F4A7C15)), _word(offset))
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = pc.multiply(pc.bit_wise_xor(mixed, pc.shift_right(mixed, _word(shift))), _word(factor))
        high = pc.shift_right(mixed, _word(32))
        bound = _word(below) if isinstance(below, int) else below.cast(pa.uint64())
        return pc.shift_right(pc.multiply(high, bound), _word(32)).cast(pa.int64())

    def created(self, law: Law, ids: Column) -> Column:
        """When each row came into being; later rows never earlier."""
        jitter = self.draw(ids, law.salt, min(law.step, 2**32 - 1))
        return pc.add(pc.add(pc.multiply(ids, law.step), law.start), jitter)

    def lines(self, law: Law, ids: Column) -> Column:
        """How many lines each row number has: 1 to `law.lines`."""
        return pc.add(self.draw(ids, 9, law.lines), 1)

    def happens(self, event: Event, ids: Column) -> Column:
        """Whether it ever happens to each row."""
        return pc.less(self.draw(ids, 100 + event.salt, 1000), event.share)

    def kind_at(self, law: Law, ids: Column, times: Column) -> Column:
        """The last event of each row up to a time, as its number in the law."""
        created = self.created(law, ids)
        kind = pc.multiply(ids, 0)
        for number, event in enumerate(law.events):
            past = pc.and_(self.happens(event, ids), pc.less_equal(pc.add(created, event.lag), times))
            kind = pc.if_else(past, number, kind)
        return kind

    def versions(self, law: Law, start: int, end: int, until: int | None = None) -> Versions:
        """What happened from `start` to `end` (exclusive), in order.

        until: only what was still so just before then: the current rows that last changed from `start` to `end`.
        """
        found = [self._happened(law, number, start, end, until) for number in range(len(law.events))]
        table = pa.concat_tables([part for parts in found for part in parts])
        order = pc.sort_indices(table, [("time", "ascending"), ("id", "ascending"), ("line", "ascending")])
        return Versions(*(column.combine_chunks() for column in table.take(order).columns))

    def _happened(self, law: Law, number: int, start: int, end: int, until: int | None) -> Iterator[pa.Table]:
        event = law.events[number]
        low = max((start - event.lag - law.start) // law.step - 1, 0)
        high = max((end - event.lag - law.start) // law.step + 1, low)
        ids = pc.add(pc.cumulative_sum(pa.repeat(pa.scalar(1, pa.int64()), high - low)), low - 1)
        created = self.created(law, ids)
        times = pc.add(created, event.lag)
        keep = pc.and_(pc.and_(pc.greater_equal(times, start), pc.less(times, end)), self.happens(event, ids))
        if until is not None:
            keep = pc.and_(keep, not event.deletes)
            for later in law.events[number + 1 :]:
                past = pc.and_(self.happens(later, ids), pc.less(pc.add(created, later.lag), until))
                keep = pc.and_not(keep, past)
        lines = self.lines(law, ids)
        for line in range(law.lines):
            have = pc.and_(keep, pc.greater(lines, line))
            rows = pa.table([ids, times], names=["id", "time"]).filter(have)
            yield pa.table(
                {
                    "id": rows["id"],
                    "line": _constant(line, rows.num_rows),
                    "kind": _constant(number, rows.num_rows),
                    "time": rows["time"],
                }
            )


def pick(choices: Sequence[Any] | Column, numbers: Column) -> Column:
    """One of the choices for each number, which counts from 0."""
    return (pa.array(choices) if isinstance(choices, Sequence) else choices).take(numbers)


def money(cents: Column, precision: int) -> Column:
    """decimal(precision, 2) from whole cents (int64)."""
    whole = cents.cast(pa.decimal128(19, 0))
    return pa.Array.from_buffers(
        pa.decimal128(precision, 2), len(whole), whole.buffers(), whole.null_count, whole.offset
    )


def instant(microseconds: Column) -> Column:
    """timestamptz from microseconds."""
    return microseconds.cast(pa.timestamp("us", "UTC"))


def _word(value: int) -> Column:
    return pa.scalar(value, pa.uint64())


def _constant(value: int, rows: int) -> Column:
    return pa.repeat(pa.scalar(value, pa.int64()), rows)
