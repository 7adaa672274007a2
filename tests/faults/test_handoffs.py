"""Hand-overs that are killed at a point or in the middle of the engine's own statement, and run again."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
from harness import oracle, places
from harness.places import InDuckDB, InPostgres, Place
from harness.warm import Warm
from wherry.pipeline.handoff import interruptible
from wherry_cluster import Cluster

ROWS = 20_000
POINTS = ("K02", "K04", "K07", "K08", "K09", "K10", "K13", "K14", "K15")
SMALL = ("--memory", "16MiB")
"""So that the rows of a COPY are of many pieces."""


@dataclass
class HandOver:
    """A source that changes between runs, a place, and how the one gets to the other."""

    warm: Warm
    wherry: Any
    source: str
    place: Place
    form: str
    change: Callable[[str], None]

    @property
    def args(self) -> tuple[str, ...]:
        """The command."""
        small = SMALL if self.form == "pg-copy-binary" else ()
        return ("sync", self.source, self.place.reference, "--schema", places.SCHEMA, "--handoff", *small)

    def run(self, failpoint: str = "") -> Any:
        """A sync in a fork of the warm process."""
        done = self.warm(*self.args, cwd=self.wherry.folder, env=self.wherry.env, failpoint=failpoint)
        self.wherry.ended.append(done)
        return done

    def there(self) -> list[Any]:
        """What readers see: how many rows, of which versions; none when there is no table."""
        if "t" not in places.tables(self.place):
            return []
        return self.place.query(f"select v, count(*), sum(id) from {places.SCHEMA}.t group by v")


def whole(version: str) -> list[Any]:
    """What `there` is of a whole version."""
    return [(version, ROWS, ROWS * (ROWS - 1) // 2)]


def in_postgres(url: str) -> Callable[[str], None]:
    def change(version: str) -> None:
        with psycopg.connect(url, autocommit=True) as session:
            session.execute("create table if not exists t (id int8, pad text, v text)")
            session.execute("truncate t")
            session.execute(
                "insert into t select g, repeat('x', 60), %s from generate_series(0, %s) g", (version, ROWS - 1)
            )

    return change


def in_file(path: Path) -> Callable[[str], None]:
    def change(version: str) -> None:
        table = pa.table({"id": range(ROWS), "v": [version] * ROWS})
        if path.suffix == ".parquet":
            pq.write_table(table, path)
        elif path.suffix == ".csv":
            pc.write_csv(table, path, pc.WriteOptions(quoting_style="none"))
        else:
            path.write_text("".join(f'{{"id":{number},"v":"{version}"}}\n' for number in range(ROWS)))

    return change


@pytest.fixture(params=["pg-copy-binary", "parquet-file", "csv-file", "jsonl-file"])
def over(
    request: pytest.FixtureRequest, warm: Warm, wherry: Any, tmp_path: Path, postgres_cluster: Cluster
) -> Iterator[Any]:
    form = request.param
    if form == "pg-copy-binary":
        url, target = postgres_cluster.create_database(), postgres_cluster.create_database()
        yield HandOver(warm, wherry, url, InPostgres(target, postgres_cluster), form, in_postgres(url))
        postgres_cluster.drop_database(url)
        postgres_cluster.drop_database(target)
        return
    path = tmp_path / f"t.{form.removesuffix('-file')}"
    (tmp_path / "db").mkdir()
    yield HandOver(warm, wherry, str(path), InDuckDB(tmp_path / "db" / "shop.duckdb"), form, in_file(path))


@pytest.mark.fault(1, tier=1)
def test_killed_at_each_point_and_run_again(over: HandOver) -> None:
    over.change("old")
    done = over.run()
    assert f"handed over: {over.form}" in done.stdout, str(done)
    for number, point in enumerate(POINTS):
        before = over.there()
        version = f"new {number}"
        over.change(version)
        times = ":3" if point == "K07" and over.form == "pg-copy-binary" else ""
        done = over.run(f"{point}:kill{times}")
        assert done.code == 137, (point, str(done))
        assert over.there() in (before, whole(version)), point
        done = over.run()
        assert not oracle.told(done, 0)
        assert over.there() == whole(version), point
        assert not oracle.clean(over.place)
    assert done.code == 0


@pytest.mark.fault(2, tier=1)
def test_killed_at_any_moment_and_run_again(over: HandOver) -> None:
    chance = random.Random(over.form)
    over.change("old")
    assert over.run().code == 0
    for number in range(6):
        before = over.there()
        over.change(f"new {number}")
        begun = over.wherry.start(*over.args, "--json")
        begun.wait_for("run_started")
        time.sleep(chance.random() / 4)
        begun.kill()
        assert over.there() in (before, whole(f"new {number}"))
    assert not oracle.told(over.run(), 0)
    assert over.there() == whole("new 5")
    assert not oracle.clean(over.place)


@pytest.mark.fault(6, tier=0)
def test_a_statement_of_the_engine_is_interrupted(tmp_path: Path) -> None:
    from wherry import SQL, WherryError
    from wherry_destination_duckdb.destination import DuckDBDestination

    dialect = DuckDBDestination(DuckDBDestination.Config(path=str(tmp_path / "x.duckdb"))).dialect()
    connection, stop = dialect.connect(), threading.Event()
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    with pytest.raises(WherryError, match=r"(?i)interrupt"), interruptible(stop, connection.interrupt):
        connection.rows(SQL("select count(*) from range(1000000000000) where range % 7 = 8"))
    assert time.monotonic() - began < 20
    connection.close()
    dialect.close()


@pytest.mark.fault(6, tier=1)
def test_an_interrupt_leaves_a_whole_table_and_the_next_run_makes_the_new_one(over: HandOver) -> None:
    over.change("old")
    assert over.run().code == 0
    over.change("new")
    begun = over.wherry.start(*over.args, "--json", env={"WHERRY_FAILPOINT": "K07:sleep:1:2"})
    assert begun.wait_for("run_started")
    time.sleep(0.5)
    begun.send(signal.SIGINT)
    done = begun.wait()
    assert done.code in (0, 130), str(done)
    assert over.there() in (whole("old"), whole("new"))  # all of it was on its way already, or it was given up
    assert not oracle.told(over.run(), 0)
    assert over.there() == whole("new")
    assert not oracle.clean(over.place)
