"""Processes that are stopped, interrupted, doubled, dead without a word, or wait for a lock."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from harness import oracle
from harness.places import SCHEMA, InPostgres
from harness.proxy import Proxy
from harness.served import Through

MODES = ("append", "merge", "replace", "history")
SLOW = ("--set", "pause=0.3")
"""Eight batches take so long that something can happen meanwhile."""
SOON = 30.0
"""Seconds within which a stopped run has to be over. It takes ten at most; this machine may be busy."""


def every(row: int, *soon: str) -> pytest.MarkDecorator:
    """Every place and mode, "duckdb-merge"; those named in tier 1, the others in tier 2."""
    cases = [
        pytest.param(place, mode, marks=pytest.mark.fault(row, tier=1 if f"{place}-{mode}" in soon else 2))
        for place in ("duckdb", "postgres")
        for mode in MODES
    ]
    return pytest.mark.parametrize(("place", "mode"), cases, indirect=True)


def every_mode(row: int, *soon: str) -> pytest.MarkDecorator:
    """Every mode; those named in tier 1, the others in tier 2."""
    cases = [pytest.param(mode, marks=pytest.mark.fault(row, tier=1 if mode in soon else 2)) for mode in MODES]
    return pytest.mark.parametrize("mode", cases, indirect=True)


every_answer = pytest.mark.parametrize(("mode", "answer"), [("append", "lost"), ("merge", "never")], indirect=["mode"])


def loading(run, batches: int = 2) -> None:
    """Wait until a run has handed over some batches."""
    assert run.wait_for("batch_loaded", batches), run.wait()


@contextlib.contextmanager
def locked(place: InPostgres, sql: str) -> Iterator[int]:
    """Somebody else's transaction; the process id of its session."""
    with psycopg.connect(place.url, application_name="somebody") as other:
        other.execute(sql)
        yield other.info.backend_pid


@contextlib.contextmanager
def frozen(place: InPostgres) -> Iterator[None]:
    """Every process of the server stands still."""
    pids = [place.cluster.pid]
    pids += [int(p) for p in Path(f"/proc/{pids[0]}/task/{pids[0]}/children").read_text().split()]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


# --- row 5, row 6


@pytest.mark.fault(5)
def test_sigterm_in_a_read(wherry, ledger, duckdb_place):
    run = wherry.start(*wherry.syncing(ledger, duckdb_place, "append", *SLOW, "--json"))
    loading(run)
    run.send(signal.SIGTERM)
    ended = run.wait(SOON)
    assert not oracle.told(ended, 143, names="log")
    assert not wherry.recovers(ledger, duckdb_place, "append")


@every(5, "duckdb-append", "postgres-replace")
def test_sigterm_in_a_read_that_never_ends(wherry, ledger, place, mode):
    stream = "log" if mode == "append" else "items"
    run = wherry.start(*wherry.syncing(ledger, place, mode, "--set", f"hang={stream}", "--json"))
    loading(run, 1)
    run.send(signal.SIGTERM)
    ended = run.wait(SOON)
    assert not oracle.told(ended, 143, names=stream)
    assert not wherry.recovers(ledger, place, mode)


@pytest.mark.parametrize("point", ["K07", "K08", "K09", "K10"])
@every(5)
def test_sigterm_in_writing_and_in_a_commit(wherry, ledger, place, mode, point):
    disturbed_at(point, wherry, ledger, place, mode)


@pytest.mark.fault(5, tier=1)
@pytest.mark.parametrize(
    ("place", "mode", "point"),
    [
        ("duckdb", "append", "K09"), ("duckdb", "replace", "K08"), ("postgres", "merge", "K07"),
        ("postgres", "history", "K10"),
    ],
    indirect=["place", "mode"],
)  # fmt: skip
def test_sigterm_in_writing_and_in_a_commit_sampled(wherry, ledger, place, mode, point):
    disturbed_at(point, wherry, ledger, place, mode)


def disturbed_at(point, wherry, ledger, place, mode) -> None:
    """A run stands at the point and is told to end meanwhile: the load is in whole, or not at all."""
    run = wherry.start(*wherry.syncing(ledger, place, mode, "--json"), env={"WHERRY_FAILPOINT": f"{point}:sleep:1:3"})
    assert run.wait_for("batch_loaded" if point != "K07" else "run_started"), run.wait()
    time.sleep(1)
    run.send(signal.SIGTERM)
    assert not oracle.told(run.wait(SOON), 143, 0)
    assert not wherry.recovers(ledger, place, mode)


@every_mode(5, "merge")
def test_sigterm_in_a_commit_that_waits_for_a_lock(wherry, ledger, postgres_place, mode):
    place = postgres_place
    first = wherry.sync(ledger, place, mode, "--set", "until=3000")
    assert first.code == 0, first
    with locked(place, f"select from {SCHEMA}._wherry_state for update"):
        run = wherry.start(*wherry.syncing(ledger, place, mode, "--dest-set", "lock_timeout=300", "--json"))
        waiting = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like 'update%wherry_state%'"
        while not place.query(waiting):
            assert run.alive, run.wait()
            time.sleep(0.05)
        run.send(signal.SIGTERM)
        ended = run.wait(SOON)
    assert not oracle.told(ended, 143)
    assert not wherry.recovers(ledger, place, mode, until=(3000, ledger.end))


@pytest.mark.fault(5, tier=1)
def test_sigterm_while_waiting_for_another_run(wherry, ledger, postgres_place):
    holder = wherry.start(*wherry.syncing(ledger, postgres_place, "merge", "--set", "pause=2", "--json"))
    loading(holder, 1)
    waiting = wherry.start(*wherry.syncing(ledger, postgres_place, "merge", "--wait"))
    while "waiting: " not in waiting.stderr():
        assert waiting.alive, waiting.wait()
        time.sleep(0.05)
    assert re.search(rf"waiting: pipeline .* is being written by .* pid {holder.pid}, run 1, since ", waiting.stderr())
    waiting.send(signal.SIGTERM)
    assert not oracle.told(waiting.wait(SOON), 143)
    assert holder.wait().code == 0


@every(6, "duckdb-merge", "postgres-append")
def test_sigint_twice(wherry, ledger, place, mode):
    """The first is a clean stop, the second ends it at once."""
    stream = "log" if mode == "append" else "items"
    run = wherry.start(*wherry.syncing(ledger, place, mode, "--set", f"hang={stream}", "--json"))
    loading(run, 1)
    run.send(signal.SIGINT)
    while not any("once more stops at once" in event.get("text", "") for event in run.events()):
        assert run.alive, run.wait()
        time.sleep(0.01)
    began = time.monotonic()
    run.send(signal.SIGINT)
    ended = run.wait(SOON)
    assert ended.code == 130, ended
    assert time.monotonic() - began < 3
    assert not wherry.recovers(ledger, place, mode)


# --- row 10


@every_mode(10, "merge")
def test_the_database_stands_still_and_goes_on(wherry, ledger, postgres_place, mode):
    run = wherry.start(*wherry.syncing(ledger, postgres_place, mode, *SLOW, "--json"))
    loading(run)
    with frozen(postgres_place):
        assert run.wait_for("waiting", patience=60), run.wait()
    ended = run.wait()
    assert ended.code == 0, ended
    sign = next(event for event in ended.events if event["event"] == "waiting")
    assert (sign["side"], sign["seconds"] >= 10) == ("destination", True)
    assert not wherry.recovers(ledger, postgres_place, mode)


@pytest.mark.fault(10, tier=2)
@pytest.mark.parametrize("moment", [1, 3])
def test_the_database_stands_still_for_a_minute(wherry, ledger, postgres_place, mode, moment):
    """As long as a lease lasts: sessions are given up and made anew, and what was loaded is loaded again."""
    run = wherry.start(*wherry.syncing(ledger, postgres_place, mode, *SLOW, "--json"))
    loading(run, moment)
    with frozen(postgres_place):
        time.sleep(60)
    ended = run.wait(180)
    assert not oracle.told(ended, 0)
    assert any(event["event"] == "waiting" for event in ended.events)
    assert not wherry.recovers(ledger, postgres_place, mode)


@pytest.mark.fault(10, tier=1)
def test_the_database_stands_still_for_ever(wherry, ledger, postgres_place):
    """The run ends by its own limit, with the code of the side that hangs, and says where each thread was."""
    run = wherry.start(*wherry.syncing(ledger, postgres_place, "merge", *SLOW, "--json", "--stall-timeout", "3s"))
    loading(run)
    with frozen(postgres_place):
        ended = run.wait(60)
    assert not oracle.told(ended, 4, names="items")
    stalled = next(event for event in ended.events if event["event"] == "stalled")
    assert stalled["side"] == "destination"
    assert any("_at_destination" in line or "_commit" in line for line in stalled["stacks"]), stalled
    assert "--stall-timeout" in ended.last
    log = "".join(path.read_text() for path in wherry.state.rglob("*.jsonl"))
    assert '"event": "stalled"' in log
    assert not wherry.recovers(ledger, postgres_place, "merge", "--wait", "90s")


@pytest.mark.fault(10, tier=1)
def test_a_source_that_hangs_for_ever(wherry, ledger, place):
    run = wherry.start(
        *wherry.syncing(ledger, place, "merge", "--set", "hang=items", "--json", "--stall-timeout", "3s")
    )
    ended = run.wait(60)
    assert not oracle.told(ended, 3, names="items")
    assert next(event for event in ended.events if event["event"] == "stalled")["side"] == "source"
    assert not wherry.recovers(ledger, place, "merge")


@every(10, "duckdb-append", "postgres-merge")
def test_a_run_has_a_time_limit(wherry, ledger, place, mode):
    """It stops at the last bookmark with the code for "run it again", and goes on from there."""
    ended = wherry.sync(ledger, place, mode, *SLOW, "--run-timeout", "1.5s")
    stream = "log" if mode == "append" else "items"
    assert not oracle.told(ended, 75, names=stream)
    assert "stopped by --run-timeout 1.5 s" in ended.stdout
    assert not wherry.recovers(ledger, place, mode)


# --- row 11


def zombie(wherry, ledger, place, mode) -> list[str]:
    """A run stands still past its lease, another takes over and finishes, the first goes on: what is wrong."""
    slow = (*SLOW, "--dest-set", "lease=2")
    run = wherry.start(*wherry.syncing(ledger, place, mode, *slow, "--json"))
    loading(run)
    run.send_group(signal.SIGSTOP)
    second = wherry.sync(ledger, place, mode, "--dest-set", "lease=2", "--wait", "60s")
    wrong = oracle.told(second, 0) + oracle.holds(place, ledger, mode)
    if not re.search(rf"run 1 \(.* pid {run.pid}\) died, last heard of at \d{{4}}-\d\d-\d\d ", second.stderr):
        wrong.append(f"the take-over is not told: {second.stderr}")
    run.send_group(signal.SIGCONT)
    ended = run.wait()
    wrong += oracle.told(ended, 7, names="log" if mode == "append" else "items")
    if not re.search(r"run 2 \(.* pid \d+\) has taken pipeline .* over from run 1", ended.stderr):
        wrong.append(f"who took over is not told: {ended.stderr}")
    runs = place.query(f"select epoch, outcome from {SCHEMA}._wherry_leases order by epoch")
    if runs != [(1, "died"), (2, "ok")]:
        wrong.append(f"the runs are remembered as {runs}")
    return wrong + oracle.holds(place, ledger, mode) + wherry.recovers(ledger, place, mode)


@pytest.mark.fault(11)
def test_a_run_that_stood_still_past_its_lease(wherry, ledger, postgres_place):
    assert not zombie(wherry, ledger, postgres_place, "merge")


@pytest.mark.fault(11, tier=1)
@pytest.mark.parametrize("mode", ["append", "replace", "history"])
def test_a_run_that_stood_still_past_its_lease_in_each_mode(wherry, ledger, postgres_place, mode):
    assert not zombie(wherry, ledger, postgres_place, mode)


@pytest.mark.fault(11, tier=1)
def test_a_run_that_stands_still_holds_its_file(wherry, ledger, duckdb_place):
    """Where the lock of the file is the lease, nobody takes over: the second is refused, and the first goes on."""
    run = wherry.start(*wherry.syncing(ledger, duckdb_place, "merge", *SLOW, "--json"))
    loading(run)
    run.send_group(signal.SIGSTOP)
    second = wherry.sync(ledger, duckdb_place, "merge", "--wait", "2s")
    assert not oracle.told(second, 7)
    assert f"process {run.pid} " in second.stderr
    run.send_group(signal.SIGCONT)
    assert run.wait().code == 0
    assert not wherry.recovers(ledger, duckdb_place, "merge")


# --- row 15, row 16


def together(wherry, ledger, place, mode: str) -> list[str]:
    """Two runs of one pipeline at once: one does the work, the other is refused and told by whom. What is wrong."""
    runs = [wherry.start(*wherry.syncing(ledger, place, mode, *SLOW)) for _ in range(2)]
    ended = sorted((run.wait() for run in runs), key=lambda end: end.code)
    wrong = oracle.told(ended[0], 0) + oracle.told(ended[1], 7)
    pid = next(run.pid for run in runs if run.args and run.process.returncode == 0)
    host = os.uname().nodename
    if not re.search(rf"(pid|process) {pid}\b", ended[1].stderr) or host not in ended[1].stderr:
        wrong.append(f"the holder is not named: {ended[1].stderr}")
    if not re.search(r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", ended[1].stderr):
        wrong.append(f"it is not said since when: {ended[1].stderr}")
    return wrong + oracle.holds(place, ledger, mode) + wherry.recovers(ledger, place, mode)


@pytest.mark.fault(15)
def test_two_runs_at_once(wherry, new_ledger, place):
    assert not together(wherry, new_ledger(rows=2_000, changes=500), place, "merge")


@every(15, "duckdb-append", "duckdb-replace", "postgres-replace", "postgres-history")
def test_two_runs_at_once_in_each_mode(wherry, new_ledger, place, mode):
    assert not together(wherry, new_ledger(rows=2_000, changes=500), place, mode)


@pytest.mark.fault(15, tier=2)
@pytest.mark.parametrize("time_", range(50))
def test_two_runs_at_once_fifty_times(wherry, new_ledger, place, time_):
    assert not together(wherry, new_ledger(rows=2_000, changes=500), place, MODES[time_ % 4])


@every(16, "duckdb-merge", "postgres-append", "postgres-history")
def test_eight_pipelines_write_to_one_schema(wherry, new_ledger, place, mode):
    """On a server side by side; into a file one after the other."""
    ledger = new_ledger(rows=1_000, changes=200)
    stream = "log" if mode == "append" else "items"
    runs = []
    for n in range(8):
        args = ("--pipeline", f"p{n}", "--table", f"{stream}_{n}", "--wait", "120s")
        runs.append(wherry.start(*wherry.syncing(ledger, place, mode, *args)))
    ended = [run.wait(180) for run in runs]
    assert [end.code for end in ended] == [0] * 8, "\n".join(map(str, ended))
    expected = sorted(ledger.expected(mode))
    for n in range(8):
        rows = place.query(f"select id, version, seq, payload, hash from {SCHEMA}.{stream}_{n}")
        assert sorted(rows) == expected, n
    assert not oracle.clean(place)
    owners = place.query(f"select count(distinct pipeline), count(*) from {SCHEMA}._wherry_names where source = ''")
    assert owners == [(8, 8)]


# --- row 17


def bury(place, seconds: int, ago: int) -> None:
    """The last run becomes one of a host that is gone: it was last heard of so many seconds ago, and never ended."""
    change = (
        f"update {SCHEMA}._wherry_leases set finished = null, outcome = null, holder = 'ana@elsewhere pid 4711',"
        f" mark = 'wherry 00ff00ff00ff/1', seconds = {seconds}, renewed = {int((time.time() - ago) * 1e6)}"
    )
    if place.name == "postgres":
        place.query(change)
        return
    import duckdb

    with duckdb.connect(str(place.path)) as database:
        database.execute(change)


@every(17, "duckdb-replace", "postgres-merge")
def test_a_lease_of_a_host_that_is_gone(wherry, ledger, place, mode):
    assert wherry.sync(ledger, place, mode, "--set", "until=3000").code == 0
    bury(place, 60, 3600)
    ended = wherry.sync(ledger, place, mode)
    assert not oracle.told(ended, 0)
    told = r"run 1 \(ana@elsewhere pid 4711\) died, last heard of at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC: rows that it"
    assert re.search(told, ended.stderr), ended
    assert not oracle.holds(place, ledger, mode, 3000, ledger.end)
    assert place.query(f"select outcome from {SCHEMA}._wherry_leases order by epoch") == [("died",), ("ok",)]


@pytest.mark.fault(17, tier=1)
def test_a_lease_that_has_not_run_out_is_waited_for(wherry, ledger, postgres_place):
    """Nobody knows whether its holder lives: the server was started anew since."""
    assert wherry.sync(ledger, postgres_place, "merge", "--set", "until=3000").code == 0
    bury(postgres_place, 12, 8)
    refused = wherry.sync(ledger, postgres_place, "merge")
    assert not oracle.told(refused, 7)
    assert "ana@elsewhere pid 4711, run 1, since" in refused.stderr
    assert re.search(r"silent for \d+ s, dead after 12 s", refused.stderr), refused
    ended = wherry.sync(ledger, postgres_place, "merge", "--wait", "60s")
    assert not oracle.told(ended, 0)
    assert re.search(r"waiting: pipeline .* ana@elsewhere pid 4711", ended.stderr), ended
    assert "run 1 (ana@elsewhere pid 4711) died" in ended.stderr
    assert not wherry.recovers(ledger, postgres_place, "merge", until=(3000, ledger.end))


# --- row 20


@pytest.mark.parametrize("limit", ["lock_timeout", "statement_timeout"])
@every_mode(20, "merge", "replace")
def test_somebody_locks_the_table(wherry, ledger, postgres_place, mode, limit):
    place = postgres_place
    stream = "log" if mode == "append" else "items"
    assert wherry.sync(ledger, place, mode, "--set", "until=3000").code == 0
    with locked(place, f"lock table {SCHEMA}.{stream} in access exclusive mode") as pid:
        ended = wherry.sync(ledger, place, mode, "--dest-set", f"{limit}=1.5")
    assert not oracle.told(ended, 4, names=stream)
    assert re.search(
        rf"held by pid {pid} \(user \w+, application 'somebody', idle in transaction: lock", ended.stderr
    ), ended
    assert not wherry.recovers(ledger, place, mode, until=(3000, ledger.end))


@pytest.mark.fault(20, tier=1)
def test_a_lock_without_any_limit(wherry, ledger, postgres_place):
    """What nothing else ends, the watch does."""
    place = postgres_place
    assert wherry.sync(ledger, place, "merge", "--set", "until=3000").code == 0
    with locked(place, f"lock table {SCHEMA}.items in access exclusive mode"):
        ended = wherry.sync(
            ledger, place, "merge", "--dest-set", "lock_timeout=900", "--stall-timeout", "3s", patience=SOON
        )
    assert not oracle.told(ended, 4, names="items")
    assert "nothing has moved for 3 s while waiting for" in ended.stderr
    assert not wherry.recovers(ledger, place, "merge", until=(3000, ledger.end))


# --- row 4: what the run says of a load whose commit got no answer


@pytest.mark.fault(4, tier=1)
@every_answer
def test_a_commit_in_doubt_is_counted_once(wherry, new_ledger, postgres_place, mode, answer):
    ledger, place = new_ledger(rows=300, changes=100), postgres_place
    with Proxy(place.cluster.port) as proxy:
        through = Through(place.url, place.cluster, proxy=proxy)
        assert wherry.sync(ledger, through, mode).code == 0
        rows = proxy.commits - 2  # after it only publishing and giving the lease back
        place.query(f"drop schema {SCHEMA} cascade")
        proxy.clear()
        proxy.commit(rows, answer, seconds=0.05)
        ended = wherry.sync(ledger, through, mode, "--json")
    assert not oracle.told(ended, 0)
    finished = next(event for event in ended.events if event["event"] == "run_finished")
    told = [event for event in ended.events if event["event"] == "load_committed"]
    expected = len(ledger.expected(mode))
    assert [event["counts"]["staged"] for event in told] == [expected]
    assert {name: finished["totals"][name] for name in ("read", "staged", "inserted")} == dict.fromkeys(
        ("read", "staged", "inserted"), expected
    )
    assert not wherry.recovers(ledger, place, mode)


# --- before any stream is known


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        pytest.param((), 143, marks=pytest.mark.fault(5, tier=1)),
        pytest.param(("--run-timeout", "1s"), 75, marks=pytest.mark.fault(10, tier=1)),
        pytest.param(("--stall-timeout", "1s"), 3, marks=pytest.mark.fault(10, tier=1)),
    ],
)
def test_a_source_that_hangs_before_it_says_what_it_has(wherry, ledger, duckdb_place, limits, code):
    run = wherry.start(*wherry.syncing(ledger, duckdb_place, "merge", "--set", "hang=discover", *limits))
    if not limits:
        time.sleep(1.5)
        run.send(signal.SIGTERM)
    ended = run.wait(SOON)
    assert not oracle.told(ended, code)
    assert "next: " in ended.last
    assert f"wherry sync {ledger.reference}" in ended.last
    assert not duckdb_place.exists()
    assert not wherry.recovers(ledger, duckdb_place, "merge")
