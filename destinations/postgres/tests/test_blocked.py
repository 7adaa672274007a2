"""What somebody else blocks: the message names session, user, application and statement, never a value in it."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

import psycopg
import pytest
from wherry import DestinationError

BLOCKER = "lock table shop.orders in access exclusive mode; /* 'S3CR3T' */"
HELD = r"held by pid {pid} \(user \w+, application 'somebody', idle in transaction: lock table shop.orders .*…\)"


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"lock_timeout": 0.3}, "waited too long for a lock "),
        ({"statement_timeout": 0.3}, "a statement took longer than it may, maybe for a lock "),
    ],
)
def test_a_lock_is_waited_for_so_long_and_its_holder_is_named(
    shop: Any, batch: Any, limits: dict[str, float], said: str
) -> None:
    session = shop.open(**limits)
    shop.load(session, shop.target(), batch([1]), {"at": 1})
    with psycopg.connect(shop.url, application_name="somebody") as other:
        other.execute(BLOCKER)
        with pytest.raises(DestinationError) as caught:
            shop.load(session, shop.target(), batch([2]), {"at": 2})
        pid = other.info.backend_pid
    assert re.search(said + HELD.format(pid=pid), caught.value.message), caught.value.message
    assert "S3CR3T" not in caught.value.message
    assert caught.value.key == next(iter(limits))
    shop.load(session, shop.target(), batch([2]), {"at": 2})
    assert shop.sql("select id from shop.orders order by 1") == [(1,), (2,)]


def test_who_is_waited_for_can_be_asked_meanwhile(shop: Any, batch: Any) -> None:
    session = shop.open()
    shop.load(session, shop.target(), batch([1]), {"at": 1})
    assert session.blocked() == ""
    with psycopg.connect(shop.url, application_name="somebody") as other:
        other.execute(BLOCKER)
        going = threading.Thread(target=lambda: shop.load(session, shop.target(), batch([2]), {"at": 2}))
        going.start()
        while not (told := session.blocked()):
            assert going.is_alive()
            time.sleep(0.05)
        pid = other.info.backend_pid
    going.join()
    assert re.fullmatch("a lock " + HELD.format(pid=pid), told), told
    assert session.blocked() == ""


def test_a_copy_lasts_as_long_as_the_source_takes(shop: Any, batch: Any, entry: Any) -> None:
    session = shop.open(statement_timeout=0.3)
    target = shop.target()
    plan = shop.plan(target)
    session.start(plan)
    load = shop.stage(session, plan, target, batch([1]))
    time.sleep(0.8)
    load.write("orders", batch([2]))
    load.commit(entry(target, batch([1, 2]), {"at": 1}))
    assert shop.sql("select id from shop.orders order by 1") == [(1,), (2,)]
    with pytest.raises(DestinationError, match="a statement took longer than it may"):
        session.execute("select pg_sleep(5)").read_all()
