"""A table that somebody else holds: the message says who, with the statement but without its values."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from wherry import Batch, Selection, StreamError, TransientError
from wherry_source_postgres.source import PostgresSource

HELD = r"held by pid {pid} \(user \w+, application 'somebody', idle in transaction: lock table blocked in .*…\)"


@pytest.mark.parametrize(
    ("limit", "seconds", "kind"), [("lock_timeout", 0.3, TransientError), ("statement_timeout", 1, StreamError)]
)
def test_who_holds_a_table_is_said(
    postgres_database: str, source_of: Callable[..., PostgresSource], limit: str, seconds: float, kind: Any
) -> None:
    with psycopg.connect(postgres_database, autocommit=True) as database:
        database.execute("create table blocked (id int primary key)")
        database.execute("insert into blocked values (1)")
    source = source_of(postgres_database, **({"lock_timeout": 60} | {limit: seconds}))
    (stream,) = source.discover()
    (plan,) = source.plan([Selection(stream=stream, mode="replace")], {})
    with psycopg.connect(postgres_database, application_name="somebody") as other:
        other.execute("lock table blocked in access exclusive mode; /* 'S3CR3T' */")
        with pytest.raises(kind) as caught:
            list(source.read(plan.splits[0]))
        assert re.search(HELD.format(pid=other.info.backend_pid), caught.value.message), caught.value.message
    assert "S3CR3T" not in caught.value.message
    read = [item.data for item in source.read(plan.splits[0]) if isinstance(item, Batch)]
    assert [row["id"] for data in read for row in data.to_pylist()] == [1]
