"""A table in splits of one snapshot, killed, changed at the source, and gone on with: it ends as the source is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from harness import oracle, places
from harness.places import Place
from wherry_cluster import Cluster

SPLITS = 6
ARGS = ("--stream", "t", "--cursor", "at", "--mode", "merge", "--set", f"splits={SPLITS}", "--workers", "2")
MADE = """
create table t (id int8 primary key, at timestamptz not null, v text);
insert into t select g * 2, '2026-01-01 00:00+00'::timestamptz + (g * 7919 % 30000) * interval '1 s', 'v' || g
from generate_series(1, 30000) g;
analyze t
"""
CHANGES = """
delete from t where id % 8 = 0;
update t set v = v || ' changed', at = '2026-02-01 00:00+00'::timestamptz + id * interval '1 s' where id % 8 = 2;
insert into t select g * 2 + 1, '2026-03-01 00:00+00'::timestamptz + g * interval '1 s', 'new'
from generate_series(1, 30000, 100) g;
"""
LATER = """
delete from t where id % 5 = 0;
update t set v = 'again', at = '2026-04-01 00:00+00'::timestamptz + id * interval '1 s' where id % 5 = 2;
"""


@pytest.fixture
def shop(postgres_cluster: Cluster) -> Iterator[str]:
    """A database with the table, 30,000 rows of it."""
    url = postgres_cluster.create_database()
    changed(url, MADE)
    yield url
    postgres_cluster.drop_database(url)


def changed(url: str, sql: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as session:
        cursor = session.execute(sql.encode())
        return sorted(cursor.fetchall()) if cursor.description else []


def in_source(url: str) -> list[Any]:
    return changed(url, "select id, v from t")


def there(place: Place) -> list[Any]:
    if "t" not in places.tables(place):
        return []
    return sorted(place.query(f"select id, v from {places.SCHEMA}.t"))


def reads(done: Any) -> int:
    """Rows that a run read, as its summary says."""
    return sum(event["counts"]["read"] for event in done.events if event["event"] == "load_committed")


@pytest.mark.parametrize("full", [True, False], ids=["refresh", "first"])
@pytest.mark.parametrize(
    "points",
    [
        pytest.param(points, marks=pytest.mark.fault(1, tier=tier), id="-".join(points).replace(":kill:", "."))
        for points, tier in (
            (("K08:kill:3", "K08:kill:2"), 1), (("K11:kill:4", "K02:kill:1"), 1), (("K15:kill:5", "K11:kill:1"), 1),
            (("K10:kill:2", "K15:kill:3"), 2), (("K12:kill:5", "K14:kill:1"), 2), (("K04:kill:6", "K09:kill:1"), 2),
            (("K02:kill:9", "K10:kill:1"), 2),
        )
    ],
)  # fmt: skip
def test_killed_twice_and_gone_on_with_while_the_source_changes(wherry, shop, place, points, full) -> None:
    def run(*more: str, **options: Any) -> Any:
        return wherry("sync", shop, place.reference, "--schema", places.SCHEMA, *ARGS, "--json", *more, **options)

    again = ("--full-refresh",) if full else ()
    if full:
        assert run().code == 0
        changed(shop, "update t set v = 'of the refresh' where id < 20000")
    old, total = there(place), len(in_source(shop))
    for number, point in enumerate(points):
        done = run(*again, env={"WHERRY_FAILPOINT": point})
        assert done.code in (0, 137), done
        if full and done.code == 137:
            assert there(place) == old  # whole, until the new one is
        changed(shop, CHANGES if number == 0 else LATER)
    done = run(*again, "--wait", "60")
    assert not oracle.told(done, 0)
    assert there(place) == in_source(shop)
    if points[0] in ("K11:kill:4", "K15:kill:5", "K12:kill:5"):
        assert reads(done) < total - 10_000, done
    done = run()
    assert done.code == 0
    assert reads(done) <= 1
    assert there(place) == in_source(shop)
    assert not oracle.clean(place)


@pytest.mark.fault(1, tier=1)
def test_without_a_cursor_it_starts_over(wherry, shop, place) -> None:
    args = ["sync", shop, place.reference, "--schema", places.SCHEMA, "--stream", "t", "--set", f"splits={SPLITS}"]
    done = wherry(*args, env={"WHERRY_FAILPOINT": "K11:kill:4"})
    assert done.code == 137
    changed(shop, CHANGES)
    done = wherry("plan", *args[1:])
    assert "starts over, as this one does" in done.stdout + done.stderr
    done = wherry(*args, "--json")
    assert not oracle.told(done, 0)
    assert reads(done) == len(in_source(shop))
    assert there(place) == in_source(shop)
    assert not oracle.clean(place)
