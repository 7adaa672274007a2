"""Values: what is written is read back, to the last bit, for each type family that is declared."""

from __future__ import annotations

import dataclasses
import json
from decimal import Decimal
from typing import Any

import pyarrow as pa

from wherry.contracts.values import KIND
from wherry.errors import WherryError
from wherry.testing import values
from wherry.testing.bench import Bench, write
from wherry.testing.compare import differences, tables_equal, texts
from wherry.testing.destination_suite.base import DestinationBase
from wherry.testing.suite import cases

FAMILIES = list(values.columns())


class ValueTests(DestinationBase):
    """Capabilities.types, Destination.storage."""

    @cases("family", FAMILIES)
    def test_keeps_every_value(self, bench: Bench, family: str) -> None:
        """In each type that `storage` names, as long as the values fit it."""
        tested = 0
        for field, column in values.columns()[family]:
            rows = values.table(field, column)
            for rung, kind in enumerate(bench.destination.storage(field)):
                fitting = _cast(rows, field.with_type(kind))
                if fitting is None:
                    assert kind != field.type
                    continue
                name = f"{field.name}_{rung}"
                target = dataclasses.replace(bench.target(fitting, stream=name), schema=fitting.schema)
                bench.put(target, fitting)
                found = bench.read(target)
                assert _same(found, fitting, f"{field.type} kept as {kind}")
                tested += 1
        assert tested, "storage() names no type that holds these values"

    @cases("family", FAMILIES)
    def test_declares_what_it_keeps(self, bench: Bench, family: str) -> None:
        """A declared family is kept as it is; one that is not declared is kept by a fallback."""
        native = any(self._is_native(bench, field) for field, _ in values.columns()[family])
        declared = family in self.connector.capabilities.types
        assert native == declared, f"{family}: declared {declared}, kept as it is {native}"

    def _is_native(self, bench: Bench, field: pa.Field) -> bool:
        if KIND not in (field.metadata or {}):
            return bool(bench.destination.storage(field)[0] == field.type)
        target = bench.target(pa.schema([field]), stream=f"native_{field.name}")
        bench.put(target, target.schema.empty_table())
        found = bench.session.schema(target)
        assert found is not None
        return bool((found.field(field.name).metadata or {}).get(KIND) == field.metadata[KIND])

    def test_storage_only_widens(self, bench: Bench) -> None:
        """Each storage type of a column is itself kept as it is."""
        for family in FAMILIES:
            for field, _ in values.columns()[family]:
                for kind in bench.destination.storage(field):
                    assert bench.destination.storage(field.with_type(kind))[0] == kind, f"{field.type} → {kind}"

    def test_nul_in_text_is_kept_or_refused(self, bench: Bench) -> None:
        """Never cut, never changed in silence."""
        rows = pa.table({"id": pa.array([1, 2], pa.int64()), "name": ["a\0b", "c"]})
        target = bench.target(rows)
        try:
            bench.put(target, rows)
        except WherryError:
            return
        assert tables_equal(bench.read(target, rows), rows)

    def test_columns_in_any_order_and_absent_ones_are_null(self, bench: Bench) -> None:
        """`Load.write`: columns are the target's fields in any order."""
        whole = pa.table(
            {"id": pa.array([1, 2, 3, 4], pa.int64()), "a": ["x", "y", None, None], "b": [None, "u", "v", None]}
        )
        target = bench.target(whole)
        plan = bench.started(target)
        load = bench.begin(plan)
        load.prepare(target)
        parts = [["a", "id"], ["b", "id", "a"], ["id", "b"], ["id"]]
        for row, names in enumerate(parts):
            write(load, target, whole.slice(row, 1).select(names))
        load.commit(bench.entry({"t": 4}))
        assert tables_equal(bench.read(target, whole), whole)

    def test_batches_of_any_size(self, bench: Bench) -> None:
        """Of no row, of one, sliced, and many thousand rows."""
        rows = pa.table({"id": pa.array(range(50_000), pa.int64()), "name": [f"n{i}" * (i % 7) for i in range(50_000)]})
        target = bench.target(rows)
        plan = bench.started(target)
        load = bench.begin(plan)
        load.prepare(target)
        for start, length in [(0, 0), (0, 1), (1, 999), (1000, 0), (1000, 49_000)]:
            batch = rows.slice(start, length).combine_chunks()
            load.write("t", (batch.to_batches() or [pa.RecordBatch.from_pylist([], schema=rows.schema)])[0])
        load.commit(bench.entry({"t": 50_000}))
        assert tables_equal(bench.read(target, rows), rows)


def _cast(rows: pa.Table, field: pa.Field) -> pa.Table | None:
    """The rows with the field in its type, if every value fits. As text anything fits: only the text is compared."""
    place = rows.schema.get_field_index(field.name)
    column = rows.column(place)
    if column.type == field.type:
        return rows
    if pa.types.is_string(field.type):
        return rows.set_column(place, field, pa.array(texts(column), pa.string()))
    try:
        cast = column.cast(field.type)
        back = cast.cast(column.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    before, after = (pa.table({"x": c}) for c in (column, back))
    return rows.set_column(place, field, cast) if not differences(before, after) else None


def _same(found: pa.Table, wanted: pa.Table, about: str) -> bool:
    """Equal tables; JSON documents are equal when they say the same."""
    for place, field in enumerate(wanted.schema):
        if (field.metadata or {}).get(KIND) == b"json":
            found = found.set_column(place, field, _canonical(found.column(field.name)))
            wanted = wanted.set_column(place, field, _canonical(wanted.column(field.name)))
    return tables_equal(found, wanted, key=["id"], about=about)


def _canonical(documents: pa.ChunkedArray[Any]) -> pa.Array[Any]:
    """The same text for the same document, numbers to the last digit."""

    def text(document: str) -> str:
        return json.dumps(json.loads(document, parse_float=lambda n: str(Decimal(n))), sort_keys=True)

    return pa.array([None if d is None else text(d) for d in documents.to_pylist()], pa.string())
