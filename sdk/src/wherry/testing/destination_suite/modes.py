"""The four modes, changes and parts: what rows do to a table."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from wherry.contracts.loading import Target
from wherry.contracts.values import DELETE, LOAD_ID, MODES, OP, PARTIAL, UNSET, UPSERT, VALID_FROM, VALID_TO
from wherry.errors import DataError, WherryError
from wherry.testing.bench import Bench, data, write
from wherry.testing.compare import tables_equal
from wherry.testing.destination_suite.base import DestinationBase, people
from wherry.testing.suite import cases, does_not_apply

DAY = 86_400_000_000
INSTANT = pa.timestamp("us", "UTC")


class ModeTests(DestinationBase):
    """Target.mode, Target.changes, Load.truncate, Entry.parts, Entry.complete."""

    @cases("mode", MODES)
    def test_modes_are_declared(self, bench: Bench, mode: Any) -> None:
        """A mode works if and only if it is declared."""
        key = ("id",) if mode in ("merge", "history") else ()
        target = bench.target(people(), mode=mode, key=key)
        plan = bench.plan(target)
        if mode == "replace":
            target = dataclasses.replace(target, generation=bench.session.start(plan))
        else:
            bench.session.start(plan)
        if mode not in self.connector.capabilities.modes:
            with pytest.raises(WherryError):
                bench.put(target, people((1, "a")), plan)
            return
        bench.put(target, people((1, "a")), plan, done=True)
        bench.publish(plan, target)
        wanted = people((1, "a"))
        assert tables_equal(bench.read(dataclasses.replace(target, generation=None), wanted), wanted)

    def test_append_adds_rows_and_load_ids_rise(self, bench: Bench) -> None:
        """Equal rows too; `_wherry_load_id` is the id of the load that brought the row."""
        target = bench.target(people())
        receipts = [bench.put(target, people((1, "a"), (n, "b"))) for n in range(3)]
        found = bench.session.read(target).read_all()
        wanted = people(*((1, "a"), (0, "b"), (1, "a"), (1, "b"), (1, "a"), (2, "b")))
        assert tables_equal(data(found).cast(wanted.schema), wanted)
        ids = [receipt.load_id for receipt in receipts]
        assert ids == sorted(set(ids))
        assert sorted(found.column(LOAD_ID).to_pylist()) == sorted(ids * 2)
        assert [receipt.applied["t"].inserted for receipt in receipts] == [2, 2, 2]

    def test_load_ids_can_be_left_out(self, bench: Bench) -> None:
        """`Target.load_id`."""
        target = bench.target(people(), load_id=False)
        bench.put(target, people((1, "a")))
        assert bench.session.read(target).read_all().schema.names == ["id", "name"]

    def test_merge_keeps_one_row_a_key(self, bench: Bench) -> None:
        """New keys are inserted, known ones replaced whole; the last one by position wins."""
        self.needs("merge")
        target = bench.target(people(), mode="merge", key=("id",))
        first = bench.put(target, people((1, "a"), (2, "b"), (1, "a2")))
        second = bench.put(target, people((2, None), (3, "c")))
        wanted = people((1, "a2"), (2, None), (3, "c"))
        assert tables_equal(bench.read(target, wanted), wanted, key=["id"])
        assert (first.applied["t"].inserted, first.applied["t"].updated) == (2, 0)
        assert (second.applied["t"].inserted, second.applied["t"].updated) == (1, 1)

    def test_merge_goes_by_position_not_by_arrival(self, bench: Bench) -> None:
        """Batches may come in any order."""
        self.needs("merge")
        target = bench.target(people(), mode="merge", key=("id",))
        rows = people((1, "last"), (2, "x"), (1, "first")).append_column("_wherry_pos", pa.array([9, 5, 1], pa.int64()))
        bench.put(target, rows)
        wanted = people((1, "last"), (2, "x"))
        assert tables_equal(bench.read(target, wanted), wanted)

    def test_merge_on_a_key_of_two_columns(self, bench: Bench) -> None:
        """Of different types."""
        self.needs("merge")
        rows = pa.table(
            {"a": pa.array([1, 1, 2], pa.int64()), "b": ["x", "y", "x"], "v": pa.array([1, 2, 3], pa.int64())}
        )
        target = bench.target(rows, mode="merge", key=("a", "b"))
        bench.put(target, rows)
        bench.put(target, rows.slice(1).set_column(2, "v", pa.array([20, 30], pa.int64())))
        wanted = rows.set_column(2, "v", pa.array([1, 20, 30], pa.int64()))
        assert tables_equal(bench.read(target, wanted), wanted)

    @cases("mode", ["merge", "history"])
    def test_a_key_that_is_null_is_refused(self, bench: Bench, mode: Any) -> None:
        """Nothing of the load is kept."""
        self.needs(mode)
        keyed = pa.table({"id": pa.array([1, None], pa.int64()), "name": ["a", "b"]})
        target = bench.target(people(), mode=mode, key=("id",))
        bench.put(target, people((7, "x")))
        with pytest.raises(DataError):
            bench.put(target, keyed)
        assert tables_equal(bench.read(target, people()), people((7, "x")))

    def test_changes_delete_and_update_in_part(self, bench: Bench) -> None:
        """In the order of the source, several changes of one key in one load among them."""
        self.needs("merge")
        target = bench.target(_THREE, mode="merge", key=("id",), changes=True)
        bench.put(target, _changes((1, "a", "x"), (2, "b", "y"), (3, "c", "z")))
        bench.put(
            target,
            _changes(
                (1, None, None, DELETE),
                (2, "b2", None, PARTIAL, ["city"]),
                (2, None, "y2", PARTIAL, ["name"]),
                (3, None, None, DELETE),
                (3, "c3", None, PARTIAL, ["city"]),
                (4, "d", "w"),
                (4, None, None, PARTIAL, ["name"]),
                (5, "e", "v"),
                (5, None, None, DELETE),
                (9, None, None, DELETE),
            ),
        )
        wanted = data(_changes((2, "b2", "y2"), (3, "c3", None), (4, "d", None)))
        assert tables_equal(bench.read(target, wanted), wanted, key=["id"])

    def test_truncate_empties_before_later_rows(self, bench: Bench) -> None:
        """What this load staged before, and what the table held; other loads see nothing of it before the commit."""
        for mode, key in (("append", ()), ("merge", ("id",))):
            if mode not in self.connector.capabilities.modes:
                continue
            target = bench.target(people(), stream=f"t_{mode}", mode=mode, key=key)
            bench.put(target, people((1, "a"), (2, "b")))
            load = bench.begin(bench.started(target))
            load.prepare(target)
            write(load, target, people((3, "forgotten")))
            load.truncate(target.stream)
            count = write(load, target, people((4, "d")), first=1)
            load.commit(bench.entry({target.stream: count}))
            assert tables_equal(bench.read(target, people()), people((4, "d")), about=mode)

    def test_a_truncate_that_is_aborted_does_nothing(self, bench: Bench) -> None:
        """It belongs to the load's transaction."""
        target = bench.target(people())
        bench.put(target, people((1, "a")))
        load = bench.begin(bench.started(target))
        load.prepare(target)
        load.truncate("t")
        load.abort()
        assert tables_equal(bench.read(target, people()), people((1, "a")))

    @cases("mode", ["append", "merge"])
    def test_parts_replace_their_own_rows(self, bench: Bench, mode: Any) -> None:
        """`Entry.parts`: rows of a part that is read again go in the same transaction; a part may become empty."""
        self.needs(mode)
        target = bench.target(_filed(), mode=mode, key=("id",) if mode == "merge" else (), part="file")
        bench.put(target, _filed((1, "a.csv"), (2, "a.csv"), (3, "b.csv"), (4, "it's.csv")))
        bench.put(target, _filed((1, "a.csv"), (5, "a.csv")), parts={"t": ("a.csv", "it's.csv")})
        wanted = _filed((1, "a.csv"), (5, "a.csv"), (3, "b.csv"))
        assert tables_equal(bench.read(target, wanted), wanted)

    def test_a_load_without_rows_moves_the_bookmark(self, bench: Bench) -> None:
        """And makes the table."""
        target = bench.target(people())
        plan = bench.started(target)
        bench.put(target, people(), plan, bookmark={"at": 7})
        assert bench.read(target, people()).num_rows == 0
        opened = bench.progress().open
        assert opened is not None
        assert opened.splits[0].bookmark == {"at": 7}

    def test_history_keeps_every_version(self, bench: Bench) -> None:
        """Valid from the source's change time; equal versions are one; deleted and born again; no gap, no overlap."""
        self.needs("history")
        target = bench.target(_TIMED, mode="history", key=("id",), cursor="at", changes=True)
        bench.put(target, _at((1, "a", 1), (2, "b", 1)))
        bench.put(target, _at((1, "a", 1), (2, "b2", 2), (2, "b3", 3)))
        bench.put(target, _at((1, None, 4, DELETE), (3, "c", 4)))
        bench.put(target, _at((1, "a", 6)))
        found = bench.session.read(target).read_all()
        states = {
            1: {1: "a", 2: "b"},
            2: {1: "a", 2: "b2"},
            3: {1: "a", 2: "b3"},
            5: {2: "b3", 3: "c"},
            7: {1: "a", 2: "b3", 3: "c"},
        }
        for day, state in states.items():
            assert _state(found, day) == state, f"on day {day}"
        assert found.num_rows == 6
        _check_intervals(found)

    def test_history_without_a_time_takes_that_of_the_load(self, bench: Bench) -> None:
        """Several versions of one key in one load stay in order."""
        self.needs("history")
        target = bench.target(people(), mode="history", key=("id",))
        receipt = bench.put(target, people((1, "a"), (1, "b"), (1, "c"), (2, "x")))
        found = bench.session.read(target).read_all()
        _check_intervals(found)
        assert found.num_rows == 4
        current = found.filter(pc.is_null(found.column(VALID_TO)))
        assert tables_equal(data(current).cast(people().schema), people((1, "c"), (2, "x")))
        since = pc.min(found.column(VALID_FROM).cast(pa.timestamp("us", "UTC")).cast(pa.int64())).as_py()
        assert abs(since - receipt.committed_at) < 60_000_000

    def test_history_closes_what_a_complete_read_lacks(self, bench: Bench) -> None:
        """Only when the load says that it is complete."""
        self.needs("history")
        target = bench.target(people(), mode="history", key=("id",))
        bench.put(target, people((1, "a"), (2, "b")))
        bench.put(target, people((1, "a")))
        assert _current(bench, target) == {1, 2}
        bench.put(target, people((1, "a")), complete=("t",))
        assert _current(bench, target) == {1}
        bench.put(target, people((2, "b")))
        found = bench.session.read(target).read_all()
        _check_intervals(found)
        assert sorted(found.column("id").to_pylist()) == [1, 2, 2]

    def needs(self, mode: Any) -> None:
        """Skip if the mode is not declared; that it does not work then is another test."""
        if mode not in self.connector.capabilities.modes:
            does_not_apply(f"{mode} is not declared")


_THREE = pa.schema([("id", pa.int64()), ("name", pa.string()), ("city", pa.string())])
_TIMED = pa.schema([("id", pa.int64()), ("name", pa.string()), ("at", INSTANT)])


def _changes(*rows: tuple[Any, ...]) -> pa.Table:
    """(id, name, city[, operation[, names of columns left alone]])."""
    padded = [(*row, *(UPSERT, None)[len(row) - 3 :]) for row in rows]
    ids, names, cities, ops, alone = (list(column) for column in zip(*padded, strict=True))
    unset = [None if a is None else [_THREE.get_field_index(name) for name in a] for a in alone]
    return pa.table(
        [ids, names, cities, pa.array(ops, pa.int8()), pa.array(unset, pa.list_(pa.int16()))],
        schema=pa.schema([*_THREE, (OP, pa.int8()), (UNSET, pa.list_(pa.int16()))]),
    )


def _filed(*rows: tuple[int, str]) -> pa.Table:
    schema = pa.schema([("id", pa.int64()), ("file", pa.string())])
    return pa.table([[row[0] for row in rows], [row[1] for row in rows]], schema=schema)


def _at(*rows: tuple[Any, ...]) -> pa.Table:
    """(id, name, day[, operation])."""
    ids, names, days, ops = zip(*((*row, UPSERT)[:4] for row in rows), strict=True)
    times = pa.array([day * DAY for day in days], pa.int64()).cast(INSTANT)
    schema = pa.schema([*_TIMED, (OP, pa.int8())])
    return pa.table([list(ids), list(names), times, pa.array(ops, pa.int8())], schema=schema)


def _spans(found: pa.Table) -> list[tuple[int, int | None]]:
    columns = (found.column(name).cast(INSTANT).cast(pa.int64()).to_pylist() for name in (VALID_FROM, VALID_TO))
    return list(zip(*columns, strict=True))


def _state(found: pa.Table, day: int) -> dict[int, str]:
    """id -> name of the rows that were valid on a day."""
    rows = zip(found.column("id").to_pylist(), found.column("name").to_pylist(), _spans(found), strict=True)
    return {
        id: name for id, name, (since, until) in rows if since <= day * DAY and (until is None or day * DAY < until)
    }


def _check_intervals(found: pa.Table) -> None:
    """Every version is valid for some time, and no two of a key at once; at most one of a key is open."""
    spans: dict[int, list[tuple[int, float]]] = {}
    for id, (since, until) in zip(found.column("id").to_pylist(), _spans(found), strict=True):
        spans.setdefault(id, []).append((since, float("inf") if until is None else until))
    for id, intervals in spans.items():
        intervals.sort()
        assert all(since < until for since, until in intervals), f"id {id}: {intervals}"
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(intervals)), f"id {id}: {intervals}"


def _current(bench: Bench, target: Target) -> set[int]:
    found = bench.session.read(target).read_all()
    return set(found.filter(pc.is_null(found.column(VALID_TO))).column("id").to_pylist())
