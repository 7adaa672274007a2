"""Row 35: every process of a database server is killed with SIGKILL in mid-run, and the server started again."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest
from harness import oracle
from harness.places import InDuckDB, InPostgres
from harness.served import CURSORS, Served
from wherry_cluster import Cluster


@pytest.fixture(scope="module")
def doomed() -> Iterator[Cluster]:
    """A server of our own: one that is killed must not take other tests along. What it wrote outlives its processes."""
    with Cluster({"fsync": "off"}) as cluster:
        yield cluster


def crashed(wherry, ledger, place, mode, cluster, seed, *args, failed) -> list[str]:
    """A run whose server dies at some moment, and the run after it."""
    moment = random.Random(f"{mode}{seed}").random() * 1.5
    child = wherry.start(*wherry.syncing(ledger, place, mode, *args))
    time.sleep(moment)
    assert cluster.crash() > 5
    done = child.wait()
    wrong = oracle.told(done, 0, failed)
    if done.code:
        done = wherry.sync(ledger, place, mode, *args, "--wait", "90")
        wrong += oracle.told(done, 0)
    # temporary tables of a server that crashed stay listed until their place is used again
    left = [name for name in oracle.clean(place) if "_wherry_stage" not in name]
    return wrong + oracle.holds(place, ledger, mode) + left


@pytest.mark.parametrize("seed", [pytest.param(n, marks=pytest.mark.fault(35, tier=1 + (n > 0))) for n in range(5)])
def test_a_destination_whose_server_is_killed(wherry, ledger, mode, doomed, seed) -> None:
    place = InPostgres(doomed.create_database(), doomed)
    slow = ("--set", "rows=250", "--set", "pause=0.05", "--dest-set", "lease=20")
    assert not crashed(wherry, ledger, place, mode, doomed, seed, *slow, failed=4)


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param(mode, marks=pytest.mark.fault(35, tier=tier))
        for mode, tier in (("append", 1), ("merge", 2), ("replace", 1), ("history", 2))
    ],
)
def test_a_source_whose_server_is_killed(wherry, new_ledger, mode, doomed, duckdb_place: InDuckDB) -> None:
    served = Served.of(new_ledger(rows=20_000, wide=200), doomed.create_database())
    assert not crashed(wherry, served, duckdb_place, mode, doomed, 0, *CURSORS.get(mode, ()), failed=3)
