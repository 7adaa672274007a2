"""Real faults: killed processes, a restarted server, a full disk. Afterwards rows and bookmark agree."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from wherry import DestinationError, TransientError

PREPARED = """
session = shop.open()
target = shop.target(exclusive=sys.argv[3] == "straight")
plan = shop.plan(target)
session.start(plan)
load = shop.stage(session, plan, target, batch(range(1000)))
load.prepare(target)  # ends the COPY: all rows are with the server
"""
COMMIT = "load.commit(entry(target, batch(range(1000)), {'at': 1}))\n"


def agree(shop: Any) -> int:
    """Rows in the table, after making sure that the bookmark says the same."""
    rows = 0
    if shop.sql("select to_regclass('shop.orders')") != [(None,)]:
        rows = shop.sql("select count(*) from shop.orders")[0][0]
    bookmarks = shop.sql("select count(*) from shop._wherry_state where bookmark = '{\"at\":1}'")[0][0]
    assert rows == 1000 * bookmarks
    assert shop.sql("select count(*) from shop._wherry_loads where split_key <> ''") == [(bookmarks,)]
    return rows


def finish(shop: Any, batch: Any, entry: Any) -> None:
    """The next run: goes on where the last one stands, and ends whole."""
    session = shop.open(wait=5)
    progress = session.progress["orders"]
    plan, target = progress.open, shop.target()
    assert plan is not None
    if not progress.done:
        rows = batch(range(1000))
        shop.stage(session, plan, target, rows).commit(entry(target, rows, {"at": 1}))
    session.publish(plan, [target], progress.generation, entry(target, batch([]), {"at": 1}))
    assert shop.sql("select count(*), count(distinct id) from shop.orders") == [(1000, 1000)]
    assert session.progress["orders"].bookmark == {"at": 1}
    left = shop.sql(
        "select relname from pg_class where relname like '\\_wherry\\_stage%' or relname like '%\\_\\_gen%'"
    )
    assert left == []


@pytest.mark.parametrize("way", ["staged", "straight"])
def test_killed_between_copy_and_commit(shop: Any, batch: Any, entry: Any, way: str) -> None:
    child = shop.child(PREPARED + "say('staged')\ntime.sleep(600)\n", way)
    assert child.stdout.readline() == "staged\n"
    child.kill()
    child.communicate()
    assert agree(shop) == 0
    finish(shop, batch, entry)


@pytest.mark.parametrize("way", ["staged", "straight"])
def test_killed_in_the_transaction(shop: Any, batch: Any, entry: Any, way: str) -> None:
    """The state row is locked by somebody else, so that the last statement before COMMIT waits."""
    child = shop.child(PREPARED + "say('staged')\nsys.stdin.readline()\n" + COMMIT, way)
    assert child.stdout.readline() == "staged\n"
    with psycopg.connect(shop.url) as other:
        other.execute("select from shop._wherry_state for update")
        child.stdin.write("go\n")
        child.stdin.flush()
        waiting = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like 'update%wherry_state%'"
        while not shop.sql(waiting):
            time.sleep(0.02)
        child.kill()
        child.communicate()
    assert agree(shop) == 0
    finish(shop, batch, entry)


@pytest.mark.parametrize("way", ["staged", "straight"])
def test_killed_with_the_commit_sent_and_no_answer_read(shop: Any, batch: Any, entry: Any, way: str) -> None:
    in_doubt = """
from wherry_destination_postgres.connection import PostgresConnection
whole = PostgresConnection.commit
def commit(self):
    if self is load._connection:
        self.session.pgconn.send_query(b"commit")
        os.kill(os.getpid(), signal.SIGKILL)
    whole(self)
PostgresConnection.commit = commit
"""
    child = shop.child(PREPARED + in_doubt + COMMIT, way)
    child.communicate()
    assert child.returncode == -9
    finish(shop, batch, entry)
    assert agree(shop) == 1000


@pytest.mark.parametrize("way", ["staged", "straight"])
def test_killed_right_after_the_commit(shop: Any, batch: Any, entry: Any, way: str) -> None:
    child = shop.child(PREPARED + COMMIT + "os.kill(os.getpid(), signal.SIGKILL)\n", way)
    child.communicate()
    assert child.returncode == -9
    assert agree(shop) == 1000
    finish(shop, batch, entry)


def test_killed_in_the_middle_of_publishing(shop: Any, batch: Any) -> None:
    session = shop.open()
    shop.replace(session, batch(range(10)))
    session.close()
    child = shop.child("session = shop.open()\nsay('open')\nshop.replace(session, batch(range(2000)))\n")
    assert child.stdout.readline() == "open\n"
    with psycopg.connect(shop.url) as other:
        other.execute("lock table shop.orders in share mode")
        while not shop.sql("select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like 'delete%'"):
            time.sleep(0.02)
        child.kill()
        child.communicate()
    assert shop.sql("select count(*) from shop.orders") == [(10,)]
    session = shop.open(wait=5)
    shop.replace(session, batch(range(7)))
    assert shop.sql("select count(*) from shop.orders") == [(7,)]
    left = shop.sql("select relname from pg_class where relname like '%\\_\\_gen%'")
    assert left == []


@pytest.mark.parametrize("exclusive", [False, True])
def test_a_server_restarted_in_mid_load(
    shop: Any, postgres_cluster: Any, batch: Any, entry: Any, exclusive: bool
) -> None:
    session = shop.open()
    target = shop.target(exclusive=exclusive)
    plan = shop.plan(target)
    session.start(plan)
    load = shop.stage(session, plan, target, batch(range(1000)))
    postgres_cluster.restart("immediate")
    with pytest.raises(TransientError):
        load.commit(entry(target, batch(range(1000)), {"at": 1}))
    assert session.resume(plan).done == frozenset()
    again = shop.stage(session, plan, target, batch(range(1000)))
    again.commit(entry(target, batch(range(1000)), {"at": 1}))
    assert agree(shop) == 1000


def test_a_commit_that_the_server_turned_into_a_rollback_is_noticed(shop: Any) -> None:
    from wherry import SQL

    connection = shop.open().dialect.connect()
    connection.begin()
    with pytest.raises(DestinationError):
        connection.run(SQL("select nonsense"))
    with pytest.raises(DestinationError, match=r"nothing was committed.*ROLLBACK"):
        connection.commit()
    connection.close()


def test_a_full_disk_on_the_server_is_named(shop: Any, postgres_cluster: Any, batch: Any, tmp_path: Path) -> None:
    place = postgres_cluster.folder / f"small_{os.getpid()}"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=0777", "none", place], capture_output=True)
    if mounted.returncode:
        place.rmdir()
        pytest.skip("no right to mount a small file system")
    name = f"small_{os.getpid()}"
    try:
        inside = place / "space"
        inside.mkdir(mode=0o700)
        os.chown(inside, *(lambda s: (s.st_uid, s.st_gid))(postgres_cluster.data.stat()))
        postgres_cluster.psql(f"create tablespace {name} location '{inside}'")
        shop.sql("create schema shop")
        shop.sql(f"create table shop.orders (id bigint, note text, _wherry_load_id bigint) tablespace {name}")
        session = shop.open()
        session.adopt("orders")
        with pytest.raises(DestinationError, match="disk is full") as caught:
            shop.load(session, shop.target(), batch(range(20_000), ["x" * 500] * 20_000))
        assert caught.value.exit_code == 4
        session.close()
        assert shop.sql("select count(*) from shop.orders") == [(0,)]
        shop.sql("drop table shop.orders")
        postgres_cluster.psql(f"drop tablespace {name}")
    finally:
        subprocess.run(["umount", "-l", place], check=True)
