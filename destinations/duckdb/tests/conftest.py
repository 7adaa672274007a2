"""A DuckDB file of its own for each test, and short ways to load into it."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from wherry import (
    Counts,
    Destination,
    Entry,
    Load,
    ReadPlan,
    Receipt,
    Selection,
    Session,
    Split,
    Stream,
    Target,
)
from wherry_destination_duckdb.destination import DuckDBDestination

SCHEMA = pa.schema([("id", pa.int64()), ("note", pa.string())])


def entry(stream: str, rows: int, **fields: Any) -> Entry:
    """An entry that accounts for the rows of one stream."""
    counts = {stream: Counts(read=rows, mapped=rows)}
    given: dict[str, Any] = {"bookmark": {"at": rows}, "done": True, "counts": counts} | fields
    return Entry(**given)


@dataclass
class Driver:
    """Loads into one destination. Every `load` is a plan of one split, begun, committed and published."""

    destination: Destination
    path: Path
    schema: str = "shop"

    def open(self, pipeline: str = "shop", **options: Any) -> Session:
        return self.destination.open(pipeline, schema=self.schema, **options)

    def target(self, **fields: Any) -> Target:
        given: dict[str, Any] = {"stream": "orders", "table": "orders", "schema": SCHEMA, "exclusive": True}
        return Target(**(given | fields))

    def plan(self, target: Target, splits: int = 1) -> ReadPlan:
        stream = Stream(name=target.stream, schema=target.schema)
        selection = Selection(stream=stream, mode=target.mode, key=target.key)
        parts = tuple(Split(key=f"part {n}", streams=(selection,)) for n in range(splits))
        return ReadPlan(key=target.stream, splits=parts, id=uuid.uuid4().hex)

    def stage(self, session: Session, plan: ReadPlan, target: Target, rows: pa.RecordBatch, split: int = 0) -> Load:
        load = session.begin(plan, plan.splits[split])
        load.prepare(target)
        load.write(target.stream, rows)
        return load

    def load(self, session: Session, target: Target, rows: pa.RecordBatch, **fields: Any) -> Receipt:
        plan = self.plan(target)
        generation = session.start(plan)
        if target.mode == "replace":
            target = dataclasses.replace(target, generation=generation)
        made = entry(target.stream, rows.num_rows, **fields)
        receipt = self.stage(session, plan, target, rows).commit(made)
        session.publish(plan, [target], generation, Entry(bookmark=made.bookmark, done=True))
        return receipt

    def run(self, target: Target, rows: pa.RecordBatch, **fields: Any) -> Receipt:
        """A session of its own for one load."""
        session = self.open()
        try:
            return self.load(session, target, rows, **fields)
        finally:
            session.close()

    def read(self, target: Target) -> list[dict[str, Any]]:
        """The table's own columns, in order of all of them."""
        session = self.open(read_only=True)
        try:
            rows = session.read(target).read_all()
        finally:
            session.close()
        kept = [name for name in rows.schema.names if not name.startswith("_wherry_")]
        return sorted(rows.select(kept).to_pylist(), key=lambda row: [str(value) for value in row.values()])

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        """Another client's view of the file; nobody may have it open."""
        with duckdb.connect(self.path) as connection:
            return list(connection.execute(text).fetchall())

    def child(self, code: str, **values: Any) -> subprocess.Popen[str]:
        """A process that runs `code` with `driver`, `duckdb`, `pa` and the values at hand."""
        given = "".join(f"{name} = {value!r}\n" for name, value in values.items())
        start = _CHILD.format(tests=str(Path(__file__).parent), path=str(self.path), schema=self.schema)
        return subprocess.Popen(
            [sys.executable, "-c", start + given + code], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip


_CHILD = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import duckdb
import pyarrow as pa
from pathlib import Path
from conftest import Driver, SCHEMA, duck, entry, rows
driver = Driver(duck(Path({path!r})), Path({path!r}), {schema!r})
def die():
    os.kill(os.getpid(), signal.SIGKILL)
"""


def duck(path: Path, **config: Any) -> DuckDBDestination:
    """The destination for a file."""
    return DuckDBDestination(DuckDBDestination.Config.model_validate({"path": str(path)} | config))


def rows(*values: Mapping[str, Any], schema: pa.Schema = SCHEMA, positions: bool = False) -> pa.RecordBatch:
    """A batch, with `_wherry_pos` if asked for."""
    batch = pa.RecordBatch.from_pylist([dict(value) for value in values], schema=schema)
    return batch.append_column("_wherry_pos", pa.array(range(len(values)), pa.int64())) if positions else batch


@pytest.fixture
def driver(tmp_path: Path) -> Driver:
    """A driver over a new file."""
    path = tmp_path / "wh.duckdb"
    return Driver(duck(path), path)


@pytest.fixture
def make() -> Any:
    """The function that makes batches."""
    return rows
