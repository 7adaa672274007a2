"""Names: whatever a source calls its things, nothing else is touched."""

from __future__ import annotations

import pyarrow as pa

from wherry.errors import WherryError
from wherry.testing.bench import Bench
from wherry.testing.compare import differences, tables_equal
from wherry.testing.destination_suite.base import DestinationBase, people

HOSTILE = [
    'dou"ble', "sin'gle", "back`tick", "brack[et]", '"; DROP TABLE canary; --', "'; DROP TABLE canary; --", "select",
    "order", "table", "user", "null", "with space", " lead", "semi;colon", "per%cent", "%s", "{}", "$1", "?", ":name",
    "@x", "a.b", "back\\slash", "sla/sh", "new\nline", "tab\t", "ünï", "日本", "🚣", "1st", "-- x", "/* x */",
    "UPPER", "miXed",
]  # fmt: skip


class NameTests(DestinationBase):
    """The map is the pipeline's; what it gives must be taken literally."""

    def test_hostile_table_names(self, bench: Bench) -> None:
        """Each names a table of its own; the canary lives."""
        canary, bird = bench.target(people(), stream="canary"), people((1, "tweet"))
        bench.put(canary, bird)
        names = [*HOSTILE, self.longest()]
        for number, name in enumerate(names):
            bench.put(bench.target(people(), stream=name), people((number, name)))
        bench.reopen()
        for number, name in enumerate(names):
            found = bench.read(bench.target(people(), stream=name), people())
            assert tables_equal(found, people((number, name)), about=name)
        assert tables_equal(bench.read(canary, bird), bird)

    def test_hostile_column_names(self, bench: Bench) -> None:
        """All in one table, in every mode that names columns in SQL."""
        names = [*HOSTILE, self.longest()]
        rows = pa.table({name: pa.array([number, -number], pa.int64()) for number, name in enumerate(names, 1)})
        for mode in sorted(self.connector.capabilities.modes - {"replace"}):
            key = tuple(names[:3]) if mode in ("merge", "history") else ()
            target = bench.target(rows, stream=f"columns_{mode}", mode=mode, key=key)
            bench.put(target, rows)
            if key:
                bench.put(target, rows)
            assert tables_equal(bench.read(target, rows), rows, about=mode)

    def test_names_are_remembered(self, bench: Bench) -> None:
        """(stream path, source column or "") -> name, in the next run too."""
        source = pa.schema([pa.field("id", pa.int64()), pa.field("tïtle", pa.string())])
        renamed = pa.schema(
            [pa.field("id", pa.int64()), pa.field("t_tle", pa.string(), metadata={"wherry:source": "tïtle"})]
        )
        target = bench.target(renamed, stream="space.Thing", table="thing")
        bench.put(target, pa.table({"id": pa.array([1], pa.int64()), "t_tle": ["x"]}))
        wanted = {("space.Thing", ""): "thing", ("space.Thing", "id"): "id", ("space.Thing", source[1].name): "t_tle"}
        assert dict(bench.session.names) == wanted
        assert dict(bench.reopen().names) == wanted

    def test_names_that_differ_by_case(self, bench: Bench) -> None:
        """Tables of their own if and only if the destination says so."""
        upper, lower = bench.target(people(), stream="Kase"), bench.target(people(), stream="kase")
        try:
            bench.put(upper, people((1, "upper")))
            bench.put(lower, people((2, "lower")))
            apart = not differences(bench.read(upper, people()), people((1, "upper")))
        except WherryError:
            apart = False
        assert apart == self.connector.capabilities.case_sensitive

    def test_another_namespace(self, bench: Bench) -> None:
        """`Target.namespace` is another schema beside the session's own."""
        here, there = bench.target(people()), bench.target(people(), stream="o.t", table="t", namespace="kit__other")
        bench.put(here, people((1, "here")))
        bench.put(there, people((2, "there")))
        assert tables_equal(bench.read(here, people()), people((1, "here")))
        assert tables_equal(bench.read(there, people()), people((2, "there")))

    def longest(self) -> str:
        """A name of exactly as many bytes as the destination says it takes."""
        limit = self.connector.capabilities.identifier_limit
        return ("ñ" * limit).encode()[: limit - limit % 2].decode() + "x" * (limit % 2)
