"""The last words on a run."""

import re
import shlex
import signal
import sqlite3
from contextlib import closing

import pyarrow as pa
import pytest
from wherry.cli import advice, summary
from wherry.cli.style import painted, plain
from wherry.errors import DataError, DestinationError, SourceError, StreamError, TransientError
from wherry.pipeline.lane import CommitEvery
from wherry.pipeline.lanes import Patience
from wherry.pipeline.outcome import NUMBERS, Outcome, StreamOutcome
from wherry.pipeline.rejects import MaxRejects
from wherry.pipeline.select import Wish, Wishes
from wherry.testing import Faults, MemoryDestination, MemorySource, MemoryStream, Store, run_sync

ARGS = ("sync", "memory:shop", "shop.db")


def stream(name="orders", rows=4, first=0, **options):
    table = pa.table({"id": range(rows), "at": range(first, first + rows)})
    return MemoryStream(name=name, tables=(table,), **{"key": ("id",), "batch": 1} | options)


def changing(name="orders", rows=4):
    return stream(name, rows, cursor="at", ordered=True)


def run(*streams, store=None, faults=None, **settings):
    settings.setdefault("patience", Patience(attempts=2, seconds=5, longest_wait=0.01))
    return run_sync(
        lambda: MemorySource.of(*streams, faults=faults or Faults()), MemoryDestination.of(store or Store()), **settings
    )


def words(wishes=None, destination="shop.db"):
    return summary.Words(args=ARGS, destination=destination, wishes=wishes or Wishes(), accept=advice.as_command(ARGS))


def said(outcome, **options):
    """Lines for stdout, without times."""
    return [re.sub(r"\d+\.\d s", "T s", plain(line)) for line in summary.lines(outcome, words(**options))]


def failures(outcome):
    return [plain(line) for line in summary.failures(outcome, words())]


def test_a_first_run():
    outcome = run(stream(), stream("countries", 2))
    assert said(outcome) == [
        "✔ run 1: 6 rows committed in T s, 0 rejected",
        'next: wherry sql shop.db "select * from memory.orders limit 5"',
    ]
    assert failures(outcome) == []


def test_a_history_without_changes_says_so():
    store = Store()
    run(stream(), store=store, wishes=Wishes(common=Wish(mode="history")))
    outcome = run(stream(), store=store, wishes=Wishes(common=Wish(mode="history")))
    assert said(outcome)[0] == "  orders: history on id; nothing changed"


def test_the_name_of_a_stream_is_said_once():
    error = StreamError("orders: permission denied", next="grant it")
    outcome = run(changing(), faults=Faults().arm("read", error))
    assert failures(outcome)[0] == "✗ orders: permission denied"


def test_what_environment_was_meant_is_said_again():
    outcome = run(stream())
    spoken = summary.Words(
        args=ARGS, destination="wh", wishes=Wishes(), accept=advice.as_command(ARGS), environment=["--env", "prod"]
    )
    look = plain(summary.lines(outcome, spoken)[-1])
    assert look == 'next: wherry sql wh "select * from memory.orders limit 5" --env prod'


def test_large_numbers_are_grouped():
    counts = dict.fromkeys(NUMBERS, 0) | {"staged": 5_000_249}
    outcome = Outcome(
        run=1, pipeline="p", schema="shop", seconds=3.06,
        streams=[StreamOutcome(stream="orders", table="orders", mode="replace", schema="shop", outcome="committed",
                               counts=counts)],
    )  # fmt: skip
    assert plain(summary.lines(outcome, words())[0]) == "✔ run 1: 5,000,249 rows committed in 3.1 s, 0 rejected"


def test_a_run_by_changes_says_what_it_read_again_and_cannot_see():
    store = Store()
    run(changing(), store=store)
    outcome = run(changing(rows=6), store=store)
    assert said(outcome) == [
        "  orders: merge on id, at in (3, 5]; 2 inserted; 1 boundary row re-read; deletes not seen",
        "✔ run 2: 2 rows committed in T s, 0 rejected, bookmarks committed with the data",
        'next: wherry sql shop.db "select * from memory.orders limit 5"',
    ]


@pytest.mark.parametrize(
    ("mode", "fact"),
    [
        ("append", "  orders: append by at up to 3; 4 inserted; deletes not seen"),
        ("merge", "  orders: merge on id, at up to 3; 4 inserted; deletes not seen"),
        ("history", "  orders: history on id, at up to 3; 4 inserted; deletes not seen"),
    ],
)
def test_deletes_that_are_not_seen_are_said(mode, fact):
    assert said(run(changing(), wish=Wish(mode=mode)))[0] == fact


def test_a_complete_read_sees_deletes():
    assert said(run(stream(), wish=Wish(mode="history")))[0] == "  orders: history on id; 4 inserted"


@pytest.mark.parametrize(
    ("type", "text"),
    [
        (pa.timestamp("us"), "at in (1970-01-01 00:00:00.000003, 1970-01-01 00:00:00.000005]"),
        (pa.timestamp("ms", "Europe/Berlin"), "at in (1970-01-01 00:00:00.003Z, 1970-01-01 00:00:00.005Z]"),
        (pa.date32(), "at in (1970-01-04, 1970-01-06]"),
        (pa.decimal128(38, 2), "at in (3.00, 5.00]"),
        (pa.int32(), "at in (3, 5]"),
        (pa.utf8(), "at in (3, 5]"),
    ],
    ids=str,
)
def test_the_window_is_told_in_full_precision(type, text):
    def typed(rows):
        numbers = pa.array(range(rows), pa.int32() if pa.types.is_date(type) else pa.int64())
        at = numbers.cast(type)
        return MemoryStream(
            name="orders", tables=(pa.table({"id": range(rows), "at": at}),), key=("id",), cursor="at", ordered=True
        )

    store = Store()
    run(typed(4), store=store)
    assert f"merge on id, {text}; 2 inserted" in said(run(typed(6), store=store))[0]


def test_no_window_is_claimed_for_a_read_that_began_again():
    faults = Faults().arm("read", TransientError("the line went dead"), at=4)
    outcome = run(changing(), faults=faults, commit_every=CommitEvery(rows=2))
    assert said(outcome)[0].startswith("  orders: merge on id, at; 4 inserted")


def test_nothing_new():
    store = Store()
    run(changing(), changing("customers"), store=store)
    assert said(run(changing(), changing("customers"), store=store)) == [
        "  orders, customers: unchanged; deletes not seen",
        "✔ run 2: nothing new, 0 rows written in T s, 2 rows re-read",
    ]


def test_a_sample_touches_no_bookmark():
    outcome = run(changing(), wishes=Wishes(limit=2))
    assert said(outcome, wishes=Wishes(limit=2)) == [
        "✔ run 1: 2 rows sampled in T s, no bookmark touched",
        'next: wherry sql shop.db "select * from memory.orders__sample limit 5"',
    ]


def test_rejected_rows_are_pointed_at():
    text = MemoryStream(name="bad", tables=(pa.table({"n": ["1", "x"]}),))
    outcome = run(text, wish=Wish(types={"n": "int"}), max_rejects=MaxRejects(rows=5))
    assert said(outcome) == [
        "✔ run 1: 1 row committed in T s, 1 rejected",
        "! bad: 1 row rejected, see  wherry rejects show shop.db bad",
        'next: wherry sql shop.db "select * from memory.bad limit 5"',
    ]
    assert outcome.exit_code == 0


def test_where_there_is_no_sql_nothing_is_promised():
    assert said(run(stream()), destination=None) == ["✔ run 1: 4 rows committed in T s, 0 rejected"]


def test_some_streams_failed():
    faults = Faults().arm("read", StreamError("no such page", next="ask for another"), at=3)
    outcome = run(stream(), stream("countries", 2), faults=faults, workers=1)
    assert outcome.exit_code == 5
    assert said(outcome) == ["✗ run 1: 1 of 2 streams failed; 2 rows committed in T s, 0 rejected"]
    assert failures(outcome) == [
        "✗ orders: no such page",
        (
            "  orders: the table is as it was, nothing of this run is in it, bookmark kept; "
            "next: ask for another, then  wherry sync memory:shop shop.db"
        ),
    ]


def test_rows_of_a_table_made_anew_that_is_not_published_are_aside():
    store, gone = Store(), DestinationError("the disk is gone", next="mend it")
    assert run(changing(), store=store).exit_code == 0
    for again, options in ((stream(), {}), (changing(), {"wishes": Wishes(full_refresh=True)})):
        faults = Faults().arm("before publish", gone)
        outcome = run_sync(
            lambda again=again: MemorySource.of(again),
            MemoryDestination.of(store if options else Store(), faults=faults), **options,
        )  # fmt: skip
        assert outcome.streams[0].aside
        (headline,) = said(outcome)
        assert headline.endswith("the stream failed; 0 rows committed and 4 aside in T s, 0 rejected")
        assert "  orders: the table is as it was, nothing of this run is in it, bookmark kept" in failures(outcome)[-1]
    assert store.table("memory", "orders").num_rows == 4
    assert not run(changing(), store=store).streams[0].aside


def test_rejected_rows_that_are_aside_are_not_pointed_at():
    text = MemoryStream(name="bad", tables=(pa.table({"n": ["1", "x"]}),))
    outcome = run_sync(
        lambda: MemorySource.of(text),
        MemoryDestination.of(Store(), faults=Faults().arm("before publish", DestinationError("gone"))),
        wish=Wish(types={"n": "int"}), max_rejects=MaxRejects(rows=5),
    )  # fmt: skip
    assert said(outcome) == ["✗ run 1: the stream failed; 0 rows committed and 1 aside in T s, 1 rejected"]


def test_what_was_committed_before_a_failure_stands():
    faults = Faults().arm("read", TransientError("the line went dead"), at=4, times=9)
    outcome = run(changing(), faults=faults, commit_every=CommitEvery(rows=2))
    assert failures(outcome) == [
        "✗ orders: the line went dead (tried 2 times)",
        (
            "  orders: bookmark kept at at = 2, 3 rows of this run are in; "
            "next: run it again later, then  wherry sync memory:shop shop.db"
        ),
    ]


def test_a_failure_is_three_lines_and_the_last_has_stream_bookmark_and_command():
    outcome = failed({"orders": DataError("no such\nthing", where="WHERRY_X (.env, line 3)", next="wherry check it")})
    assert failures(outcome) == [
        "✗ orders: no such\\nthing",
        "  WHERRY_X (.env, line 3)",
        "  orders: bookmark kept as before this run; next: wherry check it",
    ]


def test_streams_that_failed_together_are_told_together():
    error = SourceError("the log is gone")
    lines = failures(failed({f"t{n}": error for n in range(7)}))
    assert lines == [
        "✗ t0, t1, t2, t3, t4 and 2 more: the log is gone",
        "  t0, t1, t2, t3, t4 and 2 more: bookmark kept as before this run; next: wherry sync memory:shop shop.db",
    ]


def test_a_hundred_failures_are_not_a_hundred_screens():
    lines = failures(failed({f"t{n:03}": SourceError(f"no {n}") for n in range(100)}))
    assert lines[0] == "✗ 90 more failures: the run log has them"
    assert len(lines) == 21
    assert "next: wherry sync" in lines[-1]


def test_stopped_by_a_signal():
    outcome = run(changing())
    outcome.signal = signal.SIGTERM
    outcome.streams[0].outcome = "stopped"
    assert said(outcome)[-1].startswith("■ run 1: stopped by SIGTERM; 4 rows committed in ")
    assert failures(outcome) == ["■ orders: bookmarks stand at the last commit; next: wherry sync memory:shop shop.db"]


def test_colours_only_as_styles():
    line = summary.lines(run(stream()), words())[0]
    assert painted(line, True).startswith("\x1b[32m✔ \x1b[0mrun 1: ")


def test_a_proposal_comes_after_the_sum():
    table = pa.table({"id": pa.array(range(100_000)), "at": pa.array(range(100_000)).cast(pa.timestamp("us"))})
    indexed = {b"wherry:index": b"1"}
    at = pa.field("at", pa.timestamp("us"), nullable=False, metadata=indexed)
    schema = pa.schema([pa.field("id", pa.int64(), nullable=False), at])
    big = MemoryStream(name="orders", tables=(table.cast(schema),), key=("id",), batch=50_000)
    store = Store()
    lines = said(run(big, store=store))
    assert lines[1:3] == [
        (
            "! orders has key id and at (timestamp, not null, indexed). "
            "To move only changes next time (deletes are not seen):"
        ),
        "    wherry sync memory:shop shop.db --stream orders --cursor at",
    ]
    accepted = run(big, store=store, wish=Wish(cursor="at"))
    assert accepted.streams[0].mode == "merge"
    assert not any("To move only changes" in line for line in said(accepted))


@pytest.mark.parametrize(
    ("schema", "table", "text"),
    [
        ("main", "orders", 'wherry sql shop.db "select * from main.orders limit 5"'),
        ("main", "order", "wherry sql shop.db 'select * from main.\"order\" limit 5'"),
        ("My Shop", "Orders", 'wherry sql shop.db \'select * from "My Shop"."Orders" limit 5\''),
    ],
)
def test_names_are_quoted_where_they_have_to_be(schema, table, text):
    assert summary.command("shop.db", schema, table) == text


@pytest.mark.parametrize("name", ["o'rders", 'or"ders', "or$HOME`ls`ders", "or;drop table x", "naïve", "Select"])
def test_a_shell_and_a_database_read_back_what_was_meant(name):
    typed = shlex.split(summary.command("my shop.db", "main", name))
    assert typed[:3] == ["wherry", "sql", "my shop.db"]
    with closing(sqlite3.connect(":memory:")) as database:
        quoted = name.replace('"', '""')
        database.execute(f'create table "{quoted}" (id)')
        database.execute(f'insert into "{quoted}" values (7)')
        assert database.execute(typed[3]).fetchall() == [(7,)]


def failed(errors):
    streams = [
        StreamOutcome(stream=name, table=name, mode="merge", schema="main", outcome="failed", error=error)
        for name, error in errors.items()
    ]
    return Outcome(run=2, pipeline="p", schema="main", streams=streams, seconds=1)
