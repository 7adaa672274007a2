"""Rows on their way are counted at each step; a difference ends the load before its commit: each rule broken once."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from harness import hostile
from harness.places import InPostgres, Place, tables
from test_values import SCHEMA, destination
from wherry.contracts.loading import Counts
from wherry.pipeline.lane import Lane
from wherry.pipeline.rejects import MaxRejects, Rejects
from wherry.pipeline.select import Wish
from wherry.sql import history, merge, publish
from wherry.sql.dialect import Dialect
from wherry.testing import run_sync

FIRST = pa.table({"id": [1, 2, 3], "v": ["a", "b", "c"]})
LATER = pa.table({"id": [2, 3, 4], "v": ["B", "C", "D"]})


def sync(place: Place, rows: pa.Table, mode: str, **settings: Any) -> Any:
    source = hostile.Rows({"t": rows}, {"t": rows.schema}, key=("id",))
    wish = Wish(mode=mode, key=("id",) if mode in ("merge", "history") else None, types=settings.pop("types", None))
    made = {"schema": SCHEMA, "pipeline": "p", "wish": wish, **settings}
    return run_sync(lambda: source, destination(place), **made)


def held(place: Place) -> list[tuple[Any, ...]]:
    return sorted(place.query(f"select id, v from {SCHEMA}.t")) if tables(place, "t") else []


def refused(outcome: Any, *said: str) -> None:
    """The stream failed with exit 4, and the message has the figures."""
    (stream,) = outcome.failed
    assert outcome.exit_code == 4, stream.error
    assert all(part in stream.error.message for part in said), stream.error.message


def swallow(place: InPostgres, event: str) -> None:
    """A trigger on the table that silently drops what comes to row 3."""
    place.query(
        f"create function {SCHEMA}.swallow() returns trigger language plpgsql as"
        " $$ begin if new.id = 3 then return null; end if; return new; end $$"
    )
    place.query(f"create trigger t before {event} on {SCHEMA}.t for each row execute function {SCHEMA}.swallow()")


@pytest.mark.fault(75, tier=1)
@pytest.mark.parametrize("mode", ["append", "merge", "history"])
def test_a_trigger_that_drops_rows_is_noticed(postgres_place: InPostgres, mode: str) -> None:
    sync(postgres_place, FIRST.slice(0, 1), mode)
    before = held(postgres_place)
    swallow(postgres_place, "insert")
    said = "1 rows staged, 2 mapped" if mode == "append" else "2 rows should have come into table t, 1 did"
    refused(sync(postgres_place, FIRST.slice(1), mode), said)
    assert held(postgres_place) == before


@pytest.mark.fault(75, tier=1)
def test_a_trigger_that_keeps_old_rows_is_noticed(postgres_place: InPostgres) -> None:
    """History ends a version that stays open: one of two that should have ended."""
    sync(postgres_place, FIRST, "history")
    before = held(postgres_place)
    swallow(postgres_place, "update")
    refused(sync(postgres_place, LATER, "history"), "2 rows should have come into table t, 1 did")
    assert held(postgres_place) == before


@pytest.mark.fault(75, tier=1)
def test_a_trigger_that_drops_rows_while_publishing_is_noticed(postgres_place: InPostgres) -> None:
    sync(postgres_place, FIRST, "replace")
    postgres_place.query(f"create view {SCHEMA}.seen as select * from {SCHEMA}.t")
    swallow(postgres_place, "insert")
    refused(sync(postgres_place, LATER, "replace"), "3 rows should have come into table t, 2 did")
    assert held(postgres_place) == [(1, "a"), (2, "b"), (3, "c")]


@pytest.mark.fault(75)
def test_staged_is_mapped_less_rejected(place: Place, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lane that loses a row on its way."""
    counts = Lane._counts

    def more(self: Lane) -> dict[str, Counts]:
        return {name: Counts(read=c.read, mapped=c.mapped + 1) for name, c in counts(self).items()}

    monkeypatch.setattr(Lane, "_counts", more)
    refused(sync(place, FIRST, mode), "3 rows staged, 4 mapped less 0 rejected")
    assert held(place) == []


@pytest.mark.fault(75)
def test_rejected_rows_are_staged_as_they_are_counted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Rejects.rows
    monkeypatch.setattr(Rejects, "rows", lambda *args: rows(*args).slice(1))
    outcome = sync(place, FIRST, "append", types={"v": "bigint"}, max_rejects=MaxRejects(rows=5))
    refused(outcome, "stream t~rejected: 2 rows staged, 3 mapped less 0 rejected")
    assert tables(place, "t__rejected") == []


@pytest.mark.fault(75)
def test_merge_accounts_for_every_key(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows with a key twice are one row; an upsert that says less than that is refused."""
    twice = pa.concat_tables([FIRST, LATER])
    assert sync(place, twice, "merge").exit_code == 0
    assert held(place) == [(1, "a"), (2, "B"), (3, "C"), (4, "D")]
    opened = destination(place).dialect()
    kind = type(opened)
    opened.close()
    upsert = kind.upsert

    def less(self: Dialect, *args: Any) -> tuple[int, int]:
        inserted, updated = upsert(self, *args)
        return inserted, updated - 1

    monkeypatch.setattr(kind, "upsert", less)
    refused(sync(place, twice, "merge"), "4 rows should have come into table t, 3 did")
    assert held(place) == [(1, "a"), (2, "B"), (3, "C"), (4, "D")]


@pytest.mark.fault(75, tier=1)
@pytest.mark.parametrize(("module", "mode"), [(merge, "merge"), (history, "history")])
def test_an_insert_that_does_less_is_noticed(
    place: Place, module: Any, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Into an empty table, where the rows come by a plain insert."""
    name = "insert" if mode == "merge" else "_first"
    whole = getattr(module, name)
    monkeypatch.setattr(module, name, lambda *args: whole(*args) - 1)
    refused(sync(place, FIRST, mode), "3 rows should have come into table t, 2 did")
    assert held(place) == []


@pytest.mark.fault(75, tier=1)
def test_a_rebuild_that_lost_rows_is_not_published(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the loads of a generation counted is what its table must hold."""
    loaded = publish.loaded_rows
    sync(place, FIRST, "replace")
    monkeypatch.setattr(publish, "loaded_rows", lambda *args: loaded(*args) + 1)
    refused(sync(place, LATER, "replace"), "4 rows should have come into table t, 3 did")
    assert held(place) == [(1, "a"), (2, "b"), (3, "c")]
