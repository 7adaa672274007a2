"""Cursors: ties, late commits, every type, clocks that change or are wrong, sources that go back in time."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from harness.places import SCHEMA, Place
from harness.trial import Trial, compiled
from harness.warm import Warm
from wherry_cluster import Cluster

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
    trial.sync(*APPEND, *SMALL, expect=137, failpoint="K02:kill:3", commit_rows=100, patience=900)
    assert len(trial.rows("id")) < rows, "the kill came in the middle"
    trial.sync(*APPEND, *SMALL, commit_rows=100, patience=900)
    same_as_source(trial)
    trial.quiet(*APPEND)


@pytest.mark.parametrize("rows", SIZES[1:])
def test_append_of_a_tie_at_the_end_is_refused_and_commits_nothing_of_it(trial: Trial, rows: int) -> None:
    tied(trial, rows, after=0)
    done = trial.sync(*APPEND, expect=3, commit_rows=100, patience=900)
    assert "more than 10,000 rows share the last value of cursor 'at'" in done.stderr
    assert "next:" in done.last
    assert "--mode merge" in done.last
    assert trial.rows("v", where="v like 'tie%'") == []
    trial.do(f"insert into t values (77000000, timestamptz '{TIE}' + interval '1 s', 'later')")
    trial.sync(*APPEND, patience=900)
    same_as_source(trial)


@pytest.mark.parametrize("rows", SIZES[1:])
def test_merge_of_a_tie_killed_inside_it_is_exact(trial: Trial, rows: int) -> None:
    tied(trial, rows, after=0)
    trial.do("delete from t a using t b where a.id = b.id and a.ctid < b.ctid")
    trial.sync(*MERGE, *SMALL, expect=137, failpoint="K02:kill:3", commit_rows=100, patience=900)
    trial.sync(*MERGE, patience=900)
    same_as_source(trial)
    before = trial.state()
    trial.sync(*MERGE, patience=900)  # too many to be remembered: merged again, which changes nothing but counts
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


@fault(65, tier=1)
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


@fault(65, tier=1)
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


@fault(65, tier=1)
def test_a_look_back_survives_a_kill_between_two_commits(trial: Trial) -> None:
    """What the first attempt read of the look-back is known to the second, and to the next run."""
    trial.do(
        "create table t (id int primary key, at int not null, v text); create index on t (at)",
        "insert into t select g, g, repeat('x', 900) from generate_series(1, 1000) g; analyze t",
    )
    args = ("--mode", "append", "--cursor", "at", "--key", "id", "--lookback", "300")
    trial.sync(*args)
    trial.do("insert into t select g, g, repeat('x', 900) from generate_series(1001, 3000) g")
    trial.sync(*args, *SMALL, expect=137, failpoint="K02:kill:5", commit_rows=100, patience=900)
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
QUICK = ("us",)


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
    assert known == trial.ask(f"select at::text from t order by t.at{_bytewise(type)} desc limit 1")[0][0]
    trial.quiet(*APPEND)
    trial.do(f"insert into t values (2, '{values[2]}'), (1, '{values[1]}'), (3, '{values[1]}')")
    trial.sync(*APPEND)
    assert trial.ids() == [0, 1, 1, 2, 3]
    trial.quiet(*APPEND)


def _bytewise(type: str) -> str:
    return ' collate "C"' if type.startswith(("text", "char")) else ""


@fault(66, tier=1)
def test_equal_numbers_with_other_text_keep_the_bookmark(trial: Trial) -> None:
    trial.do("create table t (id int, at numeric not null)", "insert into t values (1, 1.0)")
    trial.sync(*APPEND)
    trial.do("insert into t values (2, 1.00)")
    trial.sync(*APPEND)
    assert trial.bookmark()["value"] == "1.0"
    assert trial.ids() == [1, 2]
    trial.quiet(*APPEND)


@fault(66, tier=1)
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


@pytest.mark.parametrize("name", [pytest.param(n, marks=fault(66, tier=1)) for n in FILES])
def test_a_cursor_in_a_file_goes_on_where_it_stood(
    warm: Warm, wherry: Any, place: Place, tmp_path: Path, name: str
) -> None:
    type, values = FILES[name]
    file = tmp_path / "t.arrow"
    trial = Trial(warm, wherry, place, str(file))

    def write(*rows: tuple[int, Any]) -> None:
        columns = [pa.array([id for id, _ in rows]), pa.array([at for _, at in rows], pa.int64()).cast(type)
                   if pa.types.is_timestamp(type) else pa.array([at for _, at in rows], type)]  # fmt: skip
        table = pa.table(columns, ["id", "at"])
        with pa.OSFile(str(file), "wb") as out, pa.ipc.new_file(out, table.schema) as writer:
            writer.write_table(table)

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


# --- 67: values that are missing, go back, change their type, or lie ahead


@fault(67, tier=1)
@pytest.mark.parametrize("mode", ["append", "merge"])
def test_rows_without_a_cursor_value_are_there_once(trial: Trial, mode: str) -> None:
    trial.do("create table t (id int primary key, at int)", "insert into t values (1, null), (2, 5), (3, null)")
    args = ("--mode", mode, "--cursor", "at", "--key", "id")
    done = trial.sync(*args)
    assert "t: at may be NULL: such rows are read again by each run; make it NOT NULL, or --null-cursor" in done.stdout
    trial.quiet(*args)
    trial.do("insert into t values (4, null), (5, 6)")
    trial.sync(*args)
    assert trial.rows('id, "at"') == sorted([(1, None), (2, 5), (3, None), (4, None), (5, 6)], key=repr)
    trial.do("insert into t values (6, null)")
    trial.sync(*args)  # no news but rows without a value
    assert trial.ids() == [1, 2, 3, 4, 5, 6]
    trial.quiet(*args)


@fault(67, tier=1)
def test_rows_without_a_cursor_value_are_left_out_or_end_the_run_as_told(trial: Trial) -> None:
    trial.do("create table t (id int primary key, at int)", "insert into t values (1, null), (2, 5)")
    plan = trial.sync(*APPEND, "--null-cursor", "exclude", verb="plan").stdout
    assert "at may be NULL: such rows are left out" in plan
    done = trial.sync(*APPEND, "--null-cursor", "error", expect=6)
    assert "stream t: row 1 has no value in its cursor at" in done.stderr
    assert "next:" in done.last
    assert trial.rows() == []
    trial.sync(*APPEND, "--null-cursor", "exclude")
    assert trial.ids() == [2]
    trial.quiet(*APPEND)


@fault(67, tier=1)
def test_too_many_rows_without_a_cursor_value(trial: Trial) -> None:
    trial.do(
        "create table t (id int primary key, at int)", "insert into t select g, null from generate_series(1, 10001) g"
    )
    done = trial.sync(*APPEND, expect=3)
    assert "more than 10,000 rows have no value in cursor at" in done.stderr
    assert "--null-cursor exclude" in done.last
    done = trial.sync("--mode", "merge", "--cursor", "at", "--full-refresh")
    assert "every run writes all of them again" in done.stderr
    trial.do("insert into t values (20000, null)")
    trial.sync()
    assert len(trial.ids()) == len(set(trial.ids())) == 10002


FEED = """
import pyarrow as pa
import wherry

ROWS = [(n, n) for n in range(1, 400)] + [(1000 + n, 400 - n) for n in range(400)]


class Feed(wherry.Source):
    def discover(self, only=("*",)):
        yield wherry.Stream(name="t", schema=pa.schema([("id", pa.int64()), ("at", pa.int64())]), cursor="at",
                            ordered=True)

    def read(self, split):
        reached = split.bookmark or 0
        for n in range(0, len(ROWS), 10):
            rows = [(i, at) for i, at in ROWS[n:n + 10] if at >= reached]
            if rows:
                data = pa.table({"id": [i for i, _ in rows], "at": [at for _, at in rows]})
                yield wherry.Batch(stream="t", data=data, bookmark=max(rows[-1][1], reached))
"""


@fault(67, tier=1)
def test_a_source_that_breaks_its_promise_of_order_loses_nothing_by_a_kill(trial: Trial) -> None:
    """After the first row out of order nothing is committed before the end."""
    (trial.wherry.folder / "feed.py").write_text(FEED)
    trial.url = "./feed.py:Feed"
    trial.sync(*APPEND, expect=137, failpoint="K02:kill:60", commit_rows=500)
    done = trial.sync(*APPEND, commit_rows=500)
    assert "rows came out of the order of at that the source had promised" in done.stderr
    assert trial.ids() == [*range(1, 400), *range(1000, 1400)]


@fault(67, tier=1)
def test_a_cursor_of_mixed_types_is_not_read_on(trial: Trial) -> None:
    file = trial.wherry.folder / "t.jsonl"
    file.write_text('{"id": 1, "at": 5}\n{"id": 2, "at": 6}\n')
    trial.url = str(file)
    trial.sync(*APPEND)
    file.write_text('{"id": 1, "at": 5}\n{"id": 2, "at": 6}\n{"id": 3, "at": "x7"}\n')
    done = trial.sync(*APPEND, expect=8)
    assert "cursor at is string now and was int64" in done.stderr
    assert f"wherry state reset {trial.place.reference} t" in done.last
    assert trial.ids() == [1, 2]
    trial.sync(*APPEND, "--full-refresh")
    assert trial.ids() == [1, 2, 3]


@fault(67, tier=1)
@pytest.mark.parametrize("type", ["timestamptz", "timestamp", "date"])
def test_a_value_ahead_of_the_clock_is_said_in_plan_and_run(trial: Trial, type: str) -> None:
    trial.do(f"create table t (id int primary key, at {type} not null)", "insert into t values (1, '9999-12-31')")
    assert "ahead of the server's clock: rows that come with an earlier value are missed" in (
        trial.sync(*MERGE, verb="plan").stdout
    )
    for _ in range(2):
        assert "at reaches 9999-12-31" in trial.sync(*MERGE).stderr
    trial.do("insert into t values (2, '2026-01-01')")
    assert "beyond the server's clock: rows that come with an earlier value are not seen" in trial.sync(*MERGE).stderr
    trial.do("update t set at = '2026-01-02' where id = 1")
    trial.sync(*MERGE, expect=8)
    trial.sync(*MERGE, "--full-refresh")
    assert trial.ids() == [1, 2]
    trial.do(f"insert into t values (3, now()::{type})")
    assert "clock" not in trial.sync(*MERGE).stderr


@fault(67, tier=1)
def test_what_is_doubtful_about_a_cursor_is_said_by_plan_check_and_summary(trial: Trial) -> None:
    trial.do("create table t (id int primary key, at timestamp)", "insert into t values (1, '2026-01-01')")
    said = ("at may be NULL", "no index gives the order of at", "at has no zone")
    plan, run = trial.sync(*MERGE, verb="plan").stdout, trial.sync(*MERGE).stdout
    for words in said:
        assert words in plan
        assert words in run
    check = trial.warm("check", trial.url, trial.place.reference, "--schema", SCHEMA, cwd=trial.wherry.folder,
                       env=trial.wherry.env)  # fmt: skip
    assert check.code == 0
    assert "t: cursor at may be null" in check.stdout
    assert "t: cursor at has no index" in check.stdout


@fault(67, tier=1)
@pytest.mark.parametrize(("type", "value", "words"), [
    ("uuid", "gen_random_uuid()", "at is not a UUID of version 6 or 7"),
    ("time", "'12:00'", "at is a time of day: after midnight it starts again"),
])  # fmt: skip
def test_a_cursor_that_does_not_only_grow_is_said(trial: Trial, type: str, value: str, words: str) -> None:
    trial.do(f"create table t (id int primary key, at {type} not null)", f"insert into t values (1, {value})")
    assert words in trial.sync(*MERGE, verb="plan").stdout
    assert words in trial.sync(*MERGE).stdout


# --- 68, 69: clocks


SEASONS = {
    "America/Los_Angeles": ("2026-03-08 08:30+00", "2026-11-01 07:30+00"),
    "Australia/Lord_Howe": ("2026-10-03 14:00+00", "2026-04-04 13:30+00"),
    "Pacific/Apia": ("2011-12-30 08:30+00", "2011-04-02 12:30+00"),
}
"""A moment an hour or two before clocks go forward (in Apia: a day is left out), and before they go back."""


@pytest.mark.parametrize("zone", [pytest.param(z, marks=fault(68, tier=1)) for z in SEASONS])
@pytest.mark.parametrize("type", ["timestamptz", "timestamp"])
def test_both_changes_of_daylight_saving(trial: Trial, zone: str, type: str) -> None:
    """A row each ten minutes, written by a server that lives in the zone; local times come twice in autumn."""
    name = trial.url.rpartition("/")[2]
    trial.do(
        f"alter database {name} set timezone = '{zone}'", f"alter database {name} set datestyle = 'SQL, DMY'",
    )  # fmt: skip
    trial.do(f"create table t (id int primary key, at {type} not null, season int); create index on t (at)")
    lag = ("--lookback", "2h") if type == "timestamp" else ()
    first = 0
    for season, start in enumerate(sorted(SEASONS[zone])):
        for _ in range(3):  # runs of eighty minutes each
            trial.do(
                f"insert into t select g, timestamptz '{start}' + (g % 100) * interval '10 min', {season} "
                f"from generate_series({first}, {first + 7}) g"
            )
            trial.sync("--mode", "append", "--key", "id", "--cursor", "at", *lag)
            first += 8
        first = (season + 1) * 100
    assert trial.ids() == [*range(24), *range(100, 124)]
    moment = "epoch_us(t.at)" if trial.place.name == "duckdb" else "(extract(epoch from at) * 1000000)::int8"
    asked = trial.ask("select id, (extract(epoch from at) * 1000000)::int8 from t")
    assert [(i, int(at)) for i, at in trial.rows(f"id, {moment}")] == sorted(((i, int(a)) for i, a in asked), key=repr)
    assert trial.bookmark()["zone"] == {"timestamptz": "UTC", "timestamp": "none"}[type]
    trial.quiet()


@pytest.fixture(scope="session")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that makes a child's clock wrong."""
    library = compiled(Path(__file__).parent / "harness" / "clock.c", tmp_path_factory.mktemp("clock"))
    if library is None:
        pytest.skip("no C compiler")
    return library


@fault(69, tier=1)
def test_our_clock_is_wrong_and_jumps(trial: Trial, clock: Path, tmp_path: Path) -> None:
    trial.do("create table t (id serial primary key, at timestamptz not null default clock_timestamp())")
    off = tmp_path / "off"
    env = {"LD_PRELOAD": str(clock), "WHERRY_TEST_CLOCK": str(off)}
    for days, later in ((0, 1), (1, -2), (-1, 30), (400, -400), (0, 0)):
        trial.do("insert into t (at) select clock_timestamp() from generate_series(1, 3)")
        off.write_text(str(days * 86_400))
        run = trial.wherry.start(*trial.command(*APPEND), env=env | {"WHERRY_FAILPOINT": "K02:stop"})
        while run.alive and Path(f"/proc/{run.pid}/stat").read_text().split()[2] != "T":
            time.sleep(0.01)
        off.write_text(str((days + later) * 86_400))  # in the middle of the run
        run.send(signal.SIGCONT)
        done = run.wait()
        assert done.code == 0, str(done)
        assert "clock" not in done.stderr or trial.place.name == "duckdb"
        assert trial.bookmark()["value"] == trial.ask("select max(at at time zone 'UTC')::text || '+00' from t")[0][0]
    assert len(trial.ids()) == len(set(trial.ids())) == 15
    loads = trial.place.query(f"select load_id from {SCHEMA}._wherry_loads order by committed, load_id")
    assert len({load for (load,) in loads}) == len(loads)
    if trial.place.name == "postgres":  # the server's own clock, whatever ours says
        wrong = " or ".join(f"abs({at} / 1e6 - extract(epoch from now())) > 300" for at in ("started", "renewed"))
        assert trial.place.query(f"select count(*) from {SCHEMA}._wherry_leases where {wrong}") == [(0,)]
    trial.quiet()


@fault(69, tier=1)
def test_a_leap_second_is_a_moment(trial: Trial) -> None:
    trial.do("create table t (id int primary key, at timestamptz not null)")
    trial.do("insert into t values (1, '2016-12-31 23:59:60+00')")
    trial.sync(*APPEND)
    trial.do("insert into t values (2, '2016-12-31 23:59:59.999999+00'), (3, '2017-01-01 00:00:00+00')")
    trial.sync(*APPEND)
    assert trial.ids() == [1, 3], "a row that came late, behind the cursor, was not to be seen"
    file = trial.wherry.folder / "t.csv"
    file.write_text("id,at\n1,2016-12-31T23:59:59Z\n2,2016-12-31T23:59:60Z\n")
    trial.url = str(file)
    trial.sync(*APPEND, "--table", "leap")
    assert trial.rows('"at"', "leap") == [("2016-12-31T23:59:59Z",), ("2016-12-31T23:59:60Z",)]


# --- 70, 71: the source is not what it was


@fault(70, tier=1)
@pytest.mark.parametrize("how", ["table", "database", "newest rows gone"])
def test_a_source_made_anew_or_set_back_is_told(trial: Trial, how: str, postgres_cluster: Cluster) -> None:
    made = "create table t (id int primary key, at int not null)"
    trial.do(made, "insert into t select g, g * 10 from generate_series(1, 9) g")
    trial.sync(*MERGE)
    if how == "newest rows gone":
        trial.do("delete from t where id > 5")
    else:
        if how == "database":
            postgres_cluster.drop_database(trial.url)
            postgres_cluster.psql(f"create database {trial.url.rpartition('/')[2]}")
        else:
            trial.do("drop table t")
        trial.do(made, "insert into t select g, g * 100 from generate_series(1, 5) g")
    done = trial.sync(*MERGE, expect=8)
    said = "ends at 50, before its bookmark 90" if how == "newest rows gone" else "was recreated or restored"
    assert said in done.stderr
    assert "--full-refresh" in done.stderr
    assert f"wherry state reset {trial.place.reference} t" in done.stderr
    assert "next:" in done.last
    assert trial.ids() == list(range(1, 10))
    trial.sync(*MERGE, "--full-refresh")
    assert trial.ids() == list(range(1, 6))


@fault(70, tier=1)
@pytest.mark.parametrize("history", ["the same", "another"])
def test_a_server_restored_from_a_backup_is_told(
    warm: Warm, wherry: Any, place: Place, tmp_path: Path, history: str
) -> None:
    """Rows that came after the backup are lost, others have been written under higher cursor values since."""
    with Cluster() as server:
        trial = Trial(warm, wherry, place, server.create_database())
        trial.do("create table t (id serial primary key, at int not null)", "insert into t (at) values (1), (2)")
        server.stop()
        backup = tmp_path / "backup"
        _copy(server.data, backup)
        server.start()
        trial.do("insert into t (at) select g from generate_series(3, 5000) g")
        trial.sync(*MERGE)
        server.stop("immediate")
        server.start()  # a crash alone is no restoration
        trial.sync()
        if history == "the same":
            server.stop("immediate")
            shutil.rmtree(server.data)
            _copy(backup, server.data)
            trial_rows = "insert into t (at) values (7000)"
        else:
            trial.do("delete from t where at = 5000")
            server.stop()
            (server.data / "recovery.signal").touch()
            owner = server.data.stat()
            os.chown(server.data / "recovery.signal", owner.st_uid, owner.st_gid)
            server.settings["restore_command"] = "'false'"
            with (server.data / "postgresql.conf").open("a") as conf:
                conf.write("restore_command = 'false'\n")
            trial_rows = "insert into t (at) values (7000)"
        server.start()
        while trial.ask("select pg_is_in_recovery()") == [(True,)]:
            time.sleep(0.05)
        trial.do(trial_rows)
        done = trial.sync(*MERGE, expect=8)
        said = (
            "it was restored from a backup" if history == "the same" else "the server was restored, or a stand-by took"
        )
        assert said in done.stderr
        assert len(trial.ids()) == 5000
        trial.sync(*MERGE, "--full-refresh")
        assert trial.ids() == [i for (i,) in trial.ask("select id from t order by 1")]
        trial.quiet()


def _copy(source: Path, to: Path) -> None:
    """A folder with owners and permissions."""
    subprocess.run(["cp", "-a", str(source), str(to)], check=True)


CHANGES = {
    "dropped": ("alter table t drop column at", "t has no column 'at' any more"),
    "renamed": ("alter table t rename at to changed_at", "t has no column 'at' any more"),
    "int to uuid": (
        "alter table t drop at; alter table t add at uuid default gen_random_uuid()",
        "the cursor is at (uuid)",
    ),
    "naive to aware": (
        "alter table t alter at type timestamptz using to_timestamp(0)",
        "the cursor is at (timestamptz)",
    ),
}


@fault(71, tier=1)
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_cursor_column_stops_with_the_command_that_helps(trial: Trial, change: str) -> None:
    sql, said = CHANGES[change]
    type = "timestamp" if "naive" in change else "int"
    value = "'2026-01-01'" if "naive" in change else "7"
    trial.do(f"create table t (id int primary key, at {type} not null)", f"insert into t values (1, {value})")
    trial.sync(*MERGE)
    before = trial.state()
    trial.do(sql)
    done = trial.sync(expect=8)
    assert said in done.stderr
    assert "--full-refresh" in done.stderr
    assert trial.state() == before
    new = {"renamed": ("--cursor", "changed_at"), "dropped": ("--mode", "replace")}.get(change, ("--cursor", "at"))
    if change == "renamed":
        assert "changed_at" in done.stderr
    trial.sync(*new, "--full-refresh")
    assert trial.ids() == [1]
    trial.sync()
    assert trial.ids() == [1]
