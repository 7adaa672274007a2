"""One writer: leases, killed and stopped holders, take-over, many processes at once."""

from __future__ import annotations

import os
import re
import signal
import time
from typing import Any

import pytest
from wherry import Entry, LeaseError

HOLD = """
session = shop.open(lease=int(sys.argv[3]))
target = shop.target()
shop.load(session, target, batch([1]), {"at": 1})
plan = shop.plan(target, id="second")
session.start(plan)
load = shop.stage(session, plan, target, batch([2]))
say("staged")
sys.stdin.readline()
for attempt in range(3):
    try:
        load.commit(entry(target, batch([2]), {"at": 2}))
        say("committed")
        break
    except WherryError as error:
        say(f"{type(error).__name__} {error.message}")
        if type(error).__name__ == "LeaseError":
            break
        load = shop.stage(session, plan, target, batch([2]))
"""


def heard(child: Any, word: str) -> None:
    line = child.stdout.readline()
    assert line.startswith(word), line + (child.stdout.read() if child.poll() is not None else "")


def test_a_live_run_refuses_and_names_its_holder(shop: Any) -> None:
    child = shop.child(HOLD, "60")
    heard(child, "staged")
    with pytest.raises(LeaseError) as caught:
        shop.open()
    message = caught.value.message
    assert f"pid {child.pid}" in message
    assert os.uname().nodename in message
    assert re.search(r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", message)
    child.communicate("go\n")
    assert child.returncode == 0


def test_a_killed_run_is_free_at_once(shop: Any, batch: Any) -> None:
    child = shop.child(HOLD, "60")
    heard(child, "staged")
    child.kill()
    child.communicate()
    started = time.monotonic()
    session = shop.open()
    assert time.monotonic() - started < 3
    assert session.lease.epoch == 2
    assert [run.outcome for run in session.runs()] == [None, "died"]
    assert session.progress["orders"].bookmark == {"at": 1}
    shop.load(session, shop.target(), batch([2]), {"at": 2})
    assert shop.sql("select id from shop.orders order by 1") == [(1,), (2,)]


def test_a_run_killed_while_the_server_works_for_it_is_free_at_once(shop: Any, batch: Any) -> None:
    child = shop.child(
        "session = shop.open(lease=60)\nsay('ready')\nsession.execute('select pg_sleep(600)').read_all()"
    )
    heard(child, "ready")
    while not shop.sql("select 1 from pg_stat_activity where query like '%pg_sleep%' and pid <> pg_backend_pid()"):
        time.sleep(0.05)
    child.kill()
    child.communicate()
    session = shop.open(wait=3)
    shop.load(session, shop.target(), batch([1]))
    assert shop.sql("select id from shop.orders") == [(1,)]


def test_wait_gets_the_lease_when_it_is_given_back(shop: Any) -> None:
    child = shop.child("session = shop.open()\nsay('held')\ntime.sleep(1.5)\nsession.close()")
    heard(child, "held")
    with pytest.raises(LeaseError):
        shop.open(wait=0.3)
    session = shop.open(wait=30)
    assert session.lease.epoch == 2
    child.communicate()


def test_a_stopped_holder_is_taken_over_and_its_commit_refused(shop: Any, batch: Any) -> None:
    child = shop.child(HOLD, "2")
    heard(child, "staged")
    os.kill(child.pid, signal.SIGSTOP)
    try:
        with pytest.raises(LeaseError):
            shop.open(lease=2)
        session = shop.open(lease=2, wait=20)
        assert shop.sql("select distinct epoch from shop._wherry_state") == [(2,)]
        shop.load(session, shop.target(), batch([2]), {"at": 2})
    finally:
        os.kill(child.pid, signal.SIGCONT)
    out, _ = child.communicate("go\n", timeout=60)
    said = [line.split()[0] for line in out.splitlines()]
    assert said[-1] == "LeaseError", out
    assert "committed" not in said
    assert shop.sql("select id from shop.orders order by 1") == [(1,), (2,)]
    assert session.progress["orders"].bookmark == {"at": 2}


def test_a_stopped_holder_of_locks_is_taken_over(shop: Any, batch: Any) -> None:
    child = shop.child(
        "session = shop.open(lease=2)\n"
        "shop.load(session, shop.target(), batch([1]), {'at': 1})\n"
        "from wherry import SQL\n"
        "connection = session.dialect.connect()\n"
        "connection.begin()\n"
        "connection.run(SQL('lock table shop.orders, shop._wherry_state in access exclusive mode'))\n"
        "connection.copying = None\n"
        "say('locked')\n"
        "time.sleep(600)\n"
    )
    heard(child, "locked")
    os.kill(child.pid, signal.SIGSTOP)
    try:
        session = shop.open(lease=2, wait=20)
        shop.load(session, shop.target(), batch([2]), {"at": 2})
        assert shop.sql("select id from shop.orders order by 1") == [(1,), (2,)]
    finally:
        child.kill()
        child.communicate()


def test_a_load_of_a_superseded_run_is_refused(shop: Any, batch: Any, entry: Any) -> None:
    """In doubt: whoever took over has moved every state row to its epoch, so the old swap matches none."""
    first = shop.open()
    target = shop.target()
    plan = shop.plan(target)
    first.start(plan)
    load = shop.stage(first, plan, target, batch([1]))
    shop.sql("update shop._wherry_leases set finished = 1")  # as if the lease had run out
    second = shop.open()
    with pytest.raises(LeaseError, match=r"run 2 \(.* pid \d+\) has taken pipeline .* over from run 1"):
        load.commit(entry(target, batch([1]), {"at": 1}))
    with pytest.raises(LeaseError):
        first.publish(plan, [target], 1, Entry(bookmark={"at": 1}))
    assert shop.sql("select count(*) from shop._wherry_loads") == [(0,)]
    assert second.progress["orders"].open is not None
    assert shop.sql("select to_regclass('shop.orders') is null or not exists (select from shop.orders)") == [(True,)]


def test_the_heartbeat_keeps_a_long_run_alive(shop: Any) -> None:
    shop.open(lease=2)
    renewed = "select renewed from shop._wherry_leases"
    before = shop.sql(renewed)
    time.sleep(3)
    assert shop.sql(renewed) > before
    with pytest.raises(LeaseError):
        shop.open(lease=2)


def test_eight_processes_make_the_bookkeeping_together(shop: Any) -> None:
    code = (
        "sys.stdin.readline()\n"
        "session = shop.open(sys.argv[3])\n"
        "shop.load(session, shop.target(sys.argv[3]), batch(range(10)), {'at': 1})\n"
        "session.close()\n"
        "say('done')\n"
    )
    children = [shop.child(code, f"p{n}") for n in range(8)]
    outputs = [c for c in children if c.stdin.write("go\n") and c.stdin.flush() is None]
    assert [c.communicate(timeout=100)[0].split()[-1:] for c in outputs] == [["done"]] * 8
    assert shop.sql("select count(*), count(distinct load_id) from shop._wherry_loads where split_key <> ''") == [
        (8, 8)
    ]
    assert shop.sql("select " + " + ".join(f"(select sum(id) from shop.p{n})" for n in range(8))) == [(360,)]


def test_of_eight_runs_of_one_pipeline_one_goes_on(shop: Any) -> None:
    code = (
        "sys.stdin.readline()\n"
        "try:\n"
        "    session = shop.open()\n"
        "    say('mine')\n"
        "    time.sleep(4)\n"
        "    session.close()\n"
        "except WherryError as error:\n"
        "    say(f'{type(error).__name__} {error.exit_code}')\n"
    )
    children = [shop.child(code) for _ in range(8)]
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    said = sorted(child.communicate(timeout=100)[0].strip() for child in children)
    assert said == ["LeaseError 7"] * 7 + ["mine"]


def test_a_server_that_was_started_anew_does_not_set_a_live_run_free(
    shop: Any, postgres_cluster: Any, batch: Any
) -> None:
    session = shop.open()
    postgres_cluster.restart("immediate")
    with pytest.raises(LeaseError):
        shop.open("shop")
    shop.load(session, shop.target(), batch([1]))  # the same session goes on
    assert shop.sql("select id from shop.orders") == [(1,)]
