"""Cursors: ties, late commits, every type, clocks that change or are wrong, sources that go back in time."""

from __future__ import annotations

import signal
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness.places import SCHEMA, Place
from harness.trial import Trial
from harness.warm import Warm

fault = pytest.mark.fault
APPEND = ("--mode", "append", "--cursor", "at")
MERGE = ("--mode", "merge", "--key", "id", "--cursor", "at")
SMALL = ("--memory", "16MiB")
"""Batches of 64 kB, so that a few thousand rows are several."""
TIE = "2026-01-01 00:00:00.123456+00"


# --- 64: more rows with one cursor value than can be remembered


def tied(trial: Trial, rows: int, after: int) -> None:
    """`rows` with one cursor value, a few before, some after; the same id twice now and then, as a log has it."""
    trial.do(
        "create table t (id int8 not null, at timestamptz not null, v text); create index on t (at)",
        "insert into t select g, timestamptz '2025-12-31' + g * interval '1 s', 'before' from generate_series(1, 50) g",
        f"insert into t select 100 + g - (g % 7 = 0)::int, '{TIE}', rpad('tie', 99) from generate_series(1, {rows}) g",
        f"insert into t select 10000000 + g, timestamptz '{TIE}' + g * interval '1 us', 'after' "
        f"from generate_series(1, {after}) g",
        "analyze t",
    )


def same_as_source(trial: Trial) -> None:
    """The table holds each row of the source as often as that does."""
    columns = "count(*), count(distinct id), sum(cast(id as numeric(38, 0))), count(distinct v)"
    assert [tuple(map(int, row)) for row in trial.place.query(f"select {columns} from {SCHEMA}.t")] == [
        tuple(map(int, row)) for row in trial.ask(f"select {columns} from t")
    ]


SIZES = [
    pytest.param(11_000, marks=fault(64)),
    pytest.param(100_000, marks=fault(64, tier=1)),
    pytest.param(1_000_000, marks=fault(64, tier=2)),
]


@pytest.mark.parametrize("rows", SIZES)
def test_append_of_a_tie_killed_inside_it_is_exact(trial: Trial, rows: int) -> None:
    tied(trial, rows, after=5)
    trial.sync(*APPEND, *SMALL, expect=137, failpoint="K02:kill:3", commit_rows=100)
    assert len(trial.rows("id")) < rows, "the kill came in the middle"
    trial.sync(*APPEND, *SMALL, commit_rows=100)
    same_as_source(trial)
    trial.quiet(*APPEND)


@pytest.mark.parametrize("rows", SIZES)
def test_append_of_a_tie_at_the_end_is_refused_and_commits_nothing_of_it(trial: Trial, rows: int) -> None:
    tied(trial, rows, after=0)
    done = trial.sync(*APPEND, expect=3, commit_rows=100)
    assert "more than 10,000 rows share the last value of cursor 'at'" in done.stderr
    assert "next:" in done.last
    assert "--mode merge" in done.last
    assert trial.rows("v", where="v like 'tie%'") == []
    trial.do(f"insert into t values (77000000, timestamptz '{TIE}' + interval '1 s', 'later')")
    trial.sync(*APPEND)
    same_as_source(trial)


@pytest.mark.parametrize("rows", SIZES)
def test_merge_of_a_tie_killed_inside_it_is_exact(trial: Trial, rows: int) -> None:
    tied(trial, rows, after=0)
    trial.do("delete from t a using t b where a.id = b.id and a.ctid < b.ctid")
    trial.sync(*MERGE, *SMALL, expect=137, failpoint="K02:kill:3", commit_rows=100)
    trial.sync(*MERGE)
    same_as_source(trial)
    before = trial.state()
    trial.sync(*MERGE)  # too many to be remembered: merged again, which changes nothing but counts
    same_as_source(trial)
    assert len(trial.state()) - len(before) < 200, "what is kept is bounded"


@fault(64)
@fault(65)
def test_equal_rows_without_a_key_one_of_them_committed_late(trial: Trial) -> None:
    trial.do("create table t (at timestamptz not null, v int)", f"insert into t values ('{TIE}', 1), ('{TIE}', 1)")
    with psycopg.connect(trial.url) as late:
        late.execute(f"insert into t values ('{TIE}', 1), ('{TIE}', 2)".encode())
        trial.sync(*APPEND)
        assert trial.rows("v") == [(1,), (1,)]
    trial.sync(*APPEND)
    assert trial.rows("v") == [(1,), (1,), (1,), (2,)]
    trial.quiet(*APPEND)


# --- 65: rows that become visible behind the cursor


@fault(65)
@pytest.mark.parametrize("lookback", [None, "1h"])
def test_a_long_transaction_commits_an_old_time(trial: Trial, lookback: str | None) -> None:
    trial.do("create table t (id int primary key, at timestamptz not null default clock_timestamp())")
    lag = () if lookback is None else ("--lookback", lookback)
    with psycopg.connect(trial.url) as late:
        late.execute("insert into t values (1)")
        trial.do("insert into t values (2)")
        trial.sync(*MERGE, *lag)
        assert trial.ids() == [2]
    plan = trial.sync(*MERGE, *lag, verb="plan").stdout
    trial.sync(*MERGE)  # the look-back is remembered
    if lookback is None:
        assert "rows that are committed late, with an earlier at, are not seen: --lookback" in plan
        assert trial.ids() == [2]
        trial.do("update t set at = clock_timestamp() where id = 1")
        trial.sync(*MERGE)
    else:
        assert "rows that are committed up to 3600 s behind the last at are seen" in plan
    assert trial.ids() == [1, 2]


@fault(65)
@pytest.mark.parametrize("mode", ["append", "merge"])
def test_a_gap_in_a_sequence_is_filled_later(trial: Trial, mode: str) -> None:
    trial.do("create table t (id serial primary key, v int)", "insert into t select from generate_series(1, 5)")
    args = ("--mode", mode, "--cursor", "id", "--key", "id", "--lookback", "10")
    with psycopg.connect(trial.url) as late:
        late.execute("insert into t (v) values (6)")
        trial.do("insert into t (v) values (7)")
        trial.sync(*args)
        assert trial.ids() == [1, 2, 3, 4, 5, 7]
    done = trial.sync(*args)
    assert trial.ids() == [1, 2, 3, 4, 5, 6, 7]
    assert "1 inserted" in done.stdout
    assert "6 boundary rows re-read" in done.stdout
    trial.quiet(*args)


@fault(65)
def test_a_look_back_survives_a_kill_between_two_commits(trial: Trial) -> None:
    """What the first attempt read of the look-back is known to the second, and to the next run."""
    trial.do(
        "create table t (id int primary key, at int not null, v text); create index on t (at)",
        "insert into t select g, g, repeat('x', 900) from generate_series(1, 1000) g; analyze t",
    )
    args = ("--mode", "append", "--cursor", "at", "--key", "id", "--lookback", "300")
    trial.sync(*args)
    trial.do("insert into t select g, g, repeat('x', 900) from generate_series(1001, 3000) g")
    trial.sync(*args, *SMALL, expect=137, failpoint="K02:kill:5", commit_rows=100)
    trial.sync(*args)
    assert trial.ids() == list(range(1, 3001))
    trial.quiet(*args)


@fault(65, tier=1)
@pytest.mark.parametrize("value", [15, 25])
def test_a_row_committed_between_the_upper_bound_and_the_read(trial: Trial, value: int) -> None:
    """The run stops between two streams: both have their upper bounds, the second is not read yet."""
    trial.do(
        "create table t (id int primary key, at int not null)", "insert into t values (1, 10), (2, 20)",
        "create table first (id int primary key, at int not null)", "insert into first values (1, 1)",
    )  # fmt: skip
    args = trial.command(*MERGE, "--stream", "first", "--workers", "1")
    run = trial.wherry.start(*args, env={"WHERRY_FAILPOINT": "K15:stop"})
    while run.alive and Path(f"/proc/{run.pid}/stat").read_text().split()[2] != "T":
        time.sleep(0.01)
    trial.do(f"insert into t values (3, {value})")
    run.send(signal.SIGCONT)
    assert run.wait().code == 0
    assert trial.bookmark()["value"] == "20"
    assert trial.ids() == ([1, 2] if value > 20 else [1, 2, 3])
    trial.sync(*MERGE, stream="*")
    assert trial.ids() == [1, 2, 3]


# --- 66: each type in full precision


LARGE = 2**53 + 1
TYPES: dict[str, tuple[str, list[str]]] = {
    "s": ("timestamptz(0)", ["2026-01-01 00:00:00+00", "2026-01-01 00:00:01+00", "2026-01-01 00:00:02+00"]),
    "ms": ("timestamp(3)", ["2026-01-01 00:00:00.001", "2026-01-01 00:00:00.002", "2026-01-01 00:00:00.003"]),
    "us": ("timestamptz", ["2026-01-01 00:00:00.123456+00", "2026-01-01 00:00:00.123457+00", "2026-01-01 00:00:01+00"]),
    "date": ("date", ["2025-12-31", "2026-01-01", "2026-01-02"]),
    "DECIMAL(38,18)": ("numeric(38,18)", ["0.000000000000000001", "1.000000000000000001", "99999999999999999999"]),
    "numeric": ("numeric", ["1.0", "1.000000001", "1.50"]),
    "2^53+1": ("int8", [str(LARGE - 1), str(LARGE), str(LARGE + 1)]),
    "2^63-1": ("int8", [str(-(2**63)), str(2**63 - 2), str(2**63 - 1)]),
    "float8": ("float8", ["0.1", "0.30000000000000004", "1e300"]),
    "float4": ("float4", ["0.1", "0.3", "16777216"]),
    "UUIDv7": ("uuid", [f"018f0000-0000-7000-8000-00000000000{n}" for n in (1, 2, 3)]),
    "text": ("text", ["A", "Z", "a"]),
    "collation": ('text collate "{icu}"', ["B", "a", "ä"]),
    "char": ("char(4)", ["a", "b", "bb"]),
    "bytea": ("bytea", ["\\x00", "\\x00ff", "\\xff00"]),
    "xid8": ("xid8", ["9", "4294967297", "18446744073709551615"]),
    "oid": ("oid", ["1", "2147483648", "4294967295"]),
}
QUICK = ("us", "DECIMAL(38,18)", "2^63-1", "bytea")


@pytest.mark.parametrize("name", [pytest.param(n, marks=fault(66, tier=0 if n in QUICK else 1)) for n in TYPES])
def test_a_cursor_of_each_type_goes_on_where_it_stood(trial: Trial, name: str) -> None:
    type, values = TYPES[name]
    if "{icu}" in type:
        known = trial.ask("select collname from pg_collation where collname in ('en-x-icu', 'en_US', 'en_US.utf8')")
        if not known:
            pytest.skip("this server has no linguistic collation")
        type = type.format(icu=known[0][0])
    trial.do(f"create table t (id int, at {type} not null); create index on t (at)")
    for number, value in enumerate(values[:2]):
        trial.do(f"insert into t values ({number}, '{value}')")
    trial.sync(*APPEND)
    known = trial.bookmark()["value"]
    assert known == trial.ask(f"select at::text from t order by at{_bytewise(type)} desc limit 1")[0][0]
    trial.quiet(*APPEND)
    trial.do(f"insert into t values (2, '{values[2]}'), (1, '{values[1]}'), (3, '{values[1]}')")
    trial.sync(*APPEND)
    assert trial.ids() == [0, 1, 1, 2, 3]
    trial.quiet(*APPEND)


def _bytewise(type: str) -> str:
    return ' collate "C"' if type.startswith(("text", "char")) else ""


@fault(66)
def test_equal_numbers_with_other_text_keep_the_bookmark(trial: Trial) -> None:
    trial.do("create table t (id int, at numeric not null)", "insert into t values (1, 1.0)")
    trial.sync(*APPEND)
    trial.do("insert into t values (2, 1.00)")
    trial.sync(*APPEND)
    assert trial.bookmark()["value"] == "1.0"
    assert trial.ids() == [1, 2]
    trial.quiet(*APPEND)


@fault(66)
def test_a_counter_that_wraps_round_is_refused(trial: Trial) -> None:
    trial.do("create table t (id int, at xid not null)", "insert into t values (1, '1')")
    done = trial.sync(*APPEND, expect=2)
    assert "xid its values start again after four billion transactions" in done.stderr


FILES: dict[str, tuple[pa.DataType, list[Any]]] = {
    "s": (pa.timestamp("s"), [1_700_000_000, 1_700_000_001, 1_700_000_002]),
    "ms": (pa.timestamp("ms", "UTC"), [1, 2, 3]),
    "us": (pa.timestamp("us", "America/New_York"), [1, 2, 3]),
    "ns": (
        pa.timestamp("ns", "UTC"),
        [1_700_000_000_000_000_001, 1_700_000_000_000_000_002, 1_700_000_000_000_000_003],
    ),
    "100 ns": (pa.timestamp("ns"), [1_700_000_000_000_000_100, 1_700_000_000_000_000_200, 1_700_000_000_000_000_300]),
    "DECIMAL(38,18)": (pa.decimal128(38, 18), [Decimal(f"1.00000000000000000{n}") for n in (1, 2, 3)]),
    "2^64-1": (pa.uint64(), [2**63, 2**64 - 2, 2**64 - 1]),
    "2^53+1": (pa.int64(), [LARGE - 1, LARGE, LARGE + 1]),
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=fault(66, tier=0 if n == "100 ns" else 1)) for n in FILES])
def test_a_cursor_in_a_file_goes_on_where_it_stood(
    warm: Warm, wherry: Any, place: Place, tmp_path: Path, name: str
) -> None:
    type, values = FILES[name]
    file = tmp_path / "t.parquet"
    trial = Trial(warm, wherry, place, str(file))

    def write(*rows: tuple[int, Any]) -> None:
        columns = [pa.array([id for id, _ in rows]), pa.array([at for _, at in rows], pa.int64()).cast(type)
                   if pa.types.is_timestamp(type) else pa.array([at for _, at in rows], type)]  # fmt: skip
        pq.write_table(pa.table(columns, ["id", "at"]), file)

    first = [(0, values[0]), (1, values[1])]
    write(*first)
    trial.sync(*APPEND)
    known = trial.bookmark()["cursor"]
    write(*first, *first[1:])  # another file, and one more of the row at the boundary
    trial.sync(*APPEND)
    assert trial.ids() == [0, 1, 1]
    assert trial.bookmark()["cursor"] == known
    assert trial.bookmark()["cursor"]["value"] == str(pa.scalar(values[1], pa.int64()).cast(type).cast(pa.string())
                                                      if pa.types.is_timestamp(type) else values[1])  # fmt: skip
    write(*first, *first[1:], (2, values[2]))
    trial.sync(*APPEND)
    assert trial.ids() == [0, 1, 1, 2]
    trial.quiet(*APPEND)
