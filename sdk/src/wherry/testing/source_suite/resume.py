"""Bookmarks: JSON, in the right places, and good to go on from, each of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from wherry.contracts.values import Split
from wherry.testing.reading import Item, Line, Whole, boundary, items, read, resumed, select
from wherry.testing.source_suite.base import Make, SourceBase
from wherry.testing.suite import does_not_apply

MOST = 16
"""Bookmarks of one split that are resumed from; of more, so many are taken evenly."""


class ResumeTests(SourceBase):
    """Batch.bookmark, Mark.bookmark, Stream.ordered."""

    def test_bookmarks_are_json(self, whole: Whole) -> None:
        """And the same after a journey as text."""
        for item in whole.items():
            assert json.loads(json.dumps(item.bookmark)) == item.bookmark
        for progress in whole.progress.values():
            assert json.loads(json.dumps(progress.bookmark)) == progress.bookmark

    def test_rows_of_ordered_streams_come_in_order(self, make: Make, whole: Whole) -> None:
        """Within a split, by the cursor."""
        cursors = {s.stream.path: s.cursor for s in select(make()) if s.stream.ordered and s.cursor}
        for _, _, found in whole.done:
            for stream, cursor in cursors.items():
                parts = [i.rows.column(cursor) for i in found if i.stream == stream and i.rows is not None]
                if not parts:
                    continue
                values = pa.chunked_array([chunk for part in parts for chunk in part.chunks], parts[0].type)
                assert values.null_count == 0 or values.slice(0, values.null_count).null_count == values.null_count
                values = values.drop_null().combine_chunks()
                steps = pc.less_equal(values.slice(0, max(len(values) - 1, 0)), values.slice(1))
                assert pc.all(steps).as_py() in (True, None), f"{stream}: {cursor} goes backwards"

    def test_only_ordered_reads_have_a_bookmark_in_the_middle(self, make: Make, whole: Whole) -> None:
        """A cursor's value says nothing of rows that come in another order."""
        streams = [s.stream for s in select(make()) if s.cursor]
        loose = {s.path for s in streams if not (s.ordered or s.resumes or s.changes)}
        for _, split, found in whole.done:
            places = [n for n, item in enumerate(found) if item.rows is not None and item.stream in loose]
            early = [n for n, item in enumerate(found) if item.bookmark is not None and places and n < places[-1]]
            assert not early, f"split {split.key} has a bookmark before its last rows"

    def test_resumes_from_each_bookmark(self, make: Make, whole: Whole) -> None:
        """Rows before a bookmark and rows read from it on are all rows; those at the boundary may come twice."""
        cursors = {s.stream.path: s.cursor for s in select(make())}
        tested = 0
        for _, split, found in whole.done:
            places = [n for n, item in enumerate(found) if item.bookmark is not None]
            for place in places[:: max(1, len(places) // MOST)]:
                again = list(items(make(), resumed(split, found[place].bookmark)))
                self._fits(split, found, place, again, cursors)
                tested += 1
        if not tested:
            does_not_apply("no bookmarks: every run reads all")

    def test_a_second_run_finds_nothing_new(self, make: Make, whole: Whole) -> None:
        """But rows at the boundary; and it ends at the same bookmarks."""
        source = make()
        selections = [s for s in select(source) if s.mode != "replace"]
        if not selections:
            does_not_apply("every stream is replaced")
        again = read(source, selections, whole.progress)
        allowed: Counter[tuple[str, Line]] = Counter()
        for _, _, found in whole.done:
            allowed |= boundary(found, {s.stream.path: s.cursor for s in selections})
        assert not again.lines() - allowed
        for key, progress in again.progress.items():
            assert progress.bookmark == whole.progress[key].bookmark, key

    def _fits(
        self, split: Split, found: list[Item], place: int, again: list[Item], cursors: Mapping[str, str | None]
    ) -> None:
        where = f"split {split.key}, bookmark {json.dumps(found[place].bookmark)[:200]}"
        emptied = {stream for item in again if item.mark is not None for stream in item.mark.truncate}
        if emptied:  # these begin anew: their earlier rows go
            assert _of(emptied, again) == _of(emptied, found), where
        rest = _count(found[place + 1 :]) - _of(emptied, found)
        now = _count(again) - _of(emptied, again)
        parts = _parts(again)
        before = Counter({row: n for row, n in _count(found[: place + 1]).items() if not _in(row, parts)})
        if parts:  # a part that is read again replaces its earlier rows
            assert before + now == _count(found), where
            return
        assert not rest - now, f"{where}: rows are missing"
        surplus = now - rest
        assert not surplus - boundary(found[: place + 1], cursors), f"{where}: rows come twice"


def _count(found: list[Item]) -> Counter[tuple[str, Line]]:
    return Counter((item.stream, line) for item in found for line in item.lines())


def _of(streams: set[str], found: list[Item]) -> Counter[tuple[str, Line]]:
    return Counter({row: n for row, n in _count(found).items() if row[0] in streams})


def _parts(found: list[Item]) -> set[tuple[str, str]]:
    """(stream, part) of the parts that are read again."""
    marks = [item.mark for item in found if item.mark is not None]
    return {(stream, part) for mark in marks for stream, parts in mark.parts.items() for part in parts}


def _in(row: tuple[str, Line], parts: Any) -> bool:
    stream, line = row
    return any((stream, value) in parts for _, value in line)
