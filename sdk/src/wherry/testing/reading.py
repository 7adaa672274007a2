"""What a source gave, as plain values: for tests of sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from wherry.contracts.source import Run, Source
from wherry.contracts.values import Batch, Mark, Progress, ReadPlan, Selection, Split
from wherry.pipeline.arrow import batches
from wherry.pipeline.select import Wishes, choose
from wherry.testing.compare import texts

Line = tuple[tuple[str, str], ...]
"""A row: (column, value as text) of the columns that are not NULL."""


@dataclass
class Item:
    """One thing that a read yielded; rows are a table of plain Arrow types. data: the batch's own data."""

    stream: str = ""
    rows: pa.Table | None = None
    bookmark: Any = None
    mark: Mark | None = None
    data: Any = None

    def lines(self) -> list[Line]:
        """Its rows as values that can be counted."""
        return [] if self.rows is None else lines(self.rows)


def lines(rows: pa.Table) -> list[Line]:
    """Rows as values that can be counted."""
    names = sorted(rows.schema.names)
    if not names:
        return [()] * rows.num_rows
    columns = [texts(rows.column(name)) for name in names]
    return [
        tuple((name, value) for name, value in zip(names, row, strict=True) if value is not None)
        for row in zip(*columns, strict=True)
    ]


def select(source: Source, only: Sequence[str] = ("*",)) -> list[Selection]:
    """The selections that a first sync would make when nothing is asked for."""
    return [choose(stream, Wishes(), {}).selection for stream in source.discover(only)]


def small(source: Source, bytes: int = 1 << 18) -> Source:
    """The source, asked for small batches."""
    source.run = Run(bytes=bytes)
    return source


def items(source: Source, split: Split) -> Iterator[Item]:
    """What reading the split yields, bookmarks acknowledged."""
    for item in source.read(split):
        if isinstance(item, Batch):
            made = pa.Table.from_batches(parts) if (parts := list(batches(item.data))) else pa.table({})
            yield Item(stream=item.stream, rows=made, bookmark=item.bookmark, data=item.data)
        else:
            yield Item(mark=item, bookmark=item.bookmark)
        if item.bookmark is not None:
            source.acknowledge(split, item.bookmark)


@dataclass
class Whole:
    """All that one run reads. done: (plan, split, its items), in order.  progress: what would be remembered."""

    done: list[tuple[ReadPlan, Split, list[Item]]] = field(default_factory=list)
    progress: dict[str, Progress] = field(default_factory=dict)

    def items(self) -> Iterator[Item]:
        """Of all splits."""
        for _, _, found in self.done:
            yield from found

    def table(self, stream: str) -> pa.Table:
        """All rows of a stream, types widened where they grew."""
        parts = [item.rows for item in self.items() if item.rows is not None and item.stream == stream]
        return pa.concat_tables(parts, promote_options="permissive") if parts else pa.table({})

    def lines(self) -> Counter[tuple[str, Line]]:
        """How often each row came, over all streams."""
        return Counter((item.stream, line) for item in self.items() for line in item.lines())


def read(source: Source, selections: Sequence[Selection], known: Mapping[str, Progress] | None = None) -> Whole:
    """Plan and read until there is no more to do, as one run."""
    whole = Whole(progress=dict(known or {}))
    again = True
    while again:
        plans = list(source.plan(selections, whole.progress))
        for plan in plans:
            _read_plan(source, plan, whole)
        again = any(plan.again for plan in plans)
    return whole


def _read_plan(source: Source, plan: ReadPlan, whole: Whole) -> None:
    last = plan.after
    for split in plan.splits:
        found = list(items(source, split))
        whole.done.append((plan, split, found))
        if plan.after is None:
            last = next((item.bookmark for item in reversed(found) if item.bookmark is not None), split.bookmark)
        if any(item.mark is not None and item.mark.unchanged for item in found):
            last = whole.progress[plan.key].bookmark
    whole.progress[plan.key] = Progress(bookmark=last)


def boundary(before: Iterable[Item], cursors: Mapping[str, str | None]) -> Counter[tuple[str, Line]]:
    """Rows that may come again after the bookmark behind these items: those with their stream's last cursor value.

    Of rows that come in no order, those with the highest.
    """
    found: Counter[tuple[str, Line]] = Counter()
    tables: dict[str, list[pa.Table]] = {}
    for item in before:
        if item.rows is not None and cursors.get(item.stream):
            tables.setdefault(item.stream, []).append(item.rows)
    for stream, parts in tables.items():
        rows = pa.concat_tables(parts, promote_options="permissive")
        column = rows.column(cursors[stream])
        values = texts(column)
        last = next((v for v in reversed(values) if v is not None), None)
        (highest,) = texts(pa.chunked_array([_highest(column)]))
        same = pa.array([value is not None and value in (last, highest) for value in values], pa.bool_())
        found.update((stream, line) for line in lines(rows.filter(same)))
    return found


def _highest(column: pa.ChunkedArray) -> pa.Array:
    try:
        return pa.array([pc.max(column).as_py()], column.type)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # a type without an order
        return pa.nulls(1, column.type)


def resumed(split: Split, bookmark: Any) -> Split:
    """The split from the bookmark on."""
    return replace(split, bookmark=bookmark)
