"""Machines that are too small: disks and inodes, output that goes nowhere, descriptors, threads, memory."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from harness import oracle
from harness.child import Ended, high
from harness.ledger import Ledger
from harness.limits import Disks, available, crowded, limited, memory
from harness.places import InDuckDB, InPostgres, Place
from wherry_distributions import write_source

WIDE = (Path(__file__).parent / "plugin" / "wherry_wide.py").read_text()
KILLED = (127, 134, 137, 139)
"""Exit codes of a process that the kernel or the C library has ended: nothing can be said any more."""
ROOM = "size=100m,nr_inodes=10000"


def some(row: int, values: Sequence[Any], *quick: Any) -> list[Any]:
    """Parameters of which `quick` are for tier 1, the others for tier 2."""
    mark = pytest.mark.fault(row, tier=1)
    return [pytest.param(value, marks=[mark] if value in quick else []) for value in values]


def sizes(row: int, *values: Any) -> list[Any]:
    """Each of four sizes with each mode; for tier 1 each with one."""
    modes, mark = ("append", "replace", "history", "merge"), pytest.mark.fault(row, tier=1)
    pairs = [(value, mode) for value in values for mode in modes]
    quick = set(zip(values, modes, strict=True))
    return [pytest.param(*pair, marks=[mark] if pair in quick else []) for pair in pairs]


def sync(wherry: Any, ledger: Ledger, place: Place, mode: str = "merge", *args: object, **options: Any) -> Ended:
    done: Ended = wherry.sync(ledger, place, mode, *args, **options)
    return done


@contextlib.contextmanager
def small(wherry: Any, **disks: str) -> Iterator[Disks]:
    """Disks that the user may write to; skips the test where none can be made."""
    with Disks(**disks) as made:
        if made.skip:
            pytest.skip(made.skip)
        yield made


def recovered(wherry: Any, ledger: Ledger, place: InDuckDB, disks: Disks, name: str, mode: str = "merge") -> list[str]:
    """With more room a run or two end with 0, and what is on the disk is exact."""
    disks.resize(name, ROOM)
    disks.make_room(name)
    for _ in range(2):
        done = sync(wherry, ledger, place, mode, under=disks.under)
        if done.code == 0:
            break
    wrong = oracle.told(done, 0)
    out = wherry.folder / f"copy-{time.monotonic_ns()}"
    out.mkdir()
    disks.copy(name, out)
    copied = InDuckDB(out / place.path.name)
    return wrong + oracle.holds(copied, ledger, mode) + oracle.clean(copied)


@pytest.mark.fault(21, tier=2)
@pytest.mark.parametrize(("size", "mode"), sizes(21, "4k", "60k", "400k", "1500k"))
def test_the_disk_of_the_database_is_full(wherry: Any, ledger: Ledger, size: str, mode: str) -> None:
    """In creating the file, its log, or in bringing the log into the file."""
    with small(wherry, db=f"size={size}") as disks:
        place = InDuckDB(disks.home / "db" / "shop.duckdb")
        done = sync(wherry, ledger, place, mode, under=disks.under)
        assert not oracle.told(done, 9), str(done)
        assert f"the disk of {disks.home}/db is full" in done.stderr
        assert "free" in done.stderr
        assert f"make room in {disks.home}/db" in done.stderr
        assert not recovered(wherry, ledger, place, disks, "db", mode)


@pytest.mark.fault(21, tier=1)
def test_the_disk_fills_up_between_two_runs(wherry: Any, ledger: Ledger) -> None:
    """What was committed stays; the bytes that wait are told."""
    with small(wherry, db="size=3m") as disks:
        place = InDuckDB(disks.home / "db" / "shop.duckdb")
        half = ("--set", f"until={ledger.end // 2}")
        assert sync(wherry, ledger, place, "merge", *half, under=disks.under).code == 0
        disks.fill("db", 3 << 20)
        done = sync(wherry, ledger, place, under=disks.under)
        assert not oracle.told(done, 9), str(done)
        assert f"the disk of {disks.home}/db is full" in done.stderr
        out = wherry.folder / "before"
        out.mkdir()
        disks.copy("db", out)
        assert not oracle.holds(InDuckDB(out / "shop.duckdb"), ledger, "merge", ledger.end // 2)
        assert not recovered(wherry, ledger, place, disks, "db")


@pytest.mark.fault(21, tier=1)
@pytest.mark.fault(84, tier=1)
def test_the_disk_of_spilled_rows_is_full(wherry: Any, tmp_path: Path) -> None:
    """More than the engine's memory, and nowhere to put it."""
    from harness.ledger import Ledger

    ledger = Ledger.write(tmp_path / "wide", rows=4_000, changes=0, wide=10_000)
    with small(wherry, db="size=200m", **{"db/shop.duckdb.tmp": "size=1m"}) as disks:
        place = InDuckDB(disks.home / "db" / "shop.duckdb")
        few = ("--dest-set", "memory_limit=25MB", "--dest-set", "threads=1")
        done = sync(wherry, ledger, place, "merge", *few, under=disks.under)
        assert not oracle.told(done, 9), str(done)
        assert "shop.duckdb.tmp is full" in done.stderr or "memory_limit" in done.stderr, str(done)
        done = sync(wherry, ledger, place, "merge", under=disks.under)
        assert not oracle.told(done, 0), str(done)


@pytest.mark.fault(21)
@pytest.mark.fault(22)
@pytest.mark.parametrize("options", ["size=4k", "nr_inodes=1"])
def test_the_disk_of_the_run_log_is_full(wherry: Any, ledger: Ledger, duckdb_place: InDuckDB, options: str) -> None:
    """Nothing is read or made before the log can be kept."""
    with small(wherry, state=options) as disks:
        if "size" in options:
            disks.fill("state", 4096)
        env = {"WHERRY_STATE_DIR": str(disks.home / "state")}
        done = sync(wherry, ledger, duckdb_place, under=disks.under, env=env)
        assert not oracle.told(done, 9), str(done)
        assert f"the disk of {disks.home}/state" in done.stderr
        assert not duckdb_place.path.exists()
    assert not wherry.recovers(ledger, duckdb_place, "merge")


@pytest.mark.fault(22, tier=2)
@pytest.mark.parametrize("inodes", some(22, [1, 2, 3, 4, 6], 2, 3))
def test_no_inodes_left_for_the_database(wherry: Any, ledger: Ledger, inodes: int) -> None:
    """The folder itself is one; a new database takes a folder and a file for a moment, its log one more."""
    with small(wherry, db=f"nr_inodes={inodes}") as disks:
        place = InDuckDB(disks.home / "db" / "shop.duckdb")
        done = sync(wherry, ledger, place, under=disks.under)
        assert not oracle.told(done, 9 if inodes < 4 else 0), str(done)
        if done.code:
            assert f"the disk of {disks.home}/db is full" in done.stderr
        assert not recovered(wherry, ledger, place, disks, "db")


@pytest.mark.fault(21, tier=1)
def test_a_source_on_a_full_disk_is_read(wherry: Any, duckdb_place: InDuckDB) -> None:
    """Reading takes no room beside the files."""
    with small(wherry, files="size=64k") as disks:
        text = "id,name\n" + "".join(f"{n},name {n}\n" for n in range(2000))
        subprocess.run(
            [*disks.under, "tee", f"{disks.home}/files/a.csv"], input=text.encode(), stdout=subprocess.DEVNULL
        )
        disks.fill("files", 1 << 20)
        done = wherry("sync", disks.home / "files", duckdb_place.path, "--schema", "s", under=disks.under)
        assert not oracle.told(done, 0), str(done)
        assert duckdb_place.query("select count(*), sum(id) from s.a") == [(2000, 1999 * 1000)]


@pytest.mark.fault(21)
@pytest.mark.fault(23)
@pytest.mark.parametrize("options", [("--json",), ()], ids=["events", "summary"])
def test_output_that_cannot_be_written(wherry: Any, ledger: Ledger, duckdb_place: InDuckDB, options: Any) -> None:
    """The rows are in, but whoever waits for the output must not take it for success."""
    to_full = ["sh", "-c", 'exec "$@" > /dev/full', "sh"]
    done = sync(wherry, ledger, duckdb_place, "merge", *options, under=to_full)
    assert not oracle.told(done, 9), str(done)
    assert "standard output cannot be written: no space left on device; what was committed stands" in done.stderr
    assert "Exception ignored" not in done.stderr
    assert not oracle.holds(duckdb_place, ledger, "merge")
    assert not wherry.recovers(ledger, duckdb_place, "merge", runs=1)


@pytest.mark.fault(23, tier=1)
@pytest.mark.parametrize("command", [("sql", "select 42"), ("runs",), ("discover",), ("--help",)])
def test_answers_that_cannot_be_written(wherry: Any, ledger: Ledger, duckdb_place: InDuckDB, command: Any) -> None:
    assert sync(wherry, ledger, duckdb_place).code == 0
    name, *rest = command
    args = {"sql": [name, duckdb_place.path, *rest], "discover": [name, ledger.reference]}.get(name, list(command))
    done = wherry(*args, under=["sh", "-c", 'exec "$@" > /dev/full', "sh"])
    assert not oracle.told(done, 9), str(done)


@pytest.mark.fault(25, tier=2)
@pytest.mark.parametrize(("size", "mode"), sizes(25, 2_000, 13_000, 100_000, 900_000))
def test_a_limit_of_file_size(wherry: Any, ledger: Ledger, duckdb_place: InDuckDB, size: int, mode: str) -> None:
    """A write that reaches the limit is short, the next one fails. (The limit also holds for what the run prints.)"""
    done = sync(wherry, ledger, duckdb_place, mode, "--quiet", under=limited(fsize=size))
    assert not oracle.told(done, 9), str(done)
    assert "may not become larger than" in done.stderr
    assert not wherry.recovers(ledger, duckdb_place, mode)


@pytest.mark.fault(13, tier=2)
@pytest.mark.parametrize("files", some(13, [4, 5, 6, 7, 8, 10, 12, 16, 32], 7, 32))
def test_few_descriptors(wherry: Any, ledger: Ledger, place: Place, files: int) -> None:
    """As few as it takes; 32 are enough."""
    done = sync(wherry, ledger, place, under=limited(nofile=files))
    assert not oracle.told(done, *((0,) if files == 32 else (0, 9) if files > 4 else (0, 1, 9, 127))), str(done)
    if done.code == 9:
        assert "too many open files" in done.stderr, str(done)
        assert f"{files} are allowed" in done.stderr, str(done)
    assert not wherry.recovers(ledger, place, "merge")


@pytest.mark.fault(13, tier=2)
@pytest.mark.parametrize("files", some(13, [7, 9, 10, 12, 14, 32], 10, 14))
def test_few_descriptors_for_a_source(
    wherry: Any, postgres_place: InPostgres, duckdb_place: InDuckDB, files: int
) -> None:
    """A server that cannot be reached for want of a descriptor is not at fault."""
    postgres_place.query("create table t as select g as id from generate_series(1, 5000) g")
    args = ("sync", postgres_place.url, duckdb_place.path, "--schema", "s", "--quiet")
    done = wherry(*args, under=limited(nofile=files))
    assert not oracle.told(done, 0 if files == 32 else 9), str(done)
    if done.code:
        assert f"too many open files: {files} are allowed" in done.stderr
    assert not oracle.told(wherry(*args), 0)
    assert duckdb_place.query("select count(*), sum(id) from s.t") == [(5000, 5000 * 5001 // 2)]


@pytest.mark.fault(14, tier=2)
@pytest.mark.parametrize("threads", some(14, [1, 2, 3, 4, 6, 8, 12], 2, 6))
def test_few_threads(wherry: Any, ledger: Ledger, place: Place, threads: int) -> None:
    """A user who may have so many; each run needs a handful."""
    under = crowded(threads)
    if not available(crowded(50)):
        pytest.skip("no other user can be had here")
    done = sync(wherry, ledger, place, under=under)
    assert not oracle.told(done, 0, 9, *KILLED), str(done)
    if done.code == 9:
        assert "no more threads or processes" in done.stderr, str(done)
    shutil.rmtree(wherry.state)  # the other user's logs, among which ours are not kept
    assert not wherry.recovers(ledger, place, "merge")


@pytest.mark.fault(12, tier=2)
@pytest.mark.parametrize("megabytes", some(12, [250, 400, 500, 700, 900, 1100, 1400, 1800], 400, 900))
def test_little_address_space(wherry: Any, ledger: Ledger, place: Place, megabytes: int) -> None:
    """Told with advice, where there is memory to tell; else the process is gone."""
    done = sync(wherry, ledger, place, under=limited(as_=megabytes * 1_000_000))
    assert not oracle.told(done, 0, 9, *KILLED), str(done)
    if done.code == 9:
        assert "memory" in done.stderr, str(done)
        assert "next:" in done.stderr
    assert not wherry.recovers(ledger, place, "merge")


@pytest.mark.fault(12, tier=2)
@pytest.mark.parametrize("megabytes", some(12, [40, 80, 120, 160], 80))
def test_killed_for_its_memory(wherry: Any, tmp_path: Path, place: Place, megabytes: int) -> None:
    from harness.ledger import Ledger

    ledger = Ledger.write(tmp_path / "wide", rows=3_000, changes=500, wide=4_000)
    with memory(megabytes << 20) as under:
        if under is None:
            pytest.skip("no group of processes with a memory limit can be made here")
        done = sync(wherry, ledger, place, under=under)
        assert not oracle.told(done, 0, 9, *KILLED), str(done)
    assert not wherry.recovers(ledger, place, "merge")


@pytest.fixture
def wide(tmp_path: Path, plugins: Path) -> tuple[str, dict[str, str]]:
    """(reference of 8 streams of rows of 2 MB, environment that knows them); a stalled one goes on by the file `go`."""
    folder = tmp_path / "wide"
    folder.mkdir()
    write_source(folder, "wide", WIDE.replace("WideSource", "Acme"))
    return f"wide:{folder / 'go'}", {"PYTHONPATH": os.pathsep.join([str(plugins), str(folder)])}


def counted(place: Place) -> dict[str, int]:
    """Rows of each of the wide streams."""
    names = [f"wide_{n}" for n in range(1, 9)]
    return {name: place.query(f"select count(*) from s.{name} where length(payload) = 2000000")[0][0] for name in names}


@pytest.mark.fault(84, tier=1)
def test_a_stream_that_stalls_keeps_no_other_waiting(wherry: Any, wide: Any, place: Place) -> None:
    """It holds a lane, and a share of the memory; the others finish."""
    reference, env = wide
    options = ("--memory", "256MB", "--json", "--set", "rows=12", "--set", "stall=wide_3")
    run = wherry.start("sync", reference, place.reference, "--schema", "s", *options, env=env)
    assert run.wait_for("stream_finished", 7)
    ended = {event["stream"]: event["outcome"] for event in run.events() if event["event"] == "stream_finished"}
    assert ended == {f"wide_{n}": "committed" for n in range(1, 9) if n != 3}
    Path(reference.partition(":")[2]).touch()
    done = run.wait()
    assert not oracle.told(done, 0) + oracle.bounded(done, memory=656_000_000)
    assert counted(place) == dict.fromkeys([f"wide_{n}" for n in range(1, 9)], 12)


@pytest.mark.fault(10, tier=1)
@pytest.mark.fault(84, tier=1)
def test_a_destination_that_stands_still_does_not_fill_the_memory(
    wherry: Any, wide: Any, postgres_place: InPostgres
) -> None:
    """The source is not read further than the budget allows."""
    reference, env = wide
    options = ("--memory", "256MB", "--json", "--set", "rows=60", "--stream", "wide_1")
    run = wherry.start("sync", reference, postgres_place.reference, "--schema", "s", *options, env=env)
    assert run.wait_for("batch_loaded", 2)
    (backends,) = zip(
        *postgres_place.query(
            "select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
            " and backend_type = 'client backend'"
        ),
        strict=True,
    )
    for pid in backends:
        os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(1)
        soon = high(run.pid)
        time.sleep(3)
        assert run.alive
        assert high(run.pid) - soon < 16 << 20
    finally:
        for pid in backends:
            os.kill(pid, signal.SIGCONT)
    done = run.wait()
    assert not oracle.told(done, 0) + oracle.bounded(done, memory=656_000_000)
    assert postgres_place.query("select count(*), min(length(payload)) from s.wide_1") == [(60, 2_000_000)]


@pytest.mark.fault(79, tier=1)
@pytest.mark.fault(84, tier=1)
@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv"])
def test_a_row_larger_than_the_memory(wherry: Any, duckdb_place: InDuckDB, tmp_path: Path, suffix: str) -> None:
    """Refused by name, before it is held whole many times over; with more memory it is moved."""
    row = "x" * 40_000_000
    text = {"csv": f"id,v\n1,{row}\n", "jsonl": f'{{"id":1,"v":"{row}"}}\n', "json": f'[{{"id":1,"v":"{row}"}}]'}
    file = tmp_path / f"big.{suffix}"
    file.write_text(text[suffix])
    args = ("sync", file, duckdb_place.path, "--schema", "s", "--memory")
    done = wherry(*args, "32MB")
    assert not oracle.told(done, 9) + oracle.bounded(done, memory=500_000_000)
    assert f"big.{suffix} has a" in done.stderr
    assert "of more than 17 MB" in done.stderr
    assert "raise --memory" in done.stderr
    done = wherry(*args, "1GB")
    assert not oracle.told(done, 0), str(done)
    assert duckdb_place.query("select id, length(v), v = repeat('x', length(v)) from s.big") == [(1, len(row), True)]
