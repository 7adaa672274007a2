"""The kit's first user among sources: the reference source, with a stream of each kind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from wherry.testing import MemorySource, MemoryStream, SourceSuite


def numbered(start: int, end: int, **columns: Any) -> pa.Table:
    """Ids, and a cursor in which three rows have one value each."""
    ids = pa.array(range(start, end), pa.int64())
    at = pa.array([n // 3 for n in range(start, end)], pa.int64())
    return pa.table({"id": ids, "at": at, **columns})


def log() -> pa.Table:
    """60 upserts, partial updates of the first 20 that change nothing, deletes of the next 20."""
    ops = pa.array([0] * 60 + [2] * 20 + [1] * 20, pa.int8())
    entries = numbered(0, 100, _wherry_op=ops, _wherry_unset=pa.array([[1]] * 100, pa.list_(pa.int16())))
    return entries.set_column(0, "id", pa.array([n % 60 for n in range(100)], pa.int64()))


GROWN = numbered(50, 80, text=pa.array(["x"] * 30))
STREAMS = (
    MemoryStream(name="plain", tables=(numbered(0, 90),), batch=20),
    MemoryStream(name="split", namespace="space", tables=(numbered(0, 90),), key=("id",), splits=3, batch=7),
    MemoryStream(name="ordered", tables=(numbered(0, 50), GROWN), key=("id",), cursor="at", ordered=True, batch=8),
    MemoryStream(name="loose", tables=(numbered(0, 40),), cursor="at", batch=8),
    MemoryStream(name="log", tables=(log(),), key=("id",), changes=True, batch=9),
)


class TestMemorySource(SourceSuite):
    connector = MemorySource

    @pytest.fixture
    def config(self) -> dict[str, Any]:
        return {"streams": STREAMS}

    def expected(self, config: dict[str, Any], stream: str) -> pa.Table | None:
        if stream == "log":
            return pa.concat_tables([numbered(0, 20), numbered(40, 60)])
        tables = next(s.tables for s in config["streams"] if s.stream().path == stream)
        return pa.concat_tables(tables, promote_options="default")

    def mutate(self, config: dict[str, Any]) -> None:
        more = {s.name: numbered(s.rows, s.rows + 9) for s in STREAMS if not s.changes}
        config["streams"] = tuple(
            replace(s, tables=(*s.tables, *([more[s.name]] if s.name in more else []))) for s in STREAMS
        )
