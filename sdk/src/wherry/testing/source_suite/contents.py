"""What is read: schema, values, columns, limits; and what a sync makes of it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pyarrow as pa
import pytest

from wherry.contracts.loading import Target
from wherry.contracts.values import OP, UNSET, ReadPlan
from wherry.contracts.wire import from_json, to_json
from wherry.pipeline.arrow import plain
from wherry.pipeline.select import Wishes
from wherry.testing.compare import tables_equal
from wherry.testing.harness import run_sync
from wherry.testing.memory import MemoryDestination, Store
from wherry.testing.memory.apply import Facts, apply, data_columns, empty
from wherry.testing.reading import Whole, items, read, select
from wherry.testing.source_suite.base import Make, SourceBase
from wherry.testing.suite import does_not_apply


class ContentTests(SourceBase):
    """Source.read, Selection."""

    def test_batches_have_the_schema_that_was_announced(self, make: Make, whole: Whole) -> None:
        """Discovered, or by a mark before them; a column may be missing, none may be new or of another type.

        A stream that was offered without any column tells them by its rows.
        """
        announced = {stream.path: stream.schema for stream in make().discover()}
        for item in whole.items():
            if item.mark is not None and item.mark.stream is not None:
                announced[item.mark.stream.path] = item.mark.stream.schema
            if item.rows is None or not announced[item.stream].names:
                continue
            known = _plain(announced[item.stream])
            for field in item.rows.schema:
                if field.name in (OP, UNSET):
                    continue
                assert field.name in known, f"{item.stream}: {field.name} was not announced"
                if isinstance(item.data, (pa.RecordBatch, pa.Table)):
                    assert field.type == known[field.name], f"{item.stream}: {field.name}"

    def test_reads_what_is_there(self, make: Make, whole: Whole, config: dict[str, Any]) -> None:
        """Value by value, as it was read in another way."""
        known = 0
        for selection in select(make()):
            expected = self.expected(config, selection.stream.path)
            if expected is not None:
                found = _folded(whole, selection.stream)
                assert tables_equal(found, expected, key=selection.key, about=selection.stream.path)
                known += 1
        if not known:
            does_not_apply("no method `expected`")

    def test_something_is_read(self, whole: Whole) -> None:
        """A suite without a row tests nothing."""
        assert sum(whole.lines().values()) > 0

    def test_plans_can_be_replayed(self, make: Make, whole: Whole) -> None:
        """Each split, after a journey as JSON, on an instance that did not plan it."""
        planner = make()  # lives until its splits have ended
        selections = select(planner)
        for plan in planner.plan(selections, {}):
            copied = from_json(ReadPlan, json.loads(json.dumps(to_json(plan))))
            for split in copied.splits:
                found = [line for item in items(make(), split) for line in item.lines()]
                (known,) = [i for p, s, i in whole.done if (p.key, s.key) == (plan.key, split.key)][:1]
                assert sorted(found) == sorted(line for item in known for line in item.lines())

    def test_splits_share_no_key(self, make: Make, whole: Whole) -> None:
        """Unless the plan is ordered: they are read and applied side by side."""
        keys = {s.stream.path: s.stream.primary_key for s in select(make())}
        seen: dict[Any, str] = {}
        for plan, split, found in whole.done:
            for item in found:
                key = keys.get(item.stream)
                if not key or plan.ordered or item.rows is None or OP in item.rows.schema.names:
                    continue
                for line in item.lines():
                    values = (item.stream, *((n, v) for n, v in line if n in key))
                    assert seen.setdefault(values, split.key) == split.key

    def test_limits_are_kept(self, make: Make) -> None:
        """At most so many rows of each stream; previews rely on it."""
        source = make()
        for selection in select(source):
            if selection.stream.changes:
                continue
            sample = dataclasses.replace(selection, mode="replace", cursor=None, limit=3)
            rows = read(source, [sample]).table(selection.stream.path).num_rows
            whole = read(source, [dataclasses.replace(sample, limit=None)]).table(selection.stream.path).num_rows
            assert min(whole, 3) <= rows <= 3, selection.stream.path

    def test_columns_are_left_out(self, make: Make) -> None:
        """Only those selected are read, and the others' absence changes no value."""
        source = make()
        for selection in select(source):
            stream = selection.stream
            if stream.changes or not stream.schema.names:
                continue
            needed = {*selection.key, *filter(None, [selection.cursor, stream.part])} or {stream.schema.names[-1]}
            keep = tuple(n for n in stream.schema.names if n in needed)
            part = read(source, [dataclasses.replace(selection, columns=keep)]).table(stream.path)
            assert set(part.schema.names) & set(stream.schema.names) <= set(keep), stream.path
            full = read(source, [selection]).table(stream.path)
            assert tables_equal(part, full.select(part.schema.names), about=stream.path)

    def test_filters_are_applied_if_declared(self, make: Make) -> None:
        """`Source.filters`: the filter of `where` leaves as many rows as the author says."""
        if not self.connector.filters:
            return
        assert self.where, "filters are declared: give one for a stream in `where`"
        source = make()
        for selection in select(source):
            if selection.stream.path in self.where:
                text, count = self.where[selection.stream.path]
                found = read(source, [dataclasses.replace(selection, where=text)])
                assert found.table(selection.stream.path).num_rows == count

    def test_synced_twice_and_again_after_a_change(
        self, make: Make, whole: Whole, config: dict[str, Any], request: pytest.FixtureRequest
    ) -> None:
        """By the pipeline: the second run finds nothing new; after `mutate` the destination has the new rows."""
        store = Store()
        self._sync(make, store)
        for selection in select(make()):
            self._compare(store, selection.stream.path, self._wanted(whole, selection.stream, config))
        before = set(store.now.tables)
        outcome = self._sync(make, store)
        incremental = {s.stream.path for s in select(make()) if s.mode != "replace" or s.stream.changes}
        for stream in outcome.streams:
            if stream.stream in incremental:
                assert stream.counts["staged"] == 0, f"{stream.stream}: rows came again without a change"
        assert set(store.now.tables) == before
        if self.taped(request, config):
            does_not_apply("what is recorded does not change")
        self.mutate(config)
        self._sync(make, store)
        for selection in select(make()):
            expected = self.expected(config, selection.stream.path)
            if expected is not None:
                self._compare(store, selection.stream.path, expected)

    def _wanted(self, whole: Whole, stream: Any, config: dict[str, Any]) -> pa.Table:
        expected = self.expected(config, stream.path)
        return _folded(whole, stream) if expected is None else expected

    def _sync(self, make: Make, store: Store) -> Any:
        outcome = run_sync(make, MemoryDestination.of(store), wishes=Wishes(), shared=make().run.shared)
        for stream in outcome.streams:
            if stream.error is not None:
                raise stream.error
        assert outcome.exit_code == 0
        return outcome

    def _compare(self, store: Store, path: str, wanted: pa.Table) -> None:
        """Columns go by the names of the source; one that never had a value is not made. None at all: no table."""
        wanted = wanted.select([field.name for field in wanted.schema if not pa.types.is_null(field.type)])
        if not wanted.num_columns:
            return
        ((hold, target),) = [(hold, t) for (hold, stream), t in store.now.targets.items() if stream == path]
        names = {name: source for (h, s, source), name in store.now.names.items() if (h, s) == (hold, path) and source}
        rows = data_columns(store.now.tables[target.namespace or hold[0], target.table])
        found = rows.rename_columns([names[name] for name in rows.schema.names])
        assert tables_equal(found.select(wanted.schema.names), wanted, types=False, about=path)
        assert found.num_columns == wanted.num_columns or not any(
            column.null_count < len(column) for column in found.drop_columns(wanted.schema.names).columns
        )


def _plain(schema: pa.Schema) -> dict[str, pa.DataType]:
    """Name -> type as it flows, without dictionaries, views and extension types."""
    batch = plain(pa.RecordBatch.from_pylist([], schema=schema))
    return {field.name: field.type for field in batch.schema}


def _folded(whole: Whole, stream: Any) -> pa.Table:
    """The rows of the stream after all its changes."""
    rows = whole.table(stream.path)
    if not rows.num_columns:
        return pa.table({field.name: pa.array([], field.type) for field in stream.schema})
    if not stream.changes:
        return rows
    schema = pa.schema([f for f in rows.schema if f.name not in (OP, UNSET)])
    target = Target(
        stream="s", table="s", schema=schema, mode="merge", key=stream.primary_key, changes=True, load_id=False
    )
    return apply(empty(target), rows, target, Facts(load_id=0, now=0))[0]
