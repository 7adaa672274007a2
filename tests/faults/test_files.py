"""Rows 26 to 30: damaged bookkeeping, folders that are not ours, planted links, permissions."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Wherry
from harness import limits
from harness.child import Ended
from harness.places import InDuckDB, Place
from wherry.sql import state

SCHEMA = "shop"
ORDERS = ("--stream", "orders", "--schema", SCHEMA)
ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not ROOT, reason="only root can act as another user")


def change(place: Any, sql: str) -> None:
    """Change the destination behind the product's back."""
    if isinstance(place, InDuckDB):
        import duckdb

        with duckdb.connect(str(place.path)) as database:
            database.execute(sql)
    else:
        with place.session() as session:
            session.execute(sql)


def little(done: Ended, bytes: int = 300 << 20) -> bool:
    """Whether a child took less memory than that; one that took none is charged with its parent's, from before exec."""
    return done.peak < max(bytes, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 + (1 << 20))


def kept(place: Place) -> tuple[list[Any], list[Any]]:
    """Rows of the table, and what is stored beside them."""
    rows = place.query(f"select id, status, cast(updated_at as varchar) from {SCHEMA}.orders order by id")
    return rows, place.query(f"select bookmark, seq from {SCHEMA}._wherry_state where split_key = '' order by plan_key")


# --- 26: damage

DAMAGE = {
    "cut": "update {s}._wherry_state set bookmark = substr(bookmark, 1, length(bookmark) - 20) where split_key = ''",
    "empty": "update {s}._wherry_state set bookmark = '' where split_key = ''",
    "gone": "update {s}._wherry_state set bookmark = null where split_key = ''",
    "flipped": "update {s}._wherry_state set bookmark = replace(bookmark, '2024', '2028') where split_key = ''",
    "a list": "update {s}._wherry_state set bookmark = '[]', digest = null where split_key = ''",
    "another key": "update {s}._wherry_state set bookmark = replace(bookmark, 'source', 'sourcf'), digest = null",
    "deep": "update {s}._wherry_state set bookmark = repeat('[', 100000), digest = null",
    "newer": "update {s}._wherry_state set bookmark = replace(bookmark, '\"v\":1', '\"v\":2'), digest = null",
    "newer tables": "update {s}._wherry_meta set number = 99 where name = 'format'",
    "no format": "delete from {s}._wherry_meta where name = 'format'",
    "no load id": "update {s}._wherry_meta set number = null where name = 'load_id'",
}  # fmt: skip


def refused(wherry: Wherry, place: Place, damage: str, changed: bool) -> None:
    """A damaged bookkeeping is exit 8 with the remedy, and nothing moves. changed: the source has news."""
    wherry("sync", "sample:200", place.reference, *ORDERS)
    before = kept(place)
    change(place, DAMAGE[damage].format(s=SCHEMA))
    damaged = kept(place)[1]
    news = ("--set", "until=2024-04-10") if changed else ()
    done = wherry("sync", "sample:200", place.reference, *ORDERS, *news)
    assert done.code == 8, (damage, done)
    assert "next: " in done.last, done
    assert kept(place) == (before[0], damaged)


@pytest.mark.fault(26)
@pytest.mark.parametrize("damage", ["cut"])
def test_damaged_bookkeeping_is_not_none(wherry: Wherry, duckdb_place: InDuckDB, damage: str) -> None:
    refused(wherry, duckdb_place, damage, changed=True)


@pytest.mark.fault(26, tier=1)
@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_bookkeeping_is_not_none_anywhere(wherry: Wherry, place: Place, damage: str) -> None:
    refused(wherry, place, damage, changed=True)


@pytest.mark.fault(26, tier=1)
@pytest.mark.parametrize("remedy", ["reset", "full refresh"])
@pytest.mark.parametrize("damage", ["cut", "another key"])
def test_the_remedy_helps(wherry: Wherry, place: Place, damage: str, remedy: str) -> None:
    refused(wherry, place, damage, changed=True)
    shown = wherry("state", "show", place.reference, "--json")
    assert shown.code == 0, shown
    assert "cannot be read" in json.loads(shown.stdout)[0]["streams"][0]["damaged"]
    if remedy == "reset":
        assert wherry("state", "reset", place.reference, "orders", "--yes").code == 0
    again = ("--full-refresh", "--yes") if remedy != "reset" else ()
    done = wherry("sync", "sample:200", place.reference, *ORDERS, "--set", "until=2024-04-10", *again)
    assert done.code == 0, done
    columns = "id, status, cast(updated_at as varchar)"
    rows = place.query(f"select {columns} from {SCHEMA}.orders order by id")
    assert wherry("sync", "sample:200", place.reference, "--stream", "orders", "--schema", "whole", "--set",
                  "until=2024-04-10", "--pipeline", "whole").code == 0  # fmt: skip
    assert rows == place.query(f"select {columns} from whole.orders order by id")


@pytest.mark.fault(26, tier=1)
def test_a_damaged_plan_is_not_resumed_and_not_forgotten(wherry: Wherry, place: Place) -> None:
    child = wherry.start("sync", "sample:20000", place.reference, "--stream", "order_items", "--schema", SCHEMA,
                         "--mode", "append", "--cursor", "updated_at", env={"WHERRY_FAILPOINT": "K01"})  # fmt: skip
    child.wait()
    wherry("sync", "sample:200", place.reference, *ORDERS)
    change(place, f"update {SCHEMA}._wherry_plans set status = 'open', plan = '{{\"key\": \"ord'")
    before = kept(place)
    done = wherry("sync", "sample:200", place.reference, *ORDERS, "--set", "until=2024-04-10")
    assert done.code == 8, done
    assert kept(place) == before


@pytest.mark.fault(26)
def test_every_cut_and_every_flipped_bit_is_noticed() -> None:
    text = state.dump({"v": 1, "source": {"cursor": "at", "value": "2024-01-01 00:00:00.000001+00"}, "covers": "ab12"})
    known = state.digest(text)
    assert state.load(text, known)["v"] == 1
    damaged = [text[:n] for n in range(len(text))]
    damaged += [text[:n] + chr(ord(text[n]) ^ 1 << bit) + text[n + 1 :] for n in range(len(text)) for bit in range(7)]
    for other in (*damaged, text + " ", None):
        with pytest.raises(ValueError, match=r"not the text that was stored|it is gone"):
            state.load(other, known)


@pytest.mark.fault(26, tier=1)
def test_logs_may_be_damaged_at_will(wherry: Wherry, duckdb_place: InDuckDB) -> None:
    assert wherry("sync", "sample:200", duckdb_place.reference, *ORDERS).code == 0
    before = kept(duckdb_place)
    (log,) = wherry.state.rglob("*.jsonl")
    whole = log.read_bytes()
    for n, damaged in enumerate(_damaged(whole)):
        (log.parent / f"20240101T000000.{n:06}Z-run{n}.jsonl").write_bytes(damaged)
    (log.parent / "99999999T999999.000000Z-run1.jsonl").write_bytes(whole)
    (log.parent / "20240102T000000.000000Z-run1.jsonl").mkdir()
    (log.parent.parent / "a file").write_bytes(b"x")
    with (log.parent / "20240103T000000.000000Z-run3.jsonl").open("wb") as huge:
        huge.write(b'{"event": "run_started", "run": 3, "pipeline": "' + b"x" * (100 << 20))
    shown = wherry("runs", "--json", "--limit", "1000")
    assert shown.code == 0, shown
    assert little(shown, 400 << 20), shown
    assert any(run["outcome"] == "ok" and run["run"] == 1 for run in json.loads(shown.stdout))
    assert wherry("runs").code == 0
    done = wherry("sync", "sample:200", duckdb_place.reference, *ORDERS)
    assert done.code == 0, done
    assert kept(duckdb_place) == before


def _damaged(whole: bytes) -> Iterator[bytes]:
    yield b""
    yield b"\0" * 4096
    for n in range(1, 40):
        yield whole[: len(whole) * n // 40]
        at = len(whole) * n // 40
        yield whole[:at] + bytes([whole[at] ^ 1 << n % 8]) + whole[at + 1 :]
    for wrong in (
        {"run": "one", "pipeline": 7, "streams": 1}, {"run": None, "pipeline": ["x"], "source": {}},
        {"run": 1 << 70, "pipeline": "\x1b[31m"}, {"v": 99, "run": 1, "pipeline": "p", "new": [1]},
    ):  # fmt: skip
        yield json.dumps({"event": "run_started", **wrong}).encode() + b"\n"
    for wrong in ({"seconds": "long", "totals": 5, "outcome": 3}, {"totals": {"read": "many"}, "exit_code": "x"}):
        yield json.dumps({"event": "run_finished", **wrong}).encode() + b"\n"
    yield b'{"event": "run_finished", ' + b'"totals": ' + b"[" * 100_000
    yield b'{"event": "run_started", "run": 1, "run": 2, "pipeline": "p"}\n'


# --- 27: a folder that is not ours


@pytest.mark.fault(27)
@as_root
def test_a_state_folder_of_another_user_is_told_of_first(wherry: Wherry, duckdb_place: InDuckDB) -> None:
    (wherry.state / "runs").mkdir(parents=True)
    for folder in (wherry.state, wherry.state / "runs"):
        os.chown(wherry.state, 0, 0)
        os.chown(folder, limits.STRANGER, limits.STRANGER)
        done = wherry("sync", "sample:200", duckdb_place.reference, *ORDERS)
        assert done.code == 9, done
        assert "run logs cannot be kept in" in done.stderr
        assert "belongs to another user (uid 54321)" in done.stderr
        assert "WHERRY_STATE_DIR" in done.last
        assert list(wherry.state.rglob("*.jsonl")) == []
        assert not duckdb_place.path.exists(), "told before anything is read or written"


@pytest.mark.fault(27, tier=1)
@as_root
def test_a_state_folder_that_only_reads_is_told_of_first(wherry: Wherry, duckdb_place: InDuckDB) -> None:
    (wherry.state / "runs").mkdir(parents=True)
    script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    prefix = ["unshare", "-m", "sh", "-c", script, str(wherry.state)]
    if not limits.available(prefix):
        pytest.skip("nothing can be mounted here")
    done = wherry("sync", "sample:200", duckdb_place.reference, *ORDERS, under=prefix)
    assert done.code == 9, done
    assert "run logs cannot be kept in" in done.stderr
    assert "read-only file system" in done.stderr
    assert not duckdb_place.path.exists(), "told before anything is read or written"


# --- 28 and 29: links


def _plant(wherry: Wherry, place: InDuckDB, name: str) -> Path:
    """A link where the product writes; what it leads to."""
    victim = wherry.folder / "victim"
    if name in ("runs", "pipeline"):
        victim.mkdir()
        (victim / "precious").write_text("precious")
        link = wherry.state / ("runs" if name == "runs" else "runs/sample-sample")
        link.parent.mkdir(parents=True)
    else:
        victim.write_text("precious")
        link = place.path.with_name(place.path.name + name)
    link.symlink_to(victim)
    return victim


def _intact(victim: Path) -> bool:
    if victim.is_dir():
        return [path.read_text() for path in victim.iterdir()] == ["precious"]
    return victim.read_text() == "precious"


@pytest.mark.parametrize(
    "name",
    [
        *(pytest.param(name, marks=pytest.mark.fault(28)) for name in ("runs", "")),
        *(pytest.param(name, marks=pytest.mark.fault(28, tier=1)) for name in ("pipeline", ".wal")),
    ],
)
def test_a_planted_link_is_refused(wherry: Wherry, duckdb_place: InDuckDB, name: str) -> None:
    victim = _plant(wherry, duckdb_place, name)
    done = wherry("sync", "sample:200", duckdb_place.reference, *ORDERS, "--json")
    assert done.code == 11, done
    assert done.last.startswith("  next: see who put it there")
    assert done.events[-1]["code"] == 11
    assert _intact(victim)


@pytest.mark.fault(28, tier=1)
@as_root
def test_a_link_of_another_user_is_not_followed_even_to_a_database(wherry: Wherry, duckdb_place: InDuckDB) -> None:
    other = wherry.folder / "other.duckdb"
    assert wherry("sync", "sample:200", str(other), *ORDERS).code == 0
    before = other.read_bytes()
    duckdb_place.path.symlink_to(other)
    assert wherry("sync", "sample:200", duckdb_place.reference, *ORDERS).code == 0  # our own link is our wish
    os.chown(duckdb_place.path, limits.STRANGER, limits.STRANGER, follow_symlinks=False)
    before = other.read_bytes()
    done = wherry("sync", "sample:200", duckdb_place.reference, *ORDERS)
    assert done.code == 11, done
    assert other.read_bytes() == before


@pytest.mark.fault(29, tier=1)
def test_a_folder_swapped_for_a_link_takes_no_write_along(wherry: Wherry, duckdb_place: InDuckDB) -> None:
    """The folder of run logs is swapped for a link and back, all the time, while runs begin, write and end."""
    outside = wherry.folder / "outside"
    outside.mkdir()
    assert wherry("sync", "sample:200", duckdb_place.reference, *ORDERS).code == 0
    folder = wherry.state / "runs" / "sample-sample"
    over, swaps = threading.Event(), 0

    def swap() -> None:
        nonlocal swaps
        aside = folder.with_name("aside")
        while not over.is_set():
            with contextlib.suppress(OSError):
                folder.rename(aside)
                folder.symlink_to(outside)
                time.sleep(0.002)
                folder.unlink()
                aside.rename(folder)
                swaps += 1
            time.sleep(0.002)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        codes = [wherry("sync", "sample:200", duckdb_place.reference, *ORDERS).code for _ in range(3)]
    finally:
        over.set()
        thread.join()
    assert set(codes) <= {0, 11}
    assert swaps > 50
    assert list(outside.iterdir()) == []


# --- 30: permissions


def private(folder: Path) -> list[str]:
    """Files and folders that others may look into."""
    found = []
    for path in (folder, *folder.rglob("*")):
        seen = path.lstat().st_mode  # once: what is looked at may be gone a moment later
        mode, wanted = stat.S_IMODE(seen), 0o700 if stat.S_ISDIR(seen) else 0o600
        if not stat.S_ISLNK(seen) and mode != wanted:
            found.append(f"{path}: {mode:o}")
    return found


@pytest.mark.fault(30)
def test_umask_000(wherry: Wherry, duckdb_place: InDuckDB, new_ledger: Callable[..., Any]) -> None:
    duckdb_place.path.parent.chmod(0o700)
    ledger = new_ledger(rows=20_000)
    shell = ["sh", "-c", 'umask 000 && exec "$@"', "sh"]
    child = wherry.start(*wherry.syncing(ledger, duckdb_place, "merge"), under=shell)
    seen: set[str] = set()
    wrong: set[str] = set()
    while child.alive:
        with contextlib.suppress(FileNotFoundError):
            wrong |= set(private(duckdb_place.path.parent))
            seen |= {path.suffix for path in duckdb_place.path.parent.iterdir()}
    done = child.wait()
    assert done.code == 0, done
    assert ".duckdb" in seen
    assert wrong == set()
    assert private(duckdb_place.path.parent) + private(wherry.state) == []


@pytest.mark.fault(30, tier=1)
def test_who_may_read_a_database_stays_its_owners_choice(wherry: Wherry, duckdb_place: InDuckDB) -> None:
    assert wherry("sync", "sample:200", duckdb_place.reference, *ORDERS).code == 0
    duckdb_place.path.chmod(0o640)
    done = wherry("sync", "sample:200", duckdb_place.reference, *ORDERS, "--set", "until=2024-04-10")
    assert done.code == 0, done
    assert stat.S_IMODE(duckdb_place.path.stat().st_mode) == 0o640
