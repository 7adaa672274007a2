"""The file itself: created whole, one writer at a time, and clear words for every file that does not open."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest
from wherry import LeaseError, PolicyError, ResourceError, StateError, UsageError
from wherry_destination_duckdb.destination import DuckDBDestination


def duck(path: Path | str, **config: Any) -> DuckDBDestination:
    return DuckDBDestination(DuckDBDestination.Config.model_validate({"path": str(path)} | config))


def open_at(path: Path | str, **options: Any) -> Any:
    return duck(path).open("p", schema="main", **options)


def test_a_second_process_is_told_who_holds_the_file(driver: Any) -> None:
    child = driver.child("s = driver.open(); print('open', flush=True); sys.stdin.read(); s.close()")
    assert child.stdout.readline() == "open\n"
    for options in ({}, {"read_only": True}):
        with pytest.raises(LeaseError, match=f"process {child.pid}") as caught:
            driver.open(**options)
        assert caught.value.exit_code == 7
    child.communicate("")
    assert child.returncode == 0
    driver.open().close()


def test_waiting_for_another_process(driver: Any) -> None:
    child = driver.child("s = driver.open(); print('open', flush=True); sys.stdin.readline(); s.close()")
    assert child.stdout.readline() == "open\n"
    started = time.monotonic()
    with pytest.raises(LeaseError):
        driver.open(wait=0.5)
    assert time.monotonic() - started >= 0.5
    child.stdin.write("go\n")
    child.stdin.flush()
    session = driver.open(wait=30)
    assert session.lease.epoch == 2
    session.close()
    child.communicate()


def test_a_pipeline_is_held_once_in_a_process_too(driver: Any) -> None:
    session = driver.open()
    with pytest.raises(LeaseError, match=f"pid {os.getpid()}"):
        driver.open()
    other = driver.open("another")
    reader = driver.open(read_only=True)
    assert reader.progress == {}
    for opened in (reader, other, session):
        opened.close()
    driver.open().close()


def test_a_worker_joins_a_lease_until_the_run_is_over(driver: Any, make: Any) -> None:
    session = driver.open()
    worker = driver.open(join=session.lease)
    driver.load(worker, driver.target(), make({"id": 1}))
    worker.close()
    session.close()
    with pytest.raises(LeaseError, match="is over"):
        driver.open(join=session.lease)
    assert driver.read(driver.target()) == [{"id": 1, "note": None}]


def test_reading_what_was_never_written_creates_nothing(driver: Any) -> None:
    session = driver.open(read_only=True)
    assert (session.progress, session.names, session.runs()) == ({}, {}, ())
    assert session.schema(driver.target()) is None
    with pytest.raises(UsageError, match=r"there is no file .*wh\.duckdb"):
        session.execute("select 41 + 1 as n")
    session.close()
    assert not driver.path.exists()


@pytest.mark.parametrize("size", [0, 100, 5000, 20000])
def test_a_file_that_is_no_database(tmp_path: Path, size: int) -> None:
    path = tmp_path / "x.duckdb"
    path.write_bytes(b"id,name\n" * (size // 8))
    if not size:  # an empty file never held a commit
        open_at(path).close()
        return
    with pytest.raises(UsageError, match="not a DuckDB database") as caught:
        open_at(path)
    assert caught.value.key == "path"
    assert path.stat().st_size == size // 8 * 8


def test_a_file_that_the_engine_would_read_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("id,name\n1,Ana\n")
    for read_only in (False, True):
        with pytest.raises(UsageError, match="not a DuckDB database"):
            open_at(path, read_only=read_only)
    assert path.read_text() == "id,name\n1,Ana\n"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=rf"cannot create .*x\.duckdb: there is no folder {tmp_path}/none$"):
        open_at(tmp_path / "none" / "x.duckdb")


def test_a_file_of_a_newer_version(tmp_path: Path) -> None:
    from wherry_destination_duckdb.file import explain

    message = (
        "IO Error: Trying to read a database file with version number 999, but we can only read versions between 64 "
        "and 69.\nThe database file was created with a newer version of DuckDB."
    )
    error = explain(duckdb.IOException(message), "x.duckdb")
    assert isinstance(error, StateError)
    assert "newer version" in error.message
    assert "upgrade duckdb" in str(error.next)


def test_paths_that_cannot_be_written(tmp_path: Path) -> None:
    for path in (tmp_path / "missing" / "x.duckdb", tmp_path, "/proc/x.duckdb"):
        with pytest.raises(ResourceError) as caught:
            open_at(path)
        assert caught.value.key == "path"
        assert caught.value.exit_code == 9


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own device and namespaces")
def test_a_full_disk_stops_with_the_rows_of_before(tmp_path: Path) -> None:
    script = """
import pyarrow as pa
from wherry import ResourceError
batch = rows(*({"id": n, "note": os.urandom(40).hex()} for n in range(100_000)))
session, target = driver.open(), driver.target()
done = 0
try:
    while True:
        driver.load(session, target, batch); done += 1
except ResourceError as error:
    assert error.exit_code == 9
    assert "full" in error.message, error.message
try:
    session.close()
except ResourceError:
    pass
del session
kept = driver.open(read_only=True).read(target).read_all().num_rows
recorded = driver.open(read_only=True).execute("select sum(inserted_rows)::bigint as n from shop._wherry_loads")
assert [{"n": kept}] == recorded.read_all().to_pylist()
assert kept in (done * 100_000, done * 100_000 + 100_000), (kept, done)
print("stopped after", done)
"""
    home = tmp_path / "small"
    home.mkdir()
    tests = str(Path(__file__).parent)
    code = (
        f"import sys, os; sys.path.insert(0, {tests!r})\nfrom pathlib import Path\n"
        f"from conftest import Driver, duck, entry, rows\npath = Path({str(home / 'x.duckdb')!r})\n"
        "driver = Driver(duck(path), path)\n" + script
    )
    inside = f'mount -t tmpfs -o size=24m none {home} && exec {sys.executable} -c "$CODE"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", inside], env={**os.environ, "CODE": code}, capture_output=True, text=True,
        timeout=100, check=False,
    )  # fmt: skip
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip("no namespaces here")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("stopped after")


def test_names_for_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    open_at("~/a.duckdb").close()
    open_at("b.duckdb").close()
    assert {path.name for path in tmp_path.iterdir()} == {"a.duckdb", "b.duckdb"}
    made = duck("~/Shop.duckdb")
    assert (made.schema_for("shop"), made.schema_for("crm"), made.label()) == ("main", "crm", "~/Shop.duckdb")


def test_check_leaves_nothing_behind(tmp_path: Path) -> None:
    made = duck(tmp_path / "x.duckdb")
    made.check()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ResourceError):
        duck(tmp_path / "no" / "x.duckdb").check()


def test_what_a_killed_creation_left_does_no_harm(driver: Any) -> None:
    code = """
import wherry_destination_duckdb.file as file
real = os.link
file.os.link = lambda *names: die()
driver.open()
"""
    child = driver.child(code)
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL
    left = list(driver.path.parent.iterdir())
    assert [path.name for path in left] == [f"{driver.path.name}.new-{child.pid}"]
    driver.open().close()
    assert [path.name for path in driver.path.parent.iterdir()] == [driver.path.name]


def test_a_bad_memory_limit_names_the_setting(tmp_path: Path) -> None:
    made = duck(tmp_path / "x.duckdb", memory_limit="lots")
    with pytest.raises(UsageError, match="Memory must have a number"):
        made.open("p", schema="main")


@pytest.mark.parametrize("batches", [0, 1])
def test_readers_left_open_end_with_their_session(driver: Any, make: Any, batches: int) -> None:
    driver.run(driver.target(), make(*({"id": n} for n in range(300_000))))
    session = driver.open(read_only=True)
    reader = session.read(driver.target())
    for _ in range(batches):
        assert reader.read_next_batch().num_rows > 0
    session.close()
    child = driver.child("driver.open().close()")
    _, error = child.communicate(timeout=60)
    assert child.returncode == 0, error
    del reader


def test_a_new_file_is_for_its_user_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        open_at(tmp_path / "x.duckdb").close()
        (tmp_path / "shared.duckdb").touch(0o640)  # who may read it was chosen before
        open_at(tmp_path / "shared.duckdb").close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x.duckdb").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "shared.duckdb").stat().st_mode) == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shared.duckdb", "x.duckdb"]


@pytest.mark.parametrize("name", ["x.duckdb", "x.duckdb.wal", "x.duckdb.tmp"])
@pytest.mark.parametrize("there", [False, True])
def test_a_planted_link_is_refused(tmp_path: Path, name: str, there: bool) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    if there and name != "x.duckdb":
        open_at(tmp_path / "x.duckdb").close()
    (tmp_path / name).symlink_to(victim)
    for read_only in (False, True):
        with pytest.raises(PolicyError, match="is a link") as caught:
            open_at(tmp_path / "x.duckdb", read_only=read_only)
        assert caught.value.exit_code == 11
    assert victim.read_text() == "precious"


def test_a_link_of_ones_own_to_a_database_is_followed(tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()
    (tmp_path / "x.duckdb").symlink_to(tmp_path / "big" / "real.duckdb")
    for _ in range(2):
        open_at(tmp_path / "x.duckdb").close()
    assert (tmp_path / "x.duckdb").is_symlink()
    assert [path.name for path in (tmp_path / "big").iterdir()] == ["real.duckdb"]


def test_where_a_file_is_made_nothing_else_stands(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "database").write_text("precious")
    (tmp_path / f"x.duckdb.new-{os.getpid()}").symlink_to(victim)
    (tmp_path / "x.duckdb.new-99999999-notes").mkdir()
    with pytest.raises(PolicyError, match="is there already, and is not ours"):
        open_at(tmp_path / "x.duckdb")
    assert (victim / "database").read_text() == "precious"
    assert (tmp_path / "x.duckdb.new-99999999-notes").exists()


@pytest.mark.parametrize("empty", [False, True])
def test_a_file_that_another_process_made_meanwhile_is_never_replaced(tmp_path: Path, empty: bool) -> None:
    """Ten processes create one file at once: all end up with the same one, and with each other's rows."""
    path = tmp_path / "shop.duckdb"
    if empty:
        path.touch(0o640)
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from wherry_destination_duckdb.file import open_file\n"
        "time.sleep(max(0, float(sys.argv[2]) - time.time()))\n"
        "database = open_file(Path(sys.argv[1]), {}, wait=60)\n"
        "database.instance.execute('create table if not exists t (pid int)')\n"
        "database.instance.execute('insert into t values (?)', [int(sys.argv[3])])\n"
        "database.close(None)\n"
    )
    together = str(time.time() + 2)
    children = [subprocess.Popen([sys.executable, "-c", code, str(path), together, str(n)]) for n in range(10)]
    assert [child.wait(120) for child in children] == [0] * 10
    with duckdb.connect(str(path), read_only=True) as database:
        assert database.execute("select pid from t order by 1").fetchall() == [(n,) for n in range(10)]
    assert (path.stat().st_mode & 0o777) == (0o640 if empty else 0o600)
    assert [file.name for file in tmp_path.iterdir()] == ["shop.duckdb"]
