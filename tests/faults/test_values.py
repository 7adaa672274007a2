"""Values of every kind through the real pipeline into real destinations: exact, or set aside with the reason."""

from __future__ import annotations

import json
import os
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from harness import hostile
from harness.places import InDuckDB, Place
from wherry.pipeline import raw
from wherry.pipeline.rejects import MaxRejects
from wherry.testing import run_sync
from wherry_destination_duckdb.destination import DuckDBDestination
from wherry_destination_postgres.destination import PostgresDestination

LET_PASS = MaxRejects(percent=100)
SCHEMA = "faults"
EACH = int(os.environ.get("WHERRY_HOSTILE_EACH", "680"))
"""Drawn values of a kind, times its weight: 20,000 and more in all."""


def destination(place: Place) -> Any:
    """The connector for a place, in this process."""
    if isinstance(place, InDuckDB):
        return DuckDBDestination(DuckDBDestination.Config(path=place.reference))
    return PostgresDestination(PostgresDestination.Config(url=place.reference))


def loaded(place: Place, kind: hostile.Kind, table: str = "") -> dict[int, Any]:
    """id -> value, as the engine's own client reads it."""
    table = f'{SCHEMA}."{table or kind.name}"'
    if isinstance(place, InDuckDB):
        import duckdb

        text = "::varchar" if kind.field.metadata else ""
        with duckdb.connect(str(place.path), read_only=True) as database:
            rows = database.sql(f"select id, v{text} as v from {table}").to_arrow_table()
        return dict(zip(rows["id"].to_pylist(), rows["v"], strict=True))
    return dict(place.query(f"select id, {kind.postgres.format(v='v')} from {table}"))


def same(kind: hostile.Kind, expected: Any, got: Any) -> bool:
    """Whether a value came back, in the form that its column keeps it in."""
    wanted, found = hostile.plain(expected), hostile.plain(got)
    if isinstance(found, str) and kind.name == "nanoseconds":
        wanted = expected.cast(pa.utf8()).as_py()
    elif isinstance(found, str) and kind.name == "uuid":
        wanted = wanted.lower()
    elif isinstance(found, str) and pa.types.is_decimal(kind.field.type):
        found = hostile.plain(Decimal(found))
    elif isinstance(found, str) and pa.types.is_nested(kind.field.type):
        found = hostile.plain(json.loads(found))
    return type(wanted) is type(found) and wanted == found


def set_aside(place: Place, kind: hostile.Kind) -> dict[int, tuple[Any, str]]:
    """id -> (value, reason) of rejected rows."""
    if not place.query(f"select 1 from information_schema.tables where table_name = '{kind.name}__rejected'"):
        return {}
    found = {}
    for text, reason in place.query(f"select raw, reason from {SCHEMA}.{kind.name}__rejected"):
        row = json.loads(text)
        value = row["v"] if kind.name == "text" else raw.parse([row["v"]], kind.field.type)[0]
        found[row["id"]] = (value, reason)
    return found


def check(place: Place, kind: hostile.Kind, values: list[Any], counts: dict[str, int]) -> list[str]:
    """What is wrong with the rows of a kind: each is exact in the table, or set aside for a reason, and counted."""
    there, aside = loaded(place, kind), set_aside(place, kind)
    wrong = []
    for id, value in enumerate(values):
        must_go = kind.refused(place.name, value)
        if (id in there) == (id in aside):
            wrong.append(f"{kind.name} {id}: {value!r} is in {'both tables' if id in there else 'neither table'}")
        elif must_go != (id in aside):
            wrong.append(f"{kind.name} {id}: {value!r} was {'set aside: ' + aside[id][1] if id in aside else 'taken'}")
        elif not same(kind, _typed(kind, value), aside[id][0] if id in aside else there[id]):
            wrong.append(f"{kind.name} {id}: {value!r} became {aside[id][0] if id in aside else there[id]!r}")
        elif id in aside and not aside[id][1]:
            wrong.append(f"{kind.name} {id}: no reason")
    expected = {"read": len(values), "rejected": len(aside), "staged": len(there), "inserted": len(there)}
    told = {name: counts[name] for name in expected}
    return wrong if told == expected else [*wrong, f"{kind.name}: counted {told}, found {expected}"]


def _typed(kind: hostile.Kind, value: Any) -> Any:
    return value if kind.name == "text" else pa.array([value], kind.field.type)[0]


def round_trip(place: Place, each: int) -> None:
    values = hostile.drawn(each)
    made = hostile.source(values)
    outcome = run_sync(lambda: made, destination(place), schema=SCHEMA, max_rejects=LET_PASS, connector="hostile")
    failed = [f"{s.stream}: {s.error}" for s in outcome.failed]
    counts = {s.stream: s.counts for s in outcome.streams}
    assert not failed
    wrong = [line for kind in hostile.KINDS for line in check(place, kind, values[kind.name], counts[kind.name])]
    assert not wrong, f"{len(wrong)} of {sum(map(len, values.values()))} values:\n" + "\n".join(wrong[:40])


@pytest.mark.fault(75)
@pytest.mark.fault(76)
@pytest.mark.fault(77)
@pytest.mark.fault(78)
def test_values_come_back_or_are_set_aside(place: Place) -> None:
    """200 of each kind together: texts, numbers, times, bytes, nested values."""
    round_trip(place, 10)


@pytest.mark.fault(75, tier=1)
@pytest.mark.fault(76, tier=1)
@pytest.mark.fault(77, tier=1)
@pytest.mark.fault(78, tier=1)
@pytest.mark.timeout(600)
def test_twenty_thousand_values_come_back_or_are_set_aside(place: Place) -> None:
    round_trip(place, EACH)


@pytest.mark.fault(75, tier=2)
@pytest.mark.fault(76, tier=2)
@pytest.mark.fault(77, tier=2)
@pytest.mark.fault(78, tier=2)
@pytest.mark.timeout(3600)
def test_twenty_thousand_values_of_each_kind(place: Place) -> None:
    round_trip(place, 20_000)
