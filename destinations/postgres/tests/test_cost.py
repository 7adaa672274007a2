"""What a load costs the server: sessions, indexes, and how much of a table a small merge looks at."""

from __future__ import annotations

import time
from typing import Any

SESSIONS = "select count(*) from pg_stat_activity where application_name like 'wherry %'"
PIDS = "select array_agg(pid order by pid) from pg_stat_activity where application_name like 'wherry %'"
READ = "select seq_tup_read from pg_stat_user_tables where schemaname = 'shop' and relname = 'orders'"


def quiet(shop: Any, query: str, wanted: Any) -> Any:
    """The query's value, once it is as wanted; or as it stands after two seconds."""
    deadline = time.monotonic() + 2
    while (found := shop.sql(query)[0][0]) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def test_a_large_first_load_leaves_an_index_and_a_small_merge_looks_at_few_rows(shop: Any, batch: Any) -> None:
    session = shop.open()
    shop.merge(session, batch(range(12_000)))
    session.close()
    assert shop.sql("select indexdef from pg_indexes where schemaname = 'shop' and tablename = 'orders'") == [
        ("CREATE UNIQUE INDEX orders_id_idx ON shop.orders USING btree (id)",)
    ]
    assert quiet(shop, SESSIONS, 0) == 0  # what they counted is there once they ended
    before = shop.sql(READ)[0][0]
    session = shop.open()
    receipt = shop.merge(session, batch([3, 5, 12_000], ["x", "y", "z"]))
    session.close()
    assert (receipt.applied["orders"].inserted, receipt.applied["orders"].updated) == (1, 2)
    assert quiet(shop, SESSIONS, 0) == 0
    assert shop.sql(READ)[0][0] - before < 10
    assert shop.sql("select note from shop.orders where id in (3, 5, 12000) order by 1") == [("x",), ("y",), ("z",)]


def test_loads_that_follow_each_other_share_a_session(shop: Any, batch: Any) -> None:
    session = shop.open()
    shop.merge(session, batch([1]))
    first = shop.sql(PIDS)
    for n in range(5):
        shop.merge(session, batch([1, n]))
    assert shop.sql(PIDS) == first
    assert len(first[0][0]) == 2  # the session's own, and that of its loads
    assert shop.sql("select count(*) from pg_class where relname like '\\_wherry\\_stage%'") == [(0,)]
    session.close()
    assert quiet(shop, SESSIONS, 0) == 0


def test_a_session_that_the_server_ended_meanwhile_is_not_used_again(shop: Any, batch: Any) -> None:
    session = shop.open()
    shop.merge(session, batch([1]))
    shop.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'wherry %'")
    time.sleep(0.1)
    shop.merge(session, batch([2]))
    session.close()
    assert shop.sql("select id from shop.orders order by 1") == [(1,), (2,)]


def test_a_load_that_was_given_up_leaves_nothing_to_the_next(shop: Any, batch: Any) -> None:
    session = shop.open()
    target = shop.target(mode="merge", key=("id",))
    plan = shop.plan(target)
    session.start(plan)
    rows = batch([1]).append_column("_wherry_pos", batch([0]).column("id"))
    shop.stage(session, plan, target, rows).abort()
    shop.merge(session, batch([2]))
    session.close()
    assert shop.sql("select id from shop.orders") == [(2,)]
