"""Bytes of another server's COPY: into a table of the load's own making, or behind rows that are there already."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from wherry import Counts, Entry, Piece

FORM = "pg-copy-binary"


def copied(url: str, sql: str) -> bytes:
    statement = f"copy ({sql}) to stdout (format binary)".encode()
    with psycopg.connect(url) as connection, connection.cursor().copy(statement) as copy:
        return b"".join(map(bytes, copy))


def taken(shop: Any, target: Any, sql: str, rows: int) -> None:
    """Take these rows in one load, and commit it."""
    session, plan = shop.opened[-1], shop.plan(target, id="one", splits=2)
    split = 1 if shop.sql("select 1 from shop._wherry_loads") else 0
    session.start(plan)
    load = session.begin(plan, plan.splits[split])
    load.prepare(target)
    load.take(target.stream, FORM, Piece(stream="orders", data={"columns": ["id", "note"]}))
    load.take(target.stream, FORM, Piece(stream="orders", data=copied(shop.url, sql)))
    load.commit(Entry(done=True, counts={"orders": Counts(read=rows, mapped=rows)}))


@pytest.mark.parametrize("load_id", [True, False])
def test_rows_are_settled_at_once_and_rows_that_are_there_stay(shop: Any, load_id: bool) -> None:
    shop.sql("create extension if not exists pg_visibility")
    shop.open()
    target = shop.target(mode="replace", generation=1, exclusive=True, load_id=load_id)
    taken(shop, target, "select g::int8, g::text from generate_series(1, 5000) g", 5000)
    table = shop.sql("select relname from pg_class where relname like 'orders%' and relkind = 'r'")[0][0]
    size = f"pg_relation_size('shop.{table}') / 8192"
    settled = f"select all_visible = {size} and all_frozen = {size} from pg_visibility_map_summary('shop.{table}')"
    assert shop.sql(settled) == [(True,)]
    taken(shop, target, "select g::int8, null::text from generate_series(5001, 5010) g", 10)
    assert shop.sql(f"select count(*), sum(id), count(note), max(note) from shop.{table}") == [
        (5010, 5010 * 5011 // 2, 5000, "999")
    ]
