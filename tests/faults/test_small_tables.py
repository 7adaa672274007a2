"""Small new tables that are committed together, killed on the way: whole groups are there or none of their tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from harness import oracle, places
from harness.places import Place
from wherry_cluster import Cluster

TABLES = 24
MADE = "".join(
    f"create table s{n:02d} (id int primary key, v text);"
    f"insert into s{n:02d} select g, 'v' || g + {n} from generate_series(1, {50 + n}) g;"
    for n in range(TABLES)
)


@pytest.fixture
def shop(postgres_cluster: Cluster) -> Iterator[str]:
    """A database of small tables."""
    url = postgres_cluster.create_database()
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(MADE.encode())
        session.execute("analyze")
    yield url
    postgres_cluster.drop_database(url)


def there(place: Place) -> dict[str, list[Any]]:
    names = [name for name in places.tables(place, "s%") if not name.startswith("_")]
    return {name: sorted(place.query(f"select id, v from {places.SCHEMA}.{name}")) for name in names}


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(point, marks=pytest.mark.fault(1, tier=tier))
        for point, tier in (
            ("K02:kill:3", 1), ("K02:kill:15", 1), ("K07:kill:3", 1), ("K15:kill:1", 1), ("K10:kill:2", 1),
            ("K07:kill:9", 2), ("K15:kill:2", 2), ("K10:kill:3", 2), ("K10:kill:4", 2),
        )
    ],
)  # fmt: skip
def test_killed_and_run_again(wherry, shop, place, point) -> None:
    args = ["sync", shop, place.reference, "--schema", places.SCHEMA, "--workers", "2", "--json"]
    wanted = {f"s{n:02d}": [(g, f"v{g + n}") for g in range(1, 51 + n)] for n in range(TABLES)}
    done = wherry(*args, env={"WHERRY_FAILPOINT": point})
    assert done.code in (0, 137), done
    found = there(place)
    assert found == {name: wanted[name] for name in found}  # what is there is whole
    told = {event["stream"] for event in done.events if event["event"] == "load_committed"}
    assert told <= found.keys()  # what was called committed is there
    done = wherry(*args, "--wait", "60")
    assert not oracle.told(done, 0)
    assert there(place) == wanted
    assert not oracle.clean(place)
