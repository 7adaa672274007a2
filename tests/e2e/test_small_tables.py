"""Small new tables are committed together; what that leaves behind is what each by itself would leave."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from wherry import LeaseError, Mark, StreamError, TransientError, WherryError
from wherry.pipeline import gather
from wherry.pipeline.lanes import Lanes
from wherry.pipeline.select import Wish, Wishes
from wherry.sql.gather import SqlGathering
from wherry.testing import Faults, MemorySource, MemoryStream, run_sync
from wherry_destination_duckdb.destination import DuckDBDestination
from wherry_destination_postgres.destination import PostgresDestination

NAMES = ["a", "b", "c", "d", "e", "f"]
MOVING = {"since", "started", "finished", "committed", "changed", "load_id", "_wherry_load_id", "plan_id", "receipt",
          "renewed", "holder", "mark", "digest", "bookmark"}  # fmt: skip


def rows(name: str, number: int = 3) -> pa.Table:
    return pa.table({"id": list(range(number)), "Na me": [f"{name}{n}" for n in range(number)]})


class World:
    """Streams a to f, small, and a place."""

    def __init__(self, destination: Any) -> None:
        self.new = destination
        self.streams = {name: MemoryStream(name=name, tables=(rows(name),)) for name in NAMES}
        self.faults = Faults()
        self.gathered: list[int] = []
        self.remote = isinstance(destination(), PostgresDestination)

    def sync(self, **settings: Any) -> dict[str, Any]:
        streams = tuple(self.streams.values())
        outcome = run_sync(
            lambda: MemorySource.of(*streams, faults=self.faults), self.new(), schema="shop",
            **({"workers": 1} | settings),
        )  # fmt: skip
        return {stream.stream: stream for stream in outcome.streams}

    def table(self, name: str, namespace: str = "shop") -> list[dict[str, Any]]:
        session = self.new().open("looking", schema="shop", read_only=True)
        try:
            found = session.execute(f'select * from {namespace}."{name}"').read_all().to_pylist()
        finally:
            session.close()
        return sorted(found, key=str)

    def records(self) -> dict[str, list[dict[str, Any]]]:
        """The bookkeeping, less what no two runs have in common."""
        names = ("_wherry_names", "_wherry_schemas", "_wherry_state", "_wherry_plans", "_wherry_meta")
        found = {name: self.table(name) for name in names}
        del found["_wherry_meta"]
        kept = {n: [{k: v for k, v in row.items() if k not in MOVING} for row in some] for n, some in found.items()}
        for plan in kept["_wherry_plans"]:
            plan["generation"] = plan["generation"] > 0
        return {n: sorted(some, key=str) for n, some in kept.items()}

    def data(self) -> dict[str, list[Any]]:
        return {name: [tuple(row.values())[:2] for row in self.table(name)] for name in self.streams}


@pytest.fixture(params=["duckdb", "postgres"])
def places(request, tmp_path, postgres_cluster):
    """Makes new places of one kind."""
    made: list[str] = []

    def make() -> Any:
        if request.param == "duckdb":
            path = tmp_path / f"{len(made)}.duckdb"
            made.append("")
            return lambda: DuckDBDestination(DuckDBDestination.Config(path=str(path)))
        made.append(postgres_cluster.create_database())
        url = made[-1]
        return lambda: PostgresDestination(PostgresDestination.Config.model_validate({"url": url}))

    yield make
    for url in filter(None, made):
        postgres_cluster.drop_database(url)


@pytest.fixture
def world(places, monkeypatch) -> World:
    found = World(places())
    commit = SqlGathering.commit

    def counted(self: Any) -> None:
        commit(self)
        found.gathered.append(len(self._items))

    monkeypatch.setattr(SqlGathering, "commit", counted)
    return found


EXPECTED = {name: sorted((n, f"{name}{n}") for n in range(3)) for name in NAMES}


def test_what_is_left_behind_is_what_each_by_itself_leaves(world, places, monkeypatch) -> None:
    together = world.sync()
    assert world.gathered == [6]
    assert world.data() == EXPECTED
    monkeypatch.setattr(gather, "ROWS", -1)
    apart = World(places())
    alone = apart.sync()
    assert apart.data() == EXPECTED
    assert world.gathered == [6]
    assert world.records() == apart.records()
    for name in NAMES:
        assert together[name].counts == alone[name].counts
        assert (together[name].outcome, together[name].error) == ("committed", None)


def test_lanes_begin_with_groups_that_grow(world) -> None:
    """So that one commits while the others read; no table is left out, none comes twice."""
    names = [f"t{n:02d}" for n in range(30)]
    world.streams = {name: MemoryStream(name=name, tables=(rows(name),)) for name in names}
    outcomes = world.sync(workers=3)
    assert sorted(world.gathered) == [4, 7, 9, 10]
    assert {outcome.outcome for outcome in outcomes.values()} == {"committed"}
    assert world.data() == {name: sorted((n, f"{name}{n}") for n in range(3)) for name in names}


def test_load_ids_are_unique_and_later_ones_higher(world) -> None:
    world.sync()
    first = {row["_wherry_load_id"] for name in NAMES for row in world.table(name)}
    assert len(first) == 6
    world.sync()
    second = {row["_wherry_load_id"] for name in NAMES for row in world.table(name)}
    assert min(second) > max(first)


def test_later_runs_and_other_modes_go_on_from_it(world) -> None:
    world.sync()
    world.streams["b"] = MemoryStream(name="b", tables=(rows("changed", 5),))
    world.sync()
    assert world.gathered == [6]  # tables that are there are replaced one by one
    assert [row[1] for row in world.data()["b"]] == [f"changed{n}" for n in range(5)]
    world.streams["c"] = MemoryStream(name="c", tables=(rows("c", 4),), key=("id",))
    world.sync(wishes=Wishes(common=Wish(mode="merge", key=("id",)), full_refresh=True))
    assert len(world.table("c")) == 4


def test_a_stream_that_fails_leaves_the_others_alone(world) -> None:
    world.faults.arm("read", StreamError("no such thing"), at=3, times=10**6)  # the third item that is read
    outcomes = world.sync()
    committed = [name for name in NAMES if outcomes[name].outcome == "committed"]
    assert [outcomes[name].outcome for name in NAMES if name not in committed] == ["failed"] * (6 - len(committed))
    assert 1 <= len(committed) < 6
    for name in committed:
        assert [row["Na me"] for row in world.table(name)] == [f"{name}{n}" for n in range(3)]
    world.faults = Faults()
    world.sync()
    assert world.data() == EXPECTED


def test_with_fail_fast_nothing_is_read_behind_the_first_failure(world) -> None:
    world.faults.arm("read", StreamError("no such thing"), at=1, times=10**6)
    outcomes = world.sync(fail_fast=True)
    assert [outcomes[name].outcome for name in NAMES] == ["failed", *["stopped"] * 5]
    assert world.gathered == []


def test_a_table_made_by_hand_is_refused_and_the_others_are_there(world) -> None:
    session = world.new().open("hand", schema="shop")
    session.execute('create table "shop"."c" (mine int)')
    session.close()
    outcomes = world.sync()
    assert outcomes["c"].error is not None
    assert "was made by hand" in outcomes["c"].error.message
    assert [name for name in NAMES if outcomes[name].outcome == "committed"] == [n for n in NAMES if n != "c"]
    assert world.gathered == [5]


@pytest.mark.parametrize("error", [TransientError("the connection is gone"), MemoryError(), RuntimeError("a bug")])
def test_a_transaction_that_fails_leaves_nothing_and_each_goes_its_own_way(world, monkeypatch, error) -> None:
    record = SqlGathering._record

    def cut(self: Any, items: Any, now: int) -> None:
        record(self, items, now)
        raise error

    monkeypatch.setattr(SqlGathering, "_record", cut)
    outcomes = world.sync()
    assert world.gathered == []
    assert world.data() == EXPECTED
    assert all(outcomes[name].counts["inserted"] == 3 for name in NAMES)


def test_a_lane_that_ends_by_itself_ends_the_run(world, monkeypatch) -> None:
    """Not as a run in which nothing has changed."""

    def broken(self: Any, works: Any, source: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Lanes, "_together", broken)
    with pytest.raises(WherryError, match="a bug"):
        world.sync()


def test_a_source_hears_of_no_bookmark_before_it_is_committed(world, monkeypatch) -> None:
    heard: list[Any] = []
    read = MemorySource.read

    def with_bookmark(self: Any, split: Any) -> Any:
        yield from read(self, split)
        yield Mark(bookmark={"up to": split.key})

    def acknowledge(self: Any, split: Any, bookmark: Any) -> None:
        heard.append((split.key, not world.remote or split.key in {r["stream"] for r in world.table("_wherry_loads")}))

    monkeypatch.setattr(MemorySource, "read", with_bookmark)
    monkeypatch.setattr(MemorySource, "acknowledge", acknowledge)
    world.sync()
    assert world.gathered == [0]
    assert world.data() == EXPECTED
    assert sorted(heard) == [(name, True) for name in NAMES]


def test_an_answer_that_is_lost_is_no_harm(world, monkeypatch) -> None:
    commit = SqlGathering.commit

    def lost(self: Any) -> None:
        commit(self)
        raise TransientError("no answer came")

    monkeypatch.setattr(SqlGathering, "commit", lost)
    outcomes = world.sync()
    assert world.data() == EXPECTED
    assert all(outcomes[name].outcome == "committed" for name in NAMES)
    world.sync()
    assert world.data() == EXPECTED


def test_a_run_that_was_taken_over_commits_nothing(world, monkeypatch) -> None:
    from wherry.sql import gather as sql_gather

    def taken(*_: Any) -> None:
        raise LeaseError("another run has taken over")

    monkeypatch.setattr(sql_gather.lease, "check", taken)
    try:
        outcomes = world.sync()
    except LeaseError:
        outcomes = {}
    assert not any(outcome.outcome == "committed" for outcome in outcomes.values())
    monkeypatch.undo()
    with pytest.raises(WherryError, match=r"(?i)does not exist"):
        world.table("a")


def test_samples_empty_tables_and_large_ones(world, monkeypatch) -> None:
    world.streams["a"] = MemoryStream(name="a", tables=(rows("a", 0),))
    monkeypatch.setattr("wherry.sql.gather.MOST", 2_000)
    world.streams["b"] = MemoryStream(name="b", tables=(rows("b", 1_000),))
    outcomes = world.sync()
    assert outcomes["a"].outcome == outcomes["b"].outcome == "committed"
    assert world.gathered == [5]
    assert (len(world.table("a")), len(world.table("b"))) == (0, 1_000)
    world.sync(wishes=Wishes(limit=2))
    assert len(world.table("b__sample")) == 2
