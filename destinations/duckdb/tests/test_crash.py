"""Processes killed for good in the middle of things; the next run ends where an undisturbed one would."""

from __future__ import annotations

import dataclasses
import random
import signal
from typing import Any

import pytest
from wherry import Counts, Entry

MODES = ["append", "merge", "replace", "history"]

RUN = """
import dataclasses
from wherry import Counts, Entry
from wherry_destination_duckdb.load import ArrowWriter, DuckDBConnection

def at(place, cls, name, when):
    # dies at the `when`-th call of a method, before or after it
    real, calls = getattr(cls, name), [0]
    def call(*arguments):
        calls[0] += 1
        if calls[0] == when and place == "before":
            die()
        result = real(*arguments)
        if calls[0] == when:
            die()
        return result
    setattr(cls, name, call)

def work(mode):
    session = driver.open()
    print(session.lease.epoch, flush=True)
    keyed = mode in ("merge", "history")
    target = driver.target(mode=mode, key=("id",) if keyed else ())
    known = session.progress.get("orders")
    if known is not None and known.bookmark == "end":
        return
    plan = known.open if known and known.open else driver.plan(target)
    generation = session.start(plan)
    target = dataclasses.replace(target, generation=generation if mode == "replace" else None)
    reached = session.progress["orders"].open.splits[0].bookmark or 0
    for start in range(reached, 40_000, 10_000):
        batch = rows(*({"id": n % 15_000, "note": str(n)} for n in range(start, start + 10_000)))
        if keyed:
            batch = batch.append_column("_wherry_pos", pa.array(range(start, start + 10_000), pa.int64()))
        load = session.begin(plan, plan.splits[0])
        load.prepare(target)
        load.write("orders", batch.slice(0, 5000))
        load.write("orders", batch.slice(5000))
        end = start + 10_000
        load.commit(Entry(bookmark=end, done=end == 40_000, counts={"orders": Counts(read=10_000, mapped=10_000)}))
    session.publish(plan, [target], generation, Entry(bookmark="end", done=True))
    session.close()
"""


def expected(mode: str) -> list[tuple[int, str]]:
    rows = [(n % 15_000, str(n)) for n in range(40_000)]
    return sorted(dict(rows).items() if mode == "merge" else rows)


def content(driver: Any) -> list[tuple[int, str]]:
    return sorted(driver.sql("select id, note from shop.orders"))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("place", ["before", "after"])
def test_killed_at_each_commit(driver: Any, mode: str, place: str) -> None:
    """Every COMMIT of the run in turn, bookkeeping included: die at the first, run on to the second, and so on."""
    for when in (3, 6, 7):
        code = f"{RUN}\nat({place!r}, DuckDBConnection, 'commit', {when})\nwork({mode!r})"
        child = driver.child(code)
        _, error = child.communicate(timeout=60)
        assert child.returncode in (-signal.SIGKILL, 0), error
    child = driver.child(f"{RUN}\nwork({mode!r})")
    _, error = child.communicate(timeout=60)
    assert child.returncode == 0, error
    assert content(driver) == expected(mode)
    left = driver.sql("select table_name from duckdb_tables() where table_name like '%\\_\\_gen%' escape '\\'")
    assert left == []


@pytest.mark.parametrize("mode", MODES)
def test_killed_at_random_moments(driver: Any, mode: str) -> None:
    dice = random.Random(mode)
    for _ in range(3):
        child = driver.child(f"{RUN}\nwork({mode!r})")
        child.stdout.readline()
        try:
            child.wait(timeout=dice.random() * 0.4)
        except Exception:
            child.send_signal(signal.SIGKILL)
        child.communicate()
    child = driver.child(f"{RUN}\nwork({mode!r})")
    _, error = child.communicate(timeout=60)
    assert child.returncode == 0, error
    assert content(driver) == expected(mode)


def test_killed_in_the_middle_of_a_write(driver: Any, make: Any) -> None:
    """Rows that went straight into the table are gone with their transaction."""
    driver.run(driver.target(), make({"id": -1, "note": "before"}))
    code = f"{RUN}\nimport wherry_destination_duckdb.load as load\nload.BYTES = 1\n"
    code += "at('after', load.Stream, 'put', 2)\nwork('append')"
    child = driver.child(code)
    _, error = child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL, error
    assert driver.read(driver.target()) == [{"id": -1, "note": "before"}]


@pytest.mark.parametrize("mode", ["merge", "history"])
@pytest.mark.parametrize("place", ["before", "after"])
def test_killed_while_staged_rows_go_to_a_file(driver: Any, mode: str, place: str) -> None:
    """It has no name: nothing is there that somebody would have to sweep, and the next run ends as ever."""
    spilling = f"{RUN}\nimport wherry_destination_duckdb.load as load\nload.BYTES = 1\n"
    for when in (1, 4, 7):
        child = driver.child(f"{spilling}at({place!r}, load.Spilled, 'write', {when})\nwork({mode!r})")
        _, error = child.communicate(timeout=60)
        assert child.returncode in (-signal.SIGKILL, 0), error
        assert {path.suffix for path in driver.path.parent.iterdir()} <= {".duckdb", ".wal"}
    child = driver.child(f"{spilling}work({mode!r})")
    _, error = child.communicate(timeout=60)
    assert child.returncode == 0, error
    assert content(driver) == expected(mode)


def test_killed_between_new_columns_and_rows(driver: Any, make: Any) -> None:
    """Columns may be there before the rows; never the other way round."""
    driver.run(driver.target(exclusive=False), make({"id": 1, "note": "a"}))
    code = """
from wherry.sql import load
load.apply = lambda work: die()
wide = SCHEMA.append(pa.field("new", pa.int64()))
driver.run(driver.target(exclusive=False, schema=wide), rows({"id": 2, "new": 5}, schema=wide))
"""
    child = driver.child(code)
    _, error = child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL, error
    assert driver.read(driver.target()) == [{"id": 1, "note": "a", "new": None}]
    session = driver.open()
    plan = session.progress["orders"].open
    assert plan is not None
    load = driver.stage(session, plan, driver.target(exclusive=False), make({"id": 3}))
    load.commit(Entry(done=True, counts={"orders": Counts(mapped=1)}))
    session.close()
    assert [row["id"] for row in driver.read(driver.target())] == [1, 3]


def test_readers_see_the_old_table_until_the_new_one_is_published(driver: Any, make: Any) -> None:
    target = driver.target(mode="replace")
    driver.run(target, make(*({"id": n} for n in range(10))))
    driver.sql("create index by_id on shop.orders (id)")  # so that rows are rewritten in place
    code = f"""
{RUN}
at('before', DuckDBConnection, 'commit', {{when}})
work('replace')
"""
    seen = set()
    for when in range(6, 18, 4):
        child = driver.child(code.replace("{when}", str(when)))
        child.communicate(timeout=60)
        seen.add(driver.sql("select count(*) from shop.orders")[0][0])
    driver.child(f"{RUN}\nwork('replace')").communicate(timeout=60)
    seen.add(driver.sql("select count(*) from shop.orders")[0][0])
    assert seen == {10, 40_000}
    assert driver.sql("select index_name from duckdb_indexes()") == [("by_id",)]
    assert dataclasses.replace(target).generation is None


def test_a_reader_sees_what_was_committed_before_the_kill(driver: Any) -> None:
    """Committed rows that are still in the log file only, read by a session that may not write."""
    code = "driver.run(driver.target(), rows({'id': 1}))\nsession = driver.open()\nsession.set('x', 1)\ndie()"
    child = driver.child(code)
    _, error = child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL, error
    session = driver.open(read_only=True)
    assert session.progress["x"].bookmark == 1
    assert session.read(driver.target()).read_all()["id"].to_pylist() == [1]
    session.close()
