"""Schema evolution: columns come and types widen, between loads and inside one, and every value stays."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from wherry.contracts.loading import Target
from wherry.contracts.values import Mode
from wherry.errors import SchemaError, WherryError
from wherry.testing.bench import Bench, write
from wherry.testing.compare import tables_equal
from wherry.testing.destination_suite.base import DestinationBase, people
from wherry.testing.suite import cases, does_not_apply

WHOLE = [1, -1, 2**53 + 1, -(2**53) - 1, 2**63 - 1]
WIDENING: list[tuple[pa.DataType, Any]] = [
    (pa.int64(), WHOLE),
    (pa.decimal128(38, 0), [10**37, -(10**37) - 1]),
    (pa.string(), ["1e400", "not a number"]),
]
"""Types from narrow to wide, and values that only this type and wider ones hold."""


class SchemaTests(DestinationBase):
    """Capabilities.schema_changes, Load.prepare, Session.schema."""

    def test_schema_of_a_table(self, bench: Bench) -> None:
        """Storage types and names in order, without `_wherry_*`; None when there is no table."""
        target = bench.target(people())
        assert bench.session.schema(target) is None
        bench.put(target, people((1, "a")))
        found = bench.session.schema(target)
        assert found is not None
        assert [(f.name, f.type) for f in found] == [(f.name, f.type) for f in target.schema]

    @cases("mode", ["append", "merge", "history"])
    def test_new_columns_are_null_in_old_rows(self, bench: Bench, mode: Mode) -> None:
        """Between two loads, and after rows were written in the same one."""
        first, grown = people((1, "a")), people((2, "b"), (3, "c"))
        more = grown.append_column("city", pa.array(["X", None]))
        later = people((4, "d")).append_column("city", pa.array(["Y"])).append_column("age", pa.array([9], pa.int64()))
        targets = [bench.target(t, mode=mode, key=() if mode == "append" else ("id",)) for t in (first, more, later)]
        if not self.declared("add", bench, targets):
            return
        bench.put(targets[0], first)
        self._grow(bench, [(targets[1], more), (targets[2], later)])
        wanted = pa.concat_tables([first, more, later], promote_options="default")
        assert tables_equal(bench.read(targets[2], wanted), wanted, key=["id"])

    @cases("mode", ["append", "merge", "history"])
    def test_widening_keeps_every_value(self, bench: Bench, mode: Mode) -> None:
        """int → bigint → decimal → text, 2^53+1 among the values."""
        steps = [(kind, values) for kind, values in WIDENING if _keeps(bench, kind)]
        tables = self._steps(steps)
        targets = [bench.target(t, mode=mode, key=() if mode == "append" else ("id",)) for t in tables]
        if not self.declared("widen", bench, targets):
            return
        bench.put(targets[0], tables[0])
        for step in range(1, len(steps)):
            bench.put(targets[step], tables[step])
            self._compare(bench, targets[step], tables[: step + 1])

    def test_widening_inside_a_load(self, bench: Bench) -> None:
        """Rows written before and after."""
        steps = [(kind, values) for kind, values in WIDENING if _keeps(bench, kind)]
        tables = self._steps(steps)
        targets = [bench.target(t) for t in tables]
        if not self.declared("widen", bench, targets):
            return
        self._grow(bench, list(zip(targets, tables, strict=True)))
        self._compare(bench, targets[-1], tables)

    def test_a_narrower_target_leaves_the_table_as_it_is(self, bench: Bench) -> None:
        """A column that the source lost stays, and is NULL in new rows."""
        wide = people((1, "a")).append_column("city", pa.array(["X"]))
        bench.put(bench.target(wide), wide)
        bench.put(bench.target(people()), people((2, "b")))
        wanted = pa.concat_tables([wide, people((2, "b"))], promote_options="default")
        assert tables_equal(bench.read(bench.target(wide), wide), wanted)

    def test_an_aborted_load_may_leave_columns_but_no_rows(self, bench: Bench) -> None:
        """The schema may be ahead of the rows, never behind."""
        target = bench.target(people())
        bench.put(target, people((1, "a")))
        wide = people((2, "b")).append_column("city", pa.array(["X"]))
        load = bench.begin(bench.started(target))
        load.prepare(bench.target(wide))
        write(load, bench.target(wide), wide)
        load.abort()
        assert tables_equal(bench.read(target, people()).select(["id", "name"]), people((1, "a")))
        bench.put(bench.target(wide), wide)

    def test_a_view_survives_widening_or_is_named(self, bench: Bench) -> None:
        """Where SQL runs: afterwards it gives the old values, or the load stops and names it."""
        if not self.connector.capabilities.sql or "widen" not in self.connector.capabilities.schema_changes:
            does_not_apply("no SQL, or no widening")
        narrow, wide = self._steps(WIDENING[:2])
        bench.put(bench.target(narrow), narrow)
        bench.session.execute('create view "kit"."kit_view" as select "id", "n" from "kit"."t"')
        wanted, refusal = pa.concat_tables([narrow.cast(wide.schema), wide]), None
        try:
            bench.put(bench.target(wide), wide)
        except SchemaError as error:
            wanted, refusal = narrow, str(error)
        assert refusal is None or "kit_view" in refusal
        reader = bench.session.execute('select "id", "n" from "kit"."kit_view"')
        assert reader is not None
        assert tables_equal(reader.read_all().cast(wanted.schema), wanted)

    def declared(self, change: str, bench: Bench, targets: list[Target]) -> bool:
        """Whether the change is declared; if not, it must not work either."""
        if change in self.connector.capabilities.schema_changes:
            return True
        bench.put(targets[0], targets[0].schema.empty_table())
        with pytest.raises(WherryError):
            bench.put(targets[-1], targets[-1].schema.empty_table())
        return False

    def _steps(self, steps: list[tuple[pa.DataType, Any]]) -> list[pa.Table]:
        tables, first = [], 0
        for kind, values in steps:
            column = pa.array([str(v) for v in values], pa.string()).cast(kind)
            ids = pa.array(range(first, first + len(values)), pa.int64())
            tables.append(pa.table({"id": ids, "n": column}))
            first += len(values)
        return tables

    def _grow(self, bench: Bench, steps: list[tuple[Target, pa.Table]]) -> None:
        load, count = bench.begin(bench.started(steps[0][0])), 0
        for target, rows in steps:
            load.prepare(target)
            count += write(load, target, rows, first=count)
        load.commit(bench.entry({"t": count}))

    def _compare(self, bench: Bench, target: Target, tables: list[pa.Table]) -> None:
        """As texts: those of whole numbers are the same in every type."""
        texts = pa.schema([pa.field("id", pa.int64()), pa.field("n", pa.string())])
        wanted = pa.concat_tables([table.cast(texts) for table in tables])
        assert tables_equal(bench.read(target, texts), wanted, key=["id"])


def _keeps(bench: Bench, kind: pa.DataType) -> bool:
    return bool(bench.destination.storage(pa.field("n", kind))[0] == kind)
