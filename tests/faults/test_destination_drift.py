"""What somebody else does to the tables of a pipeline, between runs and in a run (rows 46 and 47).

`sdk/docs/delivery-guarantees.md` has a table of these cases; a test compares it with `CASES`.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from harness import oracle, places
from harness.places import SCHEMA

PAGE = Path(__file__).parents[2] / "sdk" / "docs" / "delivery-guarantees.md"
HALF = 3000
MODES = ("append", "merge", "replace", "history")


def stream_of(mode: str) -> str:
    return "log" if mode == "append" else "items"


def change(place, *statements: str) -> None:
    """What somebody else does, at rest."""
    if place.name == "postgres":
        for statement in statements:
            place.query(statement)
        return
    import duckdb

    with duckdb.connect(str(place.path)) as database:
        for statement in statements:
            database.execute(statement)


@dataclass(frozen=True)
class Case:
    """did: as the page names it.  sql: the statements, over {t} (table) and {s} (schema).  codes: of the next run, by
    mode, the first for all others.  said: a pattern of what that run says on stderr.  undo: what the message advises.

    Where the run ends with 0 its table is whole at once; else after `undo`, or with `again`, arguments of a third run.
    """

    did: str
    sql: tuple[str, ...]
    code: int
    said: str = ""
    replace: int = 0
    undo: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    engines: tuple[str, ...] = ("duckdb", "postgres")


LOST = r"table faults\.\w+ has lost column payload"
CASES = {
    "a column added": Case("adds a column", ("alter table {t} add column note text",), 0),
    "a column dropped": Case(
        "drops or renames a column", ("alter table {t} drop column payload",), 8, LOST,
        again=("--full-refresh", "--yes"),
    ),
    "a column renamed": Case(
        "drops or renames a column", ("alter table {t} rename column payload to text",), 8, LOST,
        undo=("alter table {t} rename column text to payload",),
    ),
    "a column wider": Case("makes a column wider", ("alter table {t} alter column version type numeric(38, 0)",), 0),
    "a column narrower": Case("makes a column narrower", ("alter table {t} alter column seq type integer",), 0),
    "the table dropped": Case(
        "drops or renames a table", ("drop table {t}",), 0, "its table is gone: rebuilt from empty"
    ),
    "the table renamed": Case(
        "drops or renames a table", ("alter table {t} rename to moved",), 0, "its table is gone: rebuilt from empty"
    ),
    "the schema dropped": Case("drops the schema", ("drop schema {s} cascade",), 0),
    "the state dropped": Case(
        "drops a table of the bookkeeping", ("drop table {s}._wherry_state",), 8,
        r"schema faults has lost _wherry_state: without it nobody knows what its tables hold", replace=8,
        undo=("drop schema {s} cascade",),
    ),
    "a view instead": Case(
        "puts a view in the table's place",
        ("alter table {t} rename to moved", "create view {t} as select * from {s}.moved"), 2,
        r"faults\.\w+ is a view: rows go into tables only", replace=2,
        undo=("drop view {t}", "alter table {s}.moved rename to {n}"),
    ),
    "a constraint added": Case(
        "adds a constraint that rows do not keep", ("alter table {t} add constraint c check (seq <= 3000)",), 6,
        r"check violation, constraint c", replace=6, undo=("alter table {t} drop constraint c",), engines=("postgres",),
    ),
}  # fmt: skip


def soon(name: str, engine: str, mode: str) -> bool:
    """Whether a case is tried in tier 1."""
    lost = ("a column dropped", "the table dropped", "a view instead")
    return (engine, mode) == ("postgres", "merge") or ((engine, mode) == ("duckdb", "append") and name in lost)


BETWEEN = [
    pytest.param(
        name, engine, mode, id=f"{name}-{engine}-{mode}",
        marks=pytest.mark.fault(46, tier=1 if soon(name, engine, mode) else 2),
    )
    for name, case in CASES.items() for engine in case.engines for mode in MODES
]  # fmt: skip


@pytest.mark.parametrize(("name", "place", "mode"), BETWEEN, indirect=["place", "mode"])
def test_between_runs(wherry, ledger, place, mode, name):
    case, stream = CASES[name], stream_of(mode)
    names = {"t": f"{SCHEMA}.{stream}", "s": SCHEMA, "n": stream}
    assert wherry.sync(ledger, place, mode, "--set", f"until={HALF}").code == 0
    change(place, *(sql.format(**names) for sql in case.sql))
    ended = wherry.sync(ledger, place, mode)
    expected = case.replace if mode == "replace" else case.code
    assert not oracle.told(ended, expected)
    if expected:
        assert re.search(case.said, ended.stderr), ended
        assert "next:" in ended.last, ended
        change(place, *(sql.format(**names) for sql in case.undo))
        ended = wherry.sync(ledger, place, mode, *case.again)
        assert not oracle.told(ended, 0)
    elif case.said:
        assert re.search(case.said, ended.stderr), ended
    anew = case.again or "schema" in name or "table" in name or "state" in name
    assert not oracle.holds(place, ledger, mode, *(() if anew else (HALF, ledger.end)))
    assert not wherry.recovers(ledger, place, mode, until=() if anew else (HALF, ledger.end))


IN_A_RUN = {
    # statement -> (code, what it says); 0: the run goes on
    "drop table {t}": (4, r"table faults\.\w+ was dropped or renamed while this run wrote to it"),
    "alter table {t} rename to moved": (4, r"table faults\.\w+ was dropped or renamed while this run wrote to it"),
    "alter table {t} drop column payload": (8, LOST),
    "alter table {t} rename column payload to text": (8, LOST),
    "alter table {t} add column note text": (0, ""),
    "alter table {t} alter column version type numeric(38, 0)": (0, ""),
    "alter table {t} alter column seq type integer": (0, ""),
    "drop table {s}._wherry_state": (4, r"relation .*_wherry_state.* does not exist"),
}


SOON = ("drop table {t}", "alter table {t} drop column payload", "drop table {s}._wherry_state")


@pytest.mark.parametrize(
    ("statement", "mode"),
    [
        pytest.param(sql, mode, marks=pytest.mark.fault(46, tier=1 if mode == "merge" and sql in SOON else 2))
        for sql in IN_A_RUN
        for mode in ("merge", "history")
    ],
    indirect=["mode"],
)
def test_in_a_run(wherry, ledger, postgres_place, mode, statement):
    """Rows wait in a staging table while somebody changes the table; so do those of modes that write straight."""
    place, stream = postgres_place, stream_of(mode)
    assert wherry.sync(ledger, place, mode, "--set", f"until={HALF}").code == 0
    run = wherry.start(*wherry.syncing(ledger, place, mode, "--set", "pause=0.3", "--json"))
    assert run.wait_for("batch_loaded", 2), run.wait()
    place.query(statement.format(t=f"{SCHEMA}.{stream}", s=SCHEMA))
    ended = run.wait()
    code, said = IN_A_RUN[statement]
    assert not oracle.told(ended, code, names="" if code == 0 else stream)
    if code:
        assert re.search(said, ended.stderr), ended
    until: tuple[int, ...] = (HALF, ledger.end)
    again: tuple[str, ...] = ()
    if "drop table {t}" in statement or "rename to" in statement:
        until = ()  # made anew
    elif "column payload" in statement:
        until, again = (), ("--full-refresh", "--yes")
    elif "_wherry_state" in statement:
        refused = wherry.sync(ledger, place, mode)
        assert not oracle.told(refused, 8)
        assert f"drop schema {SCHEMA} to read everything anew" in refused.last
        place.query(f"drop schema {SCHEMA} cascade")
        until = ()
    if until == ():  # what the bookmark stood for is gone with the table: only the next run knows
        assert not oracle.told(wherry.sync(ledger, place, mode, *again), 0)
    assert not wherry.recovers(ledger, place, mode, until=until)


@pytest.mark.fault(46, tier=1)
@pytest.mark.parametrize("mode", ["append", "replace"], indirect=True)
def test_dropped_in_a_run_that_writes_straight(wherry, ledger, postgres_place, mode):
    """Whoever drops the table waits for the load's transaction; then it is gone, and the next run makes it anew."""
    place, stream = postgres_place, stream_of(mode)
    assert wherry.sync(ledger, place, mode, "--set", f"until={HALF}").code == 0
    run = wherry.start(*wherry.syncing(ledger, place, mode, "--set", "pause=0.3", "--json"))
    assert run.wait_for("batch_loaded", 2), run.wait()
    with psycopg.connect(place.url, autocommit=True) as other:
        other.execute(f"drop table {SCHEMA}.{stream}")
    ended = run.wait()
    assert not oracle.told(ended, 0, 4)
    done = wherry.sync(ledger, place, mode)
    assert not oracle.told(done, 0)
    if mode == "append":
        assert "its table is gone: rebuilt from empty" in done.stderr
    assert not wherry.recovers(ledger, place, mode)


@pytest.mark.fault(46, tier=1)
def test_the_rebuild_is_dropped_in_a_run(wherry, ledger, postgres_place):
    """The table that a replacement is built in: half a one is never published."""
    place = postgres_place
    assert wherry.sync(ledger, place, "replace", "--set", f"until={HALF}").code == 0
    before = sorted(places.rows(place, "items"))
    run = wherry.start(*wherry.syncing(ledger, place, "replace", "--json"), env={"WHERRY_FAILPOINT": "K12:sleep:1:3"})
    while not (found := places.tables(place, "items__gen%")) or not place.query(
        f"select 1 from {SCHEMA}.{found[0]} limit 1"
    ):
        assert run.alive, run.wait()
        time.sleep(0.02)
    place.query(f"drop table {SCHEMA}.{found[0]}")
    ended = run.wait()
    assert not oracle.told(ended, 4, names="items")
    assert sorted(places.rows(place, "items")) == before
    assert not wherry.recovers(ledger, place, "replace")


# --- row 47


@pytest.mark.fault(47, tier=1)
def test_a_table_made_by_hand(wherry, ledger, place):
    """Refused, and left alone; adopted it is merged into."""
    schema = f"create schema {SCHEMA}"
    change(place, schema, f"create table {SCHEMA}.items (id bigint, payload text)")
    change(place, f"insert into {SCHEMA}.items values (1, 'mine'), (999999, 'mine too')")
    refused = wherry.sync(ledger, place, "merge")
    assert not oracle.told(refused, 2, names="items")
    assert "table faults.items was made by hand" in refused.stderr
    assert "wherry state adopt" in refused.last
    assert place.query(f"select id, payload from {SCHEMA}.items order by 1") == [(1, "mine"), (999999, "mine too")]
    adopted = wherry("state", "adopt", place.reference, "items", "--pipeline", "ledger-ledger", "--schema", SCHEMA)
    assert adopted.code == 0, adopted
    ended = wherry.sync(ledger, place, "merge")
    assert not oracle.told(ended, 0)
    assert place.query(f"select payload from {SCHEMA}.items where id = 999999") == [("mine too",)]
    change(place, f"delete from {SCHEMA}.items where id = 999999")
    assert not oracle.holds(place, ledger, "merge")


@pytest.mark.fault(47, tier=1)
def test_a_table_of_another_pipeline(wherry, ledger, place, mode):
    stream = stream_of(mode)
    assert wherry.sync(ledger, place, mode, "--pipeline", "theirs", "--set", f"until={HALF}").code == 0
    before = sorted(places.rows(place, stream))
    refused = wherry.sync(ledger, place, mode, "--pipeline", "ours")
    assert not oracle.told(refused, 2, names=stream)
    assert f"table faults.{stream} belongs to pipeline theirs; pipeline ours would write to it" in refused.stderr
    assert sorted(places.rows(place, stream)) == before


@pytest.mark.fault(47, tier=1)
@pytest.mark.parametrize(
    ("place", "kind"),
    [("duckdb", "view"), ("postgres", "view"), ("postgres", "materialized view")],
    indirect=["place"],
)
def test_a_view_of_the_same_name(wherry, ledger, place, kind):
    change(place, f"create schema {SCHEMA}", f"create {kind} {SCHEMA}.items as select 1 as id")
    refused = wherry.sync(ledger, place, "merge")
    assert not oracle.told(refused, 2, names="items")
    assert "faults.items is a view: rows go into tables only" in refused.stderr
    assert "another --table" in refused.last
    ended = wherry.sync(ledger, place, "merge", "--table", "things", "--full-refresh")
    assert ended.code == 0, ended
    assert place.query(f"select count(*) from {SCHEMA}.things") == [(len(ledger.expected("merge")),)]


@pytest.mark.fault(47, tier=1)
def test_a_table_whose_owner_is_somebody_else(wherry, ledger, postgres_place, postgres_password_user):
    """The server refuses; the message names what and who, and nothing of the run is in the table."""
    place = postgres_place
    assert wherry.sync(ledger, place, "merge", "--set", f"until={HALF}").code == 0
    before = sorted(places.rows(place, "items"))
    place.query(f"grant all on schema {SCHEMA} to wherry_password")
    place.query(f"grant all on all tables in schema {SCHEMA} to wherry_password")
    place.query(f"revoke insert, update on {SCHEMA}.items from wherry_password")
    theirs = type(place)(postgres_password_user, place.cluster)
    refused = wherry.sync(ledger, theirs, "merge")
    assert not oracle.told(refused, 4, names="items")
    assert "items" in refused.stderr
    assert "wherry_password" in refused.stderr
    assert sorted(places.rows(place, "items")) == before
    assert not wherry.recovers(ledger, place, "merge", until=(HALF, ledger.end))


@pytest.mark.fault(46)
@pytest.mark.fault(47)
def test_the_page_tells_each_case():
    told = PAGE.read_text().split("\n## What other programs do to the tables\n")[1].split("\n## ")[0]
    for case in CASES.values():
        assert f"| {case.did} |" in told, case.did
