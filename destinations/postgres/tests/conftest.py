"""A destination on a real database, and short ways to load into it."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from wherry import Counts, Entry, Load, ReadPlan, Receipt, Selection, Session, Split, Stream, Target, WherryError
from wherry_destination_postgres.destination import PostgresDestination

SCHEMA = pa.schema([pa.field("id", pa.int64()), pa.field("note", pa.utf8())])


@dataclass
class Shop:
    """The destination under test. Rows are dicts of columns; every load is one plan with one split."""

    url: str
    opened: list[Session] = field(default_factory=list)

    def destination(self, **config: Any) -> PostgresDestination:
        return PostgresDestination(PostgresDestination.Config.model_validate({"url": self.url} | config))

    def open(self, pipeline: str = "shop", *, wait: float = 0, **config: Any) -> Session:
        session = self.destination(**config).open(pipeline, schema="shop", wait=wait)
        self.opened.append(session)
        return session

    def target(self, table: str = "orders", **fields: Any) -> Target:
        return Target(**({"stream": table, "table": table, "schema": SCHEMA} | fields))

    def plan(self, target: Target, id: str = "", splits: int = 1) -> ReadPlan:
        stream = Stream(name=target.stream, schema=target.schema)
        selection = Selection(stream=stream, mode=target.mode, key=target.key)
        parts = tuple(Split(key=f"part {n}", streams=(selection,)) for n in range(splits))
        return ReadPlan(key=target.stream, id=id or uuid.uuid4().hex, splits=parts)

    def stage(self, session: Session, plan: ReadPlan, target: Target, rows: pa.RecordBatch, split: int = 0) -> Load:
        load = session.begin(plan, plan.splits[split])
        load.prepare(target)
        load.write(target.stream, rows)
        return load

    def load(self, session: Session, target: Target, rows: pa.RecordBatch, bookmark: Any = None) -> Receipt:
        """Start, load, publish; the load's receipt."""
        plan = self.plan(target)
        generation = session.start(plan)
        if target.generation is not None:
            target = Target(**{n: getattr(target, n) for n in target.__slots__} | {"generation": generation})
        receipt = self.stage(session, plan, target, rows).commit(entry(target, rows, bookmark))
        session.publish(plan, [target], generation, Entry(bookmark=bookmark))
        return receipt

    def replace(self, session: Session, rows: pa.RecordBatch, **fields: Any) -> Receipt:
        fields = {"schema": rows.schema} | fields
        return self.load(session, self.target(mode="replace", generation=0, exclusive=True, **fields), rows)

    def merge(self, session: Session, rows: pa.RecordBatch, **fields: Any) -> Receipt:
        names = [name for name in rows.schema.names if name != "_wherry_op"]
        schema = pa.schema([rows.schema.field(name) for name in names])
        rows = rows.append_column("_wherry_pos", pa.array(range(rows.num_rows), pa.int64()))
        target = self.target(mode="merge", key=("id",), schema=schema, **fields)
        return self.load(session, target, rows)

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    def child(self, code: str, *args: str) -> subprocess.Popen[str]:
        """A process that runs `code` with `shop` at hand; it speaks through stdout."""
        return subprocess.Popen(
            [sys.executable, "-c", _CHILD + code, __file__, self.url, *args],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip


_CHILD = """
import importlib.util, os, signal, sys, time
spec = importlib.util.spec_from_file_location("driving", sys.argv[1])
driving = importlib.util.module_from_spec(spec)
sys.modules["driving"] = driving
spec.loader.exec_module(driving)
from driving import Shop, batch, entry
from wherry import Entry, WherryError
shop = Shop(sys.argv[2])
def say(text):
    print(text, flush=True)
"""


def batch(ids: Any, notes: Any = None) -> pa.RecordBatch:
    """Rows of `orders`."""
    ids = list(ids)
    return pa.record_batch([ids, notes or [f"note {n}" for n in ids]], schema=SCHEMA)


def entry(target: Target, rows: pa.RecordBatch, bookmark: Any = None, **fields: Any) -> Entry:
    """What a load of these rows records."""
    counts = {target.stream: Counts(read=rows.num_rows, mapped=rows.num_rows)}
    return Entry(**({"bookmark": bookmark, "done": True, "counts": counts} | fields))


@pytest.fixture
def shop(postgres_database: str) -> Iterator[Shop]:
    shop = Shop(postgres_database)
    yield shop
    for session in shop.opened:
        with suppress(WherryError):  # its connections may have been ended
            session.close()


@pytest.fixture(name="batch")
def batch_fixture() -> Callable[..., pa.RecordBatch]:
    return batch


@pytest.fixture(name="entry")
def entry_fixture() -> Callable[..., Entry]:
    return entry
